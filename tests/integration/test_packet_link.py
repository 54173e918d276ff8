"""The link for whole IP packets: the kernel's own TCP crosses it, losses and acknowledgements included."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pyroute2 import netns

from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import BitsPerSecond
from orbitloop_mission.space_link.hosts import Host, two_hosts
from orbitloop_mission.space_link.impairments import Impairments
from orbitloop_mission.space_link.packets import PacketLink
from orbitloop_mission.space_link.profile import LinkProfile

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/net/tun").exists(), reason="network namespaces and TUN devices need root"
)

SIZE = 300_000
RECEIVE = """
import hashlib, socket
server = socket.create_server(("0.0.0.0", 5000))
print("ready", flush=True)
near, _ = server.accept()
state = hashlib.sha256()
while data := near.recv(65536):
    state.update(data)
print(state.hexdigest())
"""
SEND = f"""
import socket, sys
with socket.create_connection((sys.argv[1], 5000)) as far:
    far.sendall(bytes(number % 251 for number in range({SIZE})))
"""


def inside(host: Host, program: str, *arguments: str) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", host.namespace, sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def transfer(satellite: Host, ground: Host) -> str:
    """Send ``SIZE`` bytes by TCP; the digest of what arrived."""
    with inside(ground, RECEIVE) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        with inside(satellite, SEND, ground.address) as sender:
            assert sender.wait(60) == 0
        return receiver.stdout.readline().strip()


def test_tcp_gets_everything_across_a_lossy_link_and_its_acknowledgements_are_charged() -> None:
    profile = LinkProfile(
        downlink=BitsPerSecond(20_000_000),
        impairments=Impairments(loss=0.05, corruption=0.02),
        delay=timedelta(milliseconds=1),
    )
    expected = hashlib.sha256(bytes(number % 251 for number in range(SIZE))).hexdigest()
    with two_hosts(prefix="orbitloop-lossy", network="10.78.0") as hosts, PacketLink(*hosts, profile, seed=1) as link:
        assert transfer(*hosts) == expected
        assert link.fortunes(Direction.DOWN).lost > 0
        assert link.carried(Direction.DOWN) > SIZE
        assert 0 < link.carried(Direction.UP) < SIZE


def test_the_hosts_are_gone_afterwards_and_leftovers_are_replaced() -> None:
    name = "orbitloop-left-satellite"
    netns.create(name)
    with two_hosts(prefix="orbitloop-left", network="10.79.0") as (satellite, _):
        assert satellite.namespace == name
        assert name in netns.listnetns()
    assert name not in netns.listnetns()
