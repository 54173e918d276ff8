"""Files of the repository that are made from the code: ``python -m orbitloop_mission.generate [--check]``.

A further one is a further entry in :data:`GENERATED`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orbitloop import crdgen
from orbitloop_mission.report import reference

ROOT = Path(__file__).parents[3]
COMMAND = ".venv/bin/python -m orbitloop_mission.generate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A file that is never edited by hand.

    Args:
        path: in the repository.
        make: gives its text; the same text at every call.
    """

    path: str
    make: Callable[[], str]


def _definition(name: str, *, with_rules: bool) -> str:
    return crdgen.files(with_rules=with_rules)[name]


GENERATED: tuple[Generated, ...] = (
    Generated(path="docs/reference/report.schema.json", make=reference.schema_text),
    Generated(path="docs/reference/report.md", make=reference.page_text),
    *(
        Generated(path=f"{folder}/{name}", make=partial(_definition, name, with_rules=with_rules))
        for folder, with_rules in (("crds", False), ("crds/with-rules", True), ("charts/orbitloop/crds", False))
        for name in crdgen.files()
    ),
)


def stale(root: Path, files: Iterable[Generated]) -> list[str]:
    """Paths of the files that are missing under ``root`` or differ from what the code makes."""
    return [file.path for file in files if _content(root / file.path) != file.make()]


def write(root: Path, files: Iterable[Generated]) -> list[str]:
    """Write the files that differ; gives their paths."""
    outdated = [file for file in files if _content(root / file.path) != file.make()]
    for file in outdated:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.make(), encoding="utf-8")
    return [file.path for file in outdated]


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Write what differs, or with ``--check`` only name it; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m orbitloop_mission.generate", description="Write generated files.")
    parser.add_argument("--check", action="store_true", help="name what differs and exit with 1; write nothing")
    if not parser.parse_args(arguments).check:
        for path in write(root, GENERATED):
            sys.stdout.write(f"wrote {path}\n")
        return 0
    outdated = stale(root, GENERATED)
    for path in outdated:
        sys.stderr.write(f"{path} is not what the code makes; mend it with: {COMMAND}\n")
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
