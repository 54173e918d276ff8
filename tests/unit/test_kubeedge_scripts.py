"""The scripts that make satellites KubeEdge nodes, with a docker that says what it was asked."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "hack" / "kubeedge"
DOCKER = """#!/bin/sh
echo "$*" >>"$SAYS/asked"
case "$*" in
  version) exit "${DOCKER_DOWN:-0}" ;;
  "inspect -f {{.State.Running}} k-control-plane") [ -z "$NO_CLUSTER" ] && echo true ;;
  "inspect -f {{.State.Running}} "*) echo true ;;
  "inspect -f {{index .Config.Labels"*) echo "${OWNER-k}" ;;
  "inspect -f "*) echo 172.18.0.2 ;;
  "ps -a "*) [ -z "$GONE" ] && echo sat-1 ;;
  *"uname -m") echo "${MACHINE:-x86_64}" ;;
  *"keadm version --output short") [ -z "$CANNOT_RUN" ] && echo v1.23.1 ;;
  *"images ls -q name=="*) [ -z "$NO_IMAGE" ] && echo docker.io/kubeedge/some:v1.23.1 ;;
  "image inspect kubeedge/"* | "pull -q kubeedge/"*) exit "${NOT_HERE:-0}" ;;
  *"get deployment cloudcore") exit "${NO_CLOUDCORE:-0}" ;;
  *"get daemonsets -o name") echo daemonset.apps/kindnet ;;
  *"get secret tokensecret"*) echo dG9rZW4= ;;
  *"test -s /etc/kubeedge/certs/server.crt") exit "${NOT_JOINED:-0}" ;;
  *"containerd config dump") echo "SystemdCgroup = ${SYSTEMD:-true}" ;;
  *"wait --for=condition=Ready"*) exit "${NOT_READY:-0}" ;;
