"""What a pod of an offline kind cluster finds by name: its DNS server, on a real API server."""

import json
import os
import socket
import struct
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hack.control_plane.binaries import cache
from tests.control_plane import Cluster
from tests.processes import a_free_port, until

A, SRV = 1, 33
NO_SUCH_NAME = 3


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: the code, whether it was cut short, and the data of each answer, addresses as text."""

    code: int
    truncated: bool
    data: list[str]


@dataclass(frozen=True, kw_only=True)
class Names:
    """The server at ``port``, asked as a resolver asks."""

    port: int

    def ask(self, name: str, kind: int = A) -> Answer:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(30)
            asking.sendto(_question(name, kind), ("127.0.0.1", self.port))
            return _answer(asking.recv(65535))

    def ask_by_tcp(self, name: str) -> Answer:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as asking, asking.makefile("rb") as told:
            question = _question(name, A)
            asking.sendall(struct.pack("!H", len(question)) + question)
            (length,) = struct.unpack("!H", told.read(2))
            return _answer(told.read(length))


@pytest.fixture(scope="module")
def names(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Names]:
    program = cache() / "minidns"
    if not program.exists():
        if os.environ.get("CI") and not os.environ.get("KUBEBUILDER_ASSETS"):
            pytest.fail(f"CI must have {program}")
        pytest.skip(f"no {program}; run hack/kind-offline/build-binaries.sh")
    port, ready = a_free_port(), a_free_port()
    command = [str(program), "-kubeconfig", str(cluster.plane.kubeconfig), "-listen", f"127.0.0.1:{port}"]
    command += ["-ready", f"127.0.0.1:{ready}", "-health", f"127.0.0.1:{a_free_port()}"]
    log = tmp_path_factory.mktemp("dns") / "log"
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            until(lambda: _answers(f"http://127.0.0.1:{ready}/ready"), "the DNS server is ready")
            yield Names(port=port)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def training(cluster: Cluster, names: Names) -> Iterator[str]:
    """A headless Service before its pods are ready, as workers that look for each other have it; gives its domain."""
    cluster.kubectl("create", "namespace", "names")
    early = [{"ip": "10.244.1.2", "hostname": "train-0"}, {"ip": "10.244.2.2", "hostname": "train-1"}]
    ports = [{"name": "rdzv", "port": 29400}]
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "ports": ports}
    _create(cluster, "train", spec, [{"notReadyAddresses": early, "ports": ports}])
    _create(cluster, "hidden", spec | {"publishNotReadyAddresses": False}, [{"notReadyAddresses": early}])
    _create(cluster, "many", spec, [{"addresses": [{"ip": f"10.244.3.{n}"} for n in range(1, 41)]}])
    _create(cluster, "web", {"clusterIP": "10.96.7.7", "ports": [{"name": "http", "port": 80}]}, [])
    until(lambda: bool(names.ask("web.names.svc.cluster.local").data), "the last Service is known")
    yield "names.svc.cluster.local"
    cluster.kubectl("delete", "namespace", "names", "--wait=false")


def test_a_headless_service_names_pods_that_are_not_ready_where_it_says_so(training: str, names: Names) -> None:
    assert sorted(names.ask(f"train.{training}").data) == ["10.244.1.2", "10.244.2.2"]
    hidden = names.ask(f"hidden.{training}")
    assert (hidden.code, hidden.data) == (0, [])


@pytest.mark.parametrize(("host", "address"), [("train-0", "10.244.1.2"), ("TRAIN-1", "10.244.2.2")])
def test_each_hostname_behind_it_has_its_own_record(host: str, address: str, training: str, names: Names) -> None:
    assert names.ask(f"{host}.train.{training}").data == [address]


@pytest.mark.parametrize("name", ["train-2.train", "train-0.web", "nobody", "train-0"])
def test_what_is_not_there_does_not_exist(name: str, training: str, names: Names) -> None:
    assert names.ask(f"{name}.{training}").code == NO_SUCH_NAME


def test_a_service_with_an_address_is_that_address(training: str, names: Names) -> None:
    assert names.ask(f"web.{training}").data == ["10.96.7.7"]


def test_a_named_port_is_found(training: str, names: Names) -> None:
    [http] = names.ask(f"_http._tcp.web.{training}", SRV).data
    assert struct.unpack("!HHH", bytes.fromhex(http)[:6]) == (0, 100, 80)
    assert len(names.ask(f"_rdzv._tcp.train.{training}", SRV).data) == 2


def test_what_does_not_fit_a_datagram_is_asked_again_over_tcp(training: str, names: Names) -> None:
    cut = names.ask(f"many.{training}")
    assert (cut.truncated, cut.data) == (True, [])
    assert len(names.ask_by_tcp(f"many.{training}").data) == 40


def _create(cluster: Cluster, name: str, spec: dict[str, Any], subsets: list[dict[str, Any]]) -> None:
    meta = {"name": name, "namespace": "names"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets}
    for document in (endpoints, service):
        cluster.kubectl("create", "-f", "-", said=json.dumps(document))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def _answer(message: bytes) -> Answer:
    _, flags, _, answers, _, _ = struct.unpack("!6H", message[:12])
    at = _after_name(message, 12) + 4
    data = []
    for _ in range(answers):
        at = _after_name(message, at)
        kind, _, _, length = struct.unpack("!HHIH", message[at : at + 10])
        at += 10 + length
        raw = message[at - length : at]
        data.append(socket.inet_ntoa(raw) if kind == A else raw.hex())
    return Answer(code=flags & 0xF, truncated=bool(flags & 0x0200), data=data)


def _after_name(message: bytes, at: int) -> int:
    while message[at]:
        if message[at] >= 0xC0:
            return at + 2
        at += 1 + message[at]
    return at + 1
