"""What the images are made of, by their Containerfile; building them is not a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.helm import CHART

ROOT = Path(__file__).parents[2]
TARGETS = {"edge": "edge-agent", "ground": "ground-manager", "operators": "operators"}


def stages() -> dict[str, list[str]]:
    """The instructions of each stage, by its name; a line each."""
    text = (ROOT / "images" / "Containerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if begins := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            lines = found[begins[2]] = [line]
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


STAGES = stages()


def inherited(stage: str) -> list[str]:
    """The instructions of a stage and of those that it stands on."""
    [base] = re.findall(r"^FROM (\S+)", STAGES[stage][0])
    return [*(inherited(base) if base in STAGES else ()), *STAGES[stage]]


@pytest.mark.parametrize("target", TARGETS)
def test_every_image_that_the_chart_names_is_a_target(target: str) -> None:
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    named = set(re.findall(r'"orbitloop\.image" \(dict "root" \S+ "name" "(\w+)"\)', templates))
    assert named == set(TARGETS)
    assert STAGES[target][0] == f"FROM base AS {target}"


@pytest.mark.parametrize(("target", "member"), TARGETS.items())
def test_an_image_holds_the_core_and_one_member(target: str, member: str) -> None:
    copied = [line.split()[1] for line in inherited(f"{target}-build") if line.startswith("COPY")]
    assert copied == ["constraints.txt", "core", member]
    assert all((ROOT / path).exists() for path in copied)
    [installs] = [line for line in STAGES[f"{target}-build"] if "pip install" in line]
    asked = re.findall(r"\./([\w-]+)", installs)
    assert asked == ["core", member]
    assert f"COPY --from={target}-build /opt/orbitloop /opt/orbitloop" in STAGES[target]


def test_the_builder_is_shown_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {"constraints.txt", "core", *TARGETS.values()}


@pytest.mark.parametrize("target", TARGETS)
def test_versions_are_the_pinned_ones(target: str) -> None:
    assert any("PIP_CONSTRAINT=/src/constraints.txt" in line for line in inherited(f"{target}-build"))


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root(target: str) -> None:
    [user] = [line for line in inherited(target) if line.startswith("USER")]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert user == f"USER {values['ground']['user']}:{values['localController']['user']}"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_begins_with_its_program(target: str) -> None:
    member = TARGETS[target]
    [entry] = [line for line in STAGES[target] if line.startswith("ENTRYPOINT")]
    assert entry == f'ENTRYPOINT ["orbitloop-{target}"]'
    assert f"orbitloop-{target} = " in (ROOT / member / "pyproject.toml").read_text()
