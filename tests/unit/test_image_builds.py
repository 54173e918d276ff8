"""Images: what a builder is handed, when it is asked at all, and what is told of the result."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hack.images import wheels
from hack.images.build import Built, build
from hack.images.containerfile import WHEELS, Containerfile
from hack.images.context import NAME, Context
from hack.images.definitions import ROOT, Image, images
from hack.images.docker import Failed, client

_DEFINITION = """\
# A comment.
ARG BASE_IMAGE=python

FROM ${BASE_IMAGE} AS build
COPY images/wheels images/wheels
COPY constraints.txt ./

FROM build AS edge-build
COPY edge edge
RUN pip install ./edge './other[a,b]' \\
  && ./trim.sh /opt
RUN pip install --no-deps ./own

FROM scratch AS edge
COPY --from=edge-build /opt /opt

FROM build AS ground
COPY ground ground
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name in ("constraints.txt", "edge/a.py", "edge/run.sh", "edge/__pycache__/a.pyc", "ground/g.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "Containerfile").write_text(_DEFINITION)
    return root


def context(checkout: Path, target: str = "edge") -> Context:
    return Context(root=checkout, definition=Containerfile.read(checkout / "Containerfile").needed(target))


def archived(made: Context, wheels: Path | None = None) -> dict[str, tarfile.TarInfo]:
    stream = io.BytesIO()
    made.write(stream, wheels)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        return {member.name: member for member in archive}


def test_a_target_stands_on_the_stages_it_names_and_no_others(checkout: Path) -> None:
    whole = Containerfile.read(checkout / "Containerfile")
    assert list(whole.needed("edge").stages) == ["build", "edge-build", "edge"]
    assert list(whole.needed("ground").stages) == ["build", "ground"]
    assert whole.needed("edge").before == ("ARG BASE_IMAGE=python",)


def test_what_is_copied_and_installed_is_read_from_the_definition(checkout: Path) -> None:
    needed = Containerfile.read(checkout / "Containerfile").needed("edge")
    assert needed.sources() == ["constraints.txt", "edge"]
    assert needed.requirements() == ["./edge", "./other[a,b]"]


def test_the_builder_is_handed_just_what_the_target_takes(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "some.whl").write_text("a wheel")
    found = archived(context(checkout), tmp_path)
    files = {"constraints.txt", "edge/a.py", "edge/run.sh"}
    assert set(found) == {NAME, f"{WHEELS}/README.md", f"{WHEELS}/some.whl", *files}


def test_links_are_handed_over_as_what_they_lead_to(checkout: Path) -> None:
    (checkout / "LICENSE").write_text("the licence")
    (checkout / "edge" / "LICENSE").symlink_to("../LICENSE")
    found = archived(context(checkout))["edge/LICENSE"]
    assert found.isfile()
    assert found.size == len("the licence")


def test_a_program_stays_one(checkout: Path) -> None:
    (checkout / "edge" / "run.sh").chmod(0o755)
    found = archived(context(checkout))
    assert found["edge/run.sh"].mode == 0o755
    assert found["edge/a.py"].mode == 0o644


def test_a_file_that_is_missing_is_named(checkout: Path) -> None:
    (checkout / "constraints.txt").unlink()
    with pytest.raises(Failed, match=re.escape("constraints.txt is not there")):
        context(checkout).digest({})


Change = Callable[[Path], object]


def written(name: str, text: str = "new") -> Change:
    return lambda root: (root / name).write_text(text)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        pytest.param(lambda root: (root / "edge" / "a.py").touch(), False, id="only a date"),
        pytest.param(written("edge/__pycache__/a.pyc"), False, id="what Python made"),
        pytest.param(written("ground/g.py"), False, id="a file of another target"),
        pytest.param(written("edge/a.py"), True, id="a file"),
        pytest.param(written("edge/b.py"), True, id="a file more"),
        pytest.param(lambda root: (root / "edge" / "run.sh").chmod(0o755), True, id="a mode"),
        pytest.param(written("Containerfile", _DEFINITION.replace("/opt /opt", "/opt /")), True, id="an instruction"),
    ],
)
def test_the_digest_changes_with_what_decides_the_image(checkout: Path, change: Change, counts: bool) -> None:
    before = context(checkout).digest({"A": "1"})
    assert before == context(checkout).digest({"A": "1"})
    assert before != context(checkout).digest({"A": "2"})
    change(checkout)
    assert (context(checkout).digest({"A": "1"}) != before) == counts


_DOCKER = """\
#!{python}
import json, pathlib, sys, time
store = pathlib.Path({store!r})
match sys.argv[1:]:
    case ["version"]:
        pass
    case ["info", *_]:
        print("of the tests")
    case ["image", "inspect", name]:
        path = store / name.replace("/", "+")
        if not path.exists():
            sys.exit("no such image")
        print(json.dumps([json.loads(path.read_text())]))
    case ["pull", name]:
        if name.startswith("no"):
            sys.exit("no route to host")
        (store / name.replace("/", "+")).write_text(json.dumps({{"Id": "sha256:" + name}}))
    case ["build", *arguments, "-"]:
        said = dict(zip(arguments, arguments[1:]))
        if (store / "broken").exists():
            sys.exit("the builder broke")
        size = len(sys.stdin.buffer.read())
        time.sleep(0.5 if (store / "slow").exists() else 0)
        key, _, value = said["--label"].partition("=")
        made = {{"Id": "sha256:1", "Size": size, "Config": {{"Labels": {{key: value}}}}}}
        (store / said["--tag"].replace("/", "+")).write_text(json.dumps(made))
        with (store / "builds").open("a") as log:
            log.write(" ".join(arguments) + "\\n")
"""


