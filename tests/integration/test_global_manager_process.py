"""The Global Manager as a process on a real API server: it starts, waits its turn, bears an outage, and ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.control_plane import Cluster
from tests.global_manager import global_manager, until


@pytest.fixture(autouse=True)
def kinds(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "crds/")


def test_it_is_ready_once_it_watches_and_gives_its_lease_back_when_it_ends(cluster: Cluster, tmp_path: Path) -> None:
    with global_manager(cluster, tmp_path, "--lease-name", "ends") as manager:
        until(manager.is_ready, "it was ready")
        assert manager.end() == 0, manager.log.read_text()
    holder = cluster.kubectl("get", "lease", "ends", "-o", "jsonpath={.spec.holderIdentity}")
    assert holder == ""


def test_a_second_one_waits_for_its_turn(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with global_manager(cluster, tmp_path, "--lease-name", "turns") as first:
        until(first.is_ready, "the first was ready")
        with global_manager(cluster, tmp_path / "second", "--lease-name", "turns") as second:
            assert not second.is_ready()
            assert first.end() == 0
            until(second.is_ready, "the second took over")


def test_an_api_server_that_goes_away_is_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    cluster.kubectl("create", "namespace", "outage")
    with global_manager(cluster, tmp_path, "--lease-name", "outage") as manager:
        until(manager.is_ready, "it was ready")
        cluster.plane.stop_api()
        cluster.plane.start_api()
        cluster.kubectl("-n", "outage", "apply", "-f", "tests/golden/manifests/other-kinds.yaml")

        def all_say_something() -> bool:
            said = cluster.kubectl(
                "-n", "outage", "get", "fl,ll,reid", "-o", "jsonpath={.items[*].status.conditions[0].type}"
            )
            return len(said.split()) == 3

        until(all_say_something, "every kind had a condition")
        assert manager.process is not None
        assert manager.process.poll() is None


def test_kinds_that_are_installed_later_are_looked_after_too(cluster: Cluster, tmp_path: Path) -> None:
    definition = "crds/sedna.io_federatedlearningjobs.yaml"
    cluster.kubectl("create", "namespace", "later")
    cluster.kubectl("delete", "-f", definition)
    with global_manager(cluster, tmp_path, "--lease-name", "later") as manager:
        until(manager.is_ready, "it was ready")
        cluster.kubectl("apply", "-f", definition)
        cluster.kubectl("wait", "--for=condition=Established", "-f", definition)
        job = {"aggregationWorker": {"model": {"name": "m"}, "template": {}}, "trainingWorkers": []}
        said = {
            "apiVersion": "sedna.io/v1alpha1",
            "kind": "FederatedLearningJob",
            "metadata": {"name": "a"},
            "spec": job,
        }
        cluster.kubectl("-n", "later", "apply", "-f", "-", said=json.dumps(said))
        says = ("-n", "later", "get", "fl", "a", "-o", "jsonpath={.status.conditions[0].type}")
        until(lambda: bool(cluster.kubectl(*says)), "the job had a condition")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--kubeconfig", "missing.yaml"], "the API server cannot be found"),
        (["--probes-port", "70000"], "probes_port"),
        (["--at-once", "many"], "at_once"),
    ],
    ids=["no kubeconfig", "no port", "no number"],
)
def test_what_is_wrong_on_the_command_line_is_said_in_one_line(arguments: list[str], says: str) -> None:
    command = [sys.executable, "-m", "orbitloop_operators", "run", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 1
    (line,) = ran.stderr.strip().splitlines()
    assert line.startswith("orbitloop-operators: ")
    assert says in line
