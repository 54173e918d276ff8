import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.control_plane import Cluster

ROOT = Path(__file__).parents[2]


def control_plane(folder: Path, command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "hack.control_plane", command, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_kubectl_talks_to_a_real_api_server(cluster: Cluster) -> None:
    assert "default" in cluster.kubectl("get", "namespaces", "-o", "name")


def test_an_api_server_that_was_stopped_comes_back_with_what_it_stored(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=1")
    cluster.plane.stop_api()
    assert cluster.try_kubectl("get", "configmap", "kept").returncode != 0
    cluster.plane.start_api()
    assert cluster.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"


@pytest.mark.usefixtures("cluster")
def test_up_twice_is_one_control_plane_and_down_ends_it(tmp_path: Path) -> None:
    folder = tmp_path / "plane"
    try:
        first, second = control_plane(folder, "up"), control_plane(folder, "up")
        assert first.returncode == 0, first.stderr
        assert f"export KUBECONFIG={folder}/kubeconfig" in first.stdout
        assert first.stdout == second.stdout
    finally:
        assert control_plane(folder, "down").stdout == "stopped\n"
    assert control_plane(folder, "down").stdout == "it does not run\n"


@pytest.mark.usefixtures("cluster")
def test_one_whose_etcd_was_killed_is_started_anew(tmp_path: Path) -> None:
    folder = tmp_path / "plane"
    try:
        control_plane(folder, "up")
        [etcd] = [pid for pid in _processes(folder) if Path(f"/proc/{pid}/comm").read_text() == "etcd\n"]
        os.kill(etcd, signal.SIGKILL)
        assert control_plane(folder, "up").returncode == 0
        assert len(_processes(folder)) == 2
    finally:
        control_plane(folder, "down")
    assert not _processes(folder)


def test_a_folder_without_the_binaries_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    said = control_plane(tmp_path / "plane", "up")
    assert said.returncode == 1
    assert said.stderr == f"control-plane: no kube-apiserver in {tmp_path}; correct KUBEBUILDER_ASSETS\n"


@pytest.mark.usefixtures("cluster")
def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kube-apiserver", "etcd"):
        shutil.copy("/bin/false", tmp_path / name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    said = control_plane(tmp_path / "plane", "up")
    assert said.returncode == 1
    assert "kube-apiserver did not start; the end of" in said.stderr


def _processes(folder: Path) -> list[int]:
    """Processes whose working folder is ``folder``."""
    processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [int(process.name) for process in processes if _works_in(process, folder)]


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False
