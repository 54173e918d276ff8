"""What is installed: six distributions of one version, and a satellite that stays light."""

import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import orbitloop
import orbitloop_edge
import orbitloop_ground
import orbitloop_mission
import orbitloop_operators
import sedna

ROOT = Path(__file__).parents[2]
MEMBERS = {
    "core": orbitloop,
    "edge-agent": orbitloop_edge,
    "ground-manager": orbitloop_ground,
    "operators": orbitloop_operators,
    "mission": orbitloop_mission,
    "sedna-api": sedna,
}
HEAVY = ("torch", "onnx", "fastapi", "uvicorn", "sqlalchemy", "kopf", "kubernetes")
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def project(folder: str) -> dict[str, object]:
    """The ``[project]`` table of a member, or of the workspace for ``"."``."""
    table = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


def requirements(folder: str) -> list[str]:
    """What a member depends on, without its extras."""
    declared = project(folder)["dependencies"]
    assert isinstance(declared, list)
    return declared


def imported_with(*packages: str) -> set[str]:
    """Top-level names in memory once every module of these packages was imported by a fresh interpreter."""
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, ",".join(packages)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_all_distributions_have_one_version() -> None:
    declared = {folder: project(folder)["version"] for folder in (".", *MEMBERS)}
    assert len(set(declared.values())) == 1, declared


@pytest.mark.parametrize("folder", MEMBERS)
def test_what_is_installed_is_what_is_declared(folder: str) -> None:
    table = project(folder)
    assert version(str(table["name"])) == table["version"]


@pytest.mark.parametrize("folder", MEMBERS)
def test_members_ask_for_each_other_in_exactly_this_version(folder: str) -> None:
    ours = [requirement for requirement in requirements(folder) if requirement.startswith("orbitloop")]
    assert all(requirement.endswith(f"=={project(folder)['version']}") for requirement in ours), ours


@pytest.mark.parametrize("folder", MEMBERS)
def test_every_requirement_says_what_it_is_for(folder: str) -> None:
    lines = (ROOT / folder / "pyproject.toml").read_text().splitlines()
    asked = [line for line in lines if re.fullmatch(r'  "[\w-]+(\[\w+\])?[<>=]=.*', line)]
    assert asked
    assert [line for line in asked if "  # " not in line] == []


@pytest.mark.parametrize("folder", MEMBERS)
def test_every_requirement_is_pinned(folder: str) -> None:
    pinned = {
        name.lower() for name in re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    }
    names = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in requirements(folder)}
    assert {name for name in names if not name.startswith("orbitloop")} <= pinned


@pytest.mark.parametrize("folder", MEMBERS)
def test_every_package_has_a_charter_and_its_types(folder: str) -> None:
    package = MEMBERS[folder]
    home = Path(package.__path__[0])
    assert (home / "py.typed").exists()
    packages = [home, *(home.joinpath(*m.name.split(".")) for m in pkgutil.walk_packages([str(home)]) if m.ispkg)]
    bare = [path for path in packages if "What belongs here:" not in (path / "__init__.py").read_text()]
    assert bare == []


def test_what_flies_imports_nothing_heavy() -> None:
    assert imported_with("orbitloop_edge").isdisjoint(HEAVY)


def test_the_local_controller_imports_neither_networks_nor_pictures() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import orbitloop_edge.live, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"onnxruntime", "PIL"}.isdisjoint(told.stdout.split())


def test_the_core_imports_nothing_heavy() -> None:
    assert imported_with("orbitloop").isdisjoint(HEAVY)


def test_user_code_of_workers_imports_nothing_heavy() -> None:
    assert imported_with("sedna").isdisjoint({*HEAVY, "onnxruntime", "pandas", "cv2", "pycocotools", "httpx"})


def test_what_flies_asks_for_nothing_heavy() -> None:
    asked = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in requirements("edge-agent")}
    assert asked.isdisjoint(HEAVY)