esac
"""
CURL = """#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = -o ] && to=$2; shift; done
cp "$SAYS/served/$(basename "$1")" "$to" 2>/dev/null
"""


class Machine:
    """A folder that holds the programs the scripts call, and what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "served").mkdir()
        for name, text in (("docker", DOCKER), ("curl", CURL), ("keadm", "#!/bin/sh\n")):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        self.keadm = folder / "bin" / "keadm"
        self.cached = folder / "cache" / "orbitloop" / "kubeedge" / "v1.23.1" / "amd64" / "keadm"

    def run(self, script: str, *arguments: str, **said: str) -> subprocess.CompletedProcess[str]:
        told = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "SAYS": str(self.folder),
        }
        return subprocess.run(
            ["bash", str(SCRIPTS / script), *arguments],
            env=told | said,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def up(self, *satellites: str, **said: str) -> subprocess.CompletedProcess[str]:
        return self.run("up.sh", "k", *(satellites or ("sat-1",)), **({"KEADM": str(self.keadm)} | said))

    def asked(self) -> str:
        return (self.folder / "asked").read_text()

    def serve(self, *, checksum: str | None = None) -> None:
        """A release of keadm, as KubeEdge's releases hold it."""
        name = "keadm-v1.23.1-linux-amd64"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            member = tarfile.TarInfo(f"{name}/keadm/keadm")
            member.size = 4
            archive.addfile(member, io.BytesIO(b"real"))
        (self.folder / "served" / f"{name}.tar.gz").write_bytes(packed.getvalue())
        digest = checksum or hashlib.sha512(packed.getvalue()).hexdigest()
        (self.folder / "served" / f"checksum_{name}.tar.gz.txt").write_text(f"{digest}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_satellite_that_has_joined_is_started_and_not_joined_again(machine: Machine) -> None:
    ran = machine.up()
    assert ran.returncode == 0, ran.stderr
    assert "KubeEdge v1.23.1: sat-1 Ready" in ran.stderr
    assert "keadm join" not in machine.asked()
    assert "keadm init" not in machine.asked()
    assert "exec sat-1 systemctl start edgecore" in machine.asked()


@pytest.mark.parametrize(("systemd", "driver"), [("true", "systemd"), ("false", "cgroupfs")])
def test_a_new_satellite_joins_without_a_kubelet_and_with_the_broker_inside(
    machine: Machine, systemd: str, driver: str
) -> None:
    ran = machine.up(NOT_JOINED="1", SYSTEMD=systemd)
    assert ran.returncode == 0, ran.stderr
    [join] = [line for line in machine.asked().splitlines() if "keadm join" in line]
    assert "--cloudcore-ipport=k-control-plane:10000 --token=token --edgenode-name=sat-1" in join
    assert f"--cgroupdriver={driver}" in join
    assert "modules.eventBus.mqttMode=0" in join
    assert "metaServer" not in join
    asked = machine.asked()
    assert asked.index("ln -sf /dev/null $unit") < asked.index("keadm join")
    assert "taint node sat-1 --overwrite node-role.kubernetes.io/edge=:NoSchedule" in asked


def test_an_image_that_the_node_lacks_is_taken_from_docker(machine: Machine) -> None:
    ran = machine.up(NOT_JOINED="1", NO_IMAGE="1")
    assert ran.returncode == 0, ran.stderr
    asked = machine.asked()
    assert "save kubeedge/installation-package:v1.23.1" in asked
    assert "exec -i sat-1 ctr -n k8s.io images import -" in asked
    assert "pull" not in asked


def test_an_image_that_docker_cannot_get_is_named(machine: Machine) -> None:
    ran = machine.up(NOT_JOINED="1", NO_IMAGE="1", NOT_HERE="1")
    assert ran.returncode == 1
    assert "no image kubeedge/installation-package:v1.23.1 and cannot pull it" in ran.stderr


def test_cloudcore_comes_once_and_before_any_satellite(machine: Machine) -> None:
    ran = machine.up("sat-1", "sat-2", NOT_JOINED="1", NO_CLOUDCORE="1")
    assert ran.returncode == 0, ran.stderr
    asked = machine.asked()
    assert asked.count("keadm init") == 1
    assert asked.count("keadm join") == 2
    assert asked.index("keadm init") < asked.index("keadm join")
    assert asked.index("patch daemonset.apps/kindnet") < asked.index("keadm join")


@pytest.mark.parametrize(
    ("satellite", "said", "words"),
    [
        pytest.param("sat-1", {"DOCKER_DOWN": "1"}, "docker does not answer", id="no docker"),
        pytest.param("sat-1", {"NO_CLUSTER": "1"}, "kind create cluster --name k", id="no cluster"),
        pytest.param("sat-1", {"OWNER": ""}, "not ours", id="another's container"),
        pytest.param("Sat_1", {}, "cannot be a node's name", id="a name that cannot be"),
        pytest.param("sat-1", {"KEADM": "/nowhere/keadm"}, "KEADM is /nowhere/keadm", id="no keadm where it is said"),
        pytest.param("sat-1", {"CANNOT_RUN": "1"}, "must be for its architecture", id="keadm of another machine"),
        pytest.param("sat-1", {"NOT_READY": "1"}, "its node is not Ready", id="not ready"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    machine: Machine, satellite: str, said: dict[str, str], words: str
) -> None:
    ran = machine.up(satellite, **said)
    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert words in line


def test_without_satellites_it_says_how_it_is_called(machine: Machine) -> None:
    ran = machine.run("up.sh", "k")
    assert (ran.returncode, ran.stderr) == (1, "kubeedge: usage: up.sh CLUSTER SATELLITE...\n")


def test_keadm_is_fetched_once_and_kept_when_its_checksum_is_right(machine: Machine) -> None:
    machine.serve()
    assert machine.up(KEADM="").returncode == 0
    assert machine.cached.read_bytes() == b"real"
    (machine.folder / "bin" / "curl").write_text("#!/bin/sh\nexit 1\n")
    assert machine.up(KEADM="").returncode == 0


def test_keadm_with_another_checksum_is_not_kept(machine: Machine) -> None:
    machine.serve(checksum="0" * 128)
    ran = machine.up(KEADM="")
    assert ran.returncode == 1
    assert "is not what its checksum says" in ran.stderr
    assert not machine.cached.exists()


def test_without_internet_it_says_what_to_bring(machine: Machine) -> None:
    ran = machine.up(KEADM="")
    assert ran.returncode == 1
    assert "KEADM=/path/to/keadm" in ran.stderr
    assert not machine.cached.exists()


def test_an_architecture_without_a_release_is_named(machine: Machine) -> None:
    ran = machine.up(KEADM="", MACHINE="riscv64")
    assert ran.returncode == 1
    assert "KubeEdge has no release for riscv64" in ran.stderr


@pytest.mark.parametrize("said", [{}, {"GONE": "1"}, {"NO_CLUSTER": "1"}], ids=["all", "again", "cluster gone"])
def test_down_takes_away_what_is_there(machine: Machine, said: dict[str, str]) -> None:
    ran = machine.run("down.sh", "k", **said)
    assert ran.returncode == 0, ran.stderr
    asked = machine.asked()
    assert ("rm -f -v sat-1" in asked) == ("GONE" not in said)
    assert ("delete namespace kubeedge" in asked) == ("NO_CLUSTER" not in said)
