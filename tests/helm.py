"""The chart, as real helm renders it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack.helm import Missing, find

CHART = Path(__file__).parents[1] / "charts" / "orbitloop"
NAMESPACE = "orbitloop-system"
Document = dict[str, Any]


def helms() -> list[Path]:
    """Every helm that the chart is tried with, the oldest first; without one the test is skipped, except in CI."""
    try:
        return find()
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have helm: {missing}")
        pytest.skip(str(missing))


def run_helm(helm: Path, *arguments: str, said: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm; ``said`` are values, given as its last file."""
    given = ["-f", "-"] if said is not None else []
    return subprocess.run(
        [str(helm), *arguments, *given],
        input=json.dumps(said) if said is not None else None,
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(values: Mapping[str, Any], *files: str) -> str:
    """What helm complains about when the chart is to be rendered with ``values``."""
    ran = run_helm(helms()[0], *_template(files), said=values)
    assert ran.returncode != 0, ran.stdout
    return ran.stderr


def rendered(values: Mapping[str, Any], *files: str, kubernetes: str = "1.31.0") -> list[Document]:
    """All objects that the chart makes of ``values`` and the chart's own files of values."""
    return rendered_by(helms()[0], json.dumps(values), files, kubernetes)


@functools.cache
def rendered_by(helm: Path, values: str, files: tuple[str, ...], kubernetes: str) -> list[Document]:
    """The same, by a certain helm. ``values`` are JSON."""
    ran = run_helm(helm, *_template(files), "--kube-version", kubernetes, said=json.loads(values))
    assert ran.returncode == 0, ran.stderr
    return [document for document in yaml.safe_load_all(ran.stdout) if document]


def _template(files: Iterable[str]) -> list[str]:
    named = [part for file in files for part in ("-f", str(CHART / file))]
    return ["template", "orbitloop", str(CHART), "--namespace", NAMESPACE, *named]


def only(documents: Iterable[Document], kind: str, name: str) -> Document:
    """The object of that kind and name."""
    [found] = [one for one in documents if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pod_specs(documents: Iterable[Document]) -> dict[str, Document]:
    """The spec of every pod, by the name of what makes it."""
    specs = {}
    for one in documents:
        if one["kind"] == "Pod":
            specs[one["metadata"]["name"]] = one["spec"]
        elif "template" in one.get("spec", {}):
            specs[one["metadata"]["name"]] = one["spec"]["template"]["spec"]
    return specs
