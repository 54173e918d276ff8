"""The scripts that make kind's nodes from Debian's packages, with the system's programs played by others."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "hack" / "kind-offline"
ROOT = {"id": "echo 0", "dpkg-query": "echo install ok installed", "apt-get": "exit 0"}
"""A machine on which everything is installed, for root."""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "orbitloop" / "kubernetes"


def environment(tmp_path: Path, programs: Mapping[str, str]) -> dict[str, str]:
    """Where ``programs`` come first on the PATH, and nothing is cached."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, does in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "DOCKER": "docker"}


def run(script: Path, env: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([script, *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "programs", "says"),
    [
        pytest.param(
            "install-host.sh",
            {"id": "echo 1000", "dpkg-query": "exit 1"},
            "error: needs jq mmdebstrap zstd; as root: apt-get install jq mmdebstrap zstd",
            id="packages are missing and one is not root",
        ),
        pytest.param(
            "install-host.sh",
            {**ROOT, "dpkg-query": "exit 1", "apt-get": "echo 'E: no such package' >&2; exit 100"},
            "error: apt-get install failed, as said above",
            id="apt fails",
        ),
        pytest.param(
            "install-host.sh",
            {**ROOT, "id": "echo 1000", "docker": "exit 1", "dockerd": "exit 1"},
            "error: docker does not answer; start it, and let this user use it: usermod -aG docker 1000",
            id="docker is there, but not for this user",
        ),
        pytest.param(
            "build-binaries.sh",
            {**ROOT, "df": "echo 1024M"},
            "error: building Kubernetes needs 5 GB in {cache}, which has 1 GB; "
            "make room, or name another place by XDG_CACHE_HOME",
            id="no space",
        ),
        pytest.param(
            "build-binaries.sh",
            {**ROOT, "df": "echo 9000M", "apt-get": "exit 100"},
            "error: the mirror http://mirror.invalid/debian was not reached; set DEBIAN_MIRROR to one that is",
            id="no mirror",
        ),
        pytest.param(
            "build-node-image.sh",
            {**ROOT, "id": "echo 1000", "docker": "exit 1"},
            "error: making a root file system needs root; run it by sudo",
            id="a node image, and one is not root",
        ),
        pytest.param(
            "build-node-image.sh",
            {**ROOT, "docker": "exit 1"},
            "error: docker does not answer; run install-host.sh",
            id="a node image without docker",
        ),
    ],
)
def test_what_fails_is_one_line_with_what_to_do(
    script: str, programs: Mapping[str, str], says: str, tmp_path: Path, cache: Path
) -> None:
    env = environment(tmp_path, programs) | {"DEBIAN_MIRROR": "http://mirror.invalid/debian"}
    said = run(SCRIPTS / script, env)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].partition("] ")[2] == says.format(cache=cache)
    assert not [*cache.glob("binaries-*"), *cache.glob("node-*")]


def test_a_machine_without_apt_is_told(tmp_path: Path) -> None:
    env = environment(tmp_path, {})
    for name in ("bash", "dirname", "flock", "head", "mkdir"):
        (tmp_path / "programs" / name).symlink_to(str(shutil.which(name)))
    said = run(SCRIPTS / "install-host.sh", env | {"PATH": str(tmp_path / "programs")})
    assert said.returncode == 1
    assert "error: there is no apt here" in said.stderr


def test_a_folder_that_is_there_is_whole_and_another_for_other_sources(tmp_path: Path, cache: Path) -> None:
    copied = shutil.copytree(SCRIPTS, tmp_path / "copied")
    env = environment(tmp_path, {"apt-get": "exit 100"})
    where = Path(run(copied / "build-binaries.sh", env, "--where").stdout.rstrip())
    assert where.parent == cache
    where.mkdir(parents=True)
    assert run(copied / "build-binaries.sh", env).returncode == 0
    (copied / "minidns" / "main.go").write_text("package main\n")
    assert Path(run(copied / "build-binaries.sh", env, "--where").stdout.rstrip()) != where


def test_of_two_runs_one_waits_for_the_other(tmp_path: Path, cache: Path) -> None:
    env = environment(tmp_path, {**ROOT, "df": "echo 1M"}) | {"DEBIAN_MIRROR": "http://mirror.invalid/debian"}
    cache.mkdir(parents=True)
    with (cache / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = subprocess.Popen([SCRIPTS / "build-binaries.sh"], env=env, stderr=subprocess.PIPE, text=True)
        assert waiting.stderr is not None
        assert f"waiting for another run, which holds {cache}/lock" in waiting.stderr.readline()
    assert "needs 5 GB" in waiting.communicate(timeout=60)[1]


@pytest.mark.parametrize("fails", ["", "build-node-image.sh"])
def test_the_result_is_named_when_all_is_done(fails: str, tmp_path: Path, cache: Path) -> None:
    copied = shutil.copytree(SCRIPTS, tmp_path / "copied")
    for step in ("install-host.sh", "build-binaries.sh", "build-node-image.sh"):
        (copied / step).write_text(f"#!/bin/sh\necho /built\n[ {step} != '{fails}' ]\n")
    cache.mkdir(parents=True)
    said = run(copied / "all.sh", environment(tmp_path, {}))
    assert said.returncode == bool(fails)
    result = cache / "result.env"
    assert result.exists() != bool(fails)
    if not fails:
        assert result.read_text().splitlines() == [
            "KIND=/built/kind",
            "KUBECTL=/built/kubectl",
            "NODE_IMAGE=orbitloop/node:v1.20.2",
            "DOCKER=docker",
        ]
        assert [line.partition("] ")[2] for line in said.stderr.splitlines()] == [
            "install-host: 0 s",
            "build-binaries: 0 s",
            "build-node-image: 0 s",
        ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give up a capability of the bounding set")
@pytest.mark.parametrize("call", ["create --bundle {0} name", "exec -p {0}/config.json name"])
def test_runc_is_not_asked_for_what_the_machine_lacks(call: str, tmp_path: Path) -> None:
    def told(*capabilities: str) -> object:
        of_a_process = {"capabilities": {"bounding": list(capabilities), "ambient": None}}
        return of_a_process if "exec" in call else {"process": of_a_process}

    config = tmp_path / "config.json"
    config.write_text(json.dumps(told("CAP_KILL", "CAP_SYS_TIME")))
    env = environment(tmp_path, {"runc": f'echo "$*" >{tmp_path}/asked'})
    wrapper = ["setpriv", "--bounding-set", "-sys_time", str(SCRIPTS / "files" / "runc-capfilter")]
    words = call.format(tmp_path).split()
    subprocess.run([*wrapper, *words], env=env | {"RUNC": str(tmp_path / "programs" / "runc")}, check=True)
    assert json.loads(config.read_text()) == told("CAP_KILL")
    assert (tmp_path / "asked").read_text().split() == words
