"""What the images are made of, by their Containerfiles; building them is not a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hack.images.containerfile import Containerfile
from hack.images.definitions import images
from tests.helm import CHART

ROOT = Path(__file__).parents[2]
MEMBERS = {"edge": "edge-agent", "ground": "ground-manager", "operators": "operators"}
OTHERS = {"trainer": "ground-manager", "transformer": "mission"}
TARGETS = [*MEMBERS, *OTHERS]
WHOLE = Containerfile.read(ROOT / "images" / "Containerfile")
STAGES = WHOLE.stages


def inherited(stage: str) -> list[str]:
    """The instructions of a stage and of those that it stands on."""
    [base] = re.findall(r"^FROM (\S+)", STAGES[stage][0])
    return [*(inherited(base) if base in STAGES else ()), *STAGES[stage]]


def test_every_image_that_the_chart_names_is_a_target() -> None:
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    named = set(re.findall(r'"orbitloop\.image" \(dict "root" \S+ "name" "(\w+)"\)', templates))
    assert set(MEMBERS) <= named <= set(TARGETS)
    assert named <= set(STAGES)


def test_images_are_called_as_the_chart_calls_them() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    for target in TARGETS:
        assert images()[target].name == f"{values['images']['registry']}/orbitloop-{target}:{version}"


def test_what_flies_is_small() -> None:
    assert images()["edge"].limit <= 250


@pytest.mark.parametrize(("target", "member"), MEMBERS.items())
def test_an_image_holds_the_core_and_one_member(target: str, member: str) -> None:
    [line] = [line for line in STAGES[f"{target}-build"] if line.startswith("RUN")]
    assert re.findall(r"\./([\w-]+)(?=\s)", line) == ["core", member]
    asked = [requirement.removeprefix("./").split("[")[0] for requirement in WHOLE.needed(target).requirements()]
    assert set(asked) == {"core", member}
    copied = [line for line in STAGES[target] if line.startswith("COPY")]
    assert copied == [
        f"COPY --from={target}-packages /opt/orbitloop /opt/orbitloop",
        f"COPY --from={target}-build /opt/own /opt/orbitloop",
    ]


def test_the_trainer_is_the_ground_and_the_worker_library_under_its_other_name() -> None:
    assert STAGES["trainer"][0] == "FROM ground AS trainer"
    assert set(WHOLE.needed("trainer").sources()) - set(WHOLE.needed("ground").sources()) == {"sedna-api"}


def test_the_transformer_is_the_ground_and_what_it_lacks_for_a_transformation() -> None:
    assert STAGES["transformer"][0] == "FROM ground AS transformer"
    more = set(WHOLE.needed("transformer").sources()) - set(WHOLE.needed("ground").sources())
    assert {path for path in more if not path.startswith("edge-agent")} == {"mission", "examples/data/sen2ships"}
    assert (ROOT / "examples" / "data" / "sen2ships" / "annotations.json").stat().st_size < 10**6


@pytest.mark.parametrize("target", MEMBERS)
def test_packages_of_others_are_a_layer_that_our_code_does_not_change(target: str) -> None:
    taken = [word for line in inherited(f"{target}-packages") if line.startswith("COPY") for word in line.split()[1:-1]]
    assert not any(path.endswith("/src") or path in ("core", MEMBERS[target]) for path in taken)


def test_the_builder_is_shown_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    shown = {line[1:] for line in lines if line.startswith("!")}
    copied = {path for image in images().values() for path in Containerfile.read(ROOT / image.file).sources()}
    assert lines[0] == "*"
    assert all(any(Path(path).is_relative_to(one) for one in shown) for path in copied)
    assert all(any(Path(path).is_relative_to(one) for path in copied) for one in shown)
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("target", TARGETS)
def test_versions_are_the_pinned_ones(target: str) -> None:
    build = "ground-build" if target == "trainer" else f"{target}-build"
    assert any("PIP_CONSTRAINT=/src/constraints.txt" in line for line in inherited(build))


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root(target: str) -> None:
    [user] = [line for line in inherited(target) if line.startswith("USER")]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert user == f"USER {values['ground']['user']}:{values['localController']['user']}"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_begins_with_its_program(target: str) -> None:
    member = (MEMBERS | OTHERS)[target]
    entry = [line for line in inherited(target) if line.startswith("ENTRYPOINT")][-1]
    assert entry == f'ENTRYPOINT ["orbitloop-{target}"]'
    assert f"orbitloop-{target} = " in (ROOT / member / "pyproject.toml").read_text()