@pytest.fixture
def docker(tmp_path: Path) -> str:
    """A client that keeps names and labels in a folder, and builds nothing."""
    store = tmp_path / "store"
    store.mkdir()
    path = tmp_path / "docker"
    path.write_text(_DOCKER.format(python=sys.executable, store=str(store)))
    path.chmod(0o755)
    return str(path)


def test_what_did_not_change_is_not_built_again(docker: str, tmp_path: Path) -> None:
    edge = images()["edge"]
    assert build(docker, edge, base="some:base", offline=False).anew
    assert not build(docker, edge, base="some:base", offline=False).anew
    assert build(docker, edge, base="other:base", offline=False).anew
    first, second = (tmp_path / "store" / "builds").read_text().splitlines()
    assert f"--target edge --tag {edge.name}" in first
    assert "--build-arg BASE_IMAGE=some:base" in first
    assert "--build-arg BASE_IMAGE=other:base" in second


def test_a_newer_base_means_a_new_image(docker: str, tmp_path: Path) -> None:
    edge = images()["edge"]
    assert build(docker, edge, base=None, offline=False).anew
    assert not build(docker, edge, base=None, offline=False).anew
    (tmp_path / "store" / "docker.io+library+python:3.11-slim").write_text('{"Id": "sha256:newer"}')
    assert build(docker, edge, base=None, offline=False).anew


def test_of_two_runs_at_once_one_builds(docker: str, tmp_path: Path) -> None:
    (tmp_path / "store" / "slow").touch()
    command = [sys.executable, "-m", "hack.images", "build", "--base", "some:base", "operators"]
    runs = [subprocess.Popen(command, cwd=ROOT, env=os.environ | {"DOCKER": docker}) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert len((tmp_path / "store" / "builds").read_text().splitlines()) == 1


def test_a_builder_that_breaks_is_quoted(docker: str, tmp_path: Path) -> None:
    (tmp_path / "store" / "broken").touch()
    with pytest.raises(Failed, match="the builder broke"):
        build(docker, images()["edge"], base=None, offline=False)


def test_wheels_need_the_python_of_the_base(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("edge", "other"):
        (checkout / name).mkdir(exist_ok=True)
        (checkout / name / "pyproject.toml").touch()
    monkeypatch.setattr(wheels, "PYTHON", (3, 99))
    with pytest.raises(Failed, match=r"take Python 3\.99 here: apt-get install python3\.99-venv"):
        wheels.collect(context(checkout), tmp_path / "wheels")
    assert not list((tmp_path / "wheels").iterdir())


def test_debians_packages_are_fetched_over_the_machines_network(docker: str, tmp_path: Path) -> None:
    build(docker, images()["mosquitto"], base="some:base", offline=True)
    assert "--network host" in (tmp_path / "store" / "builds").read_text()


def test_an_image_over_its_limit_fails_the_build() -> None:
    image = Image(target="t", name="t:1", file=Path("Containerfile"), limit=250)
    assert Built(image=image, anew=True, size=250_000_000).fits
    assert not Built(image=image, anew=True, size=250_000_001).fits


def run(*arguments: str, docker: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hack.images", *arguments]
    environment = os.environ | {"DOCKER": docker}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_command_tells_what_was_built_and_how_large_it_is(docker: str) -> None:
    name = images()["operators"].name
    for word in ("built", "unchanged"):
        ran = run("build", "--base", "some:base", "operators", docker=docker)
        assert ran.returncode == 0, ran.stderr
        assert re.search(rf"{re.escape(name)} +. {word}", ran.stdout)


@pytest.mark.parametrize(
    ("arguments", "docker_is", "sentence"),
    [
        (["build", "nothing"], None, "images: there is no target 'nothing'; there are edge, operators, ground"),
        (["build", "edge"], "/nowhere/docker", "images: there is no /nowhere/docker; install Docker"),
        (["build", "edge"], "/bin/false", "images: the Docker engine: it does not answer; start it"),
        (
            ["build", "--base", "no:base", "edge"],
            None,
            "images: pulling no:base: no route to host; where no registry is",
        ),
        (["sbom", "edge"], None, "build it first: make images"),
        (["sbom"], None, "images: none is built yet: make images"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    docker: str, arguments: list[str], docker_is: str | None, sentence: str
) -> None:
    ran = run(*arguments, docker=docker_is or docker)
    assert ran.returncode == 1
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_client_is_the_one_that_the_environment_names(docker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER", docker)
    assert client() == docker
