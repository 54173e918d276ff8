"""One TCP stream over a clean link of 100 Mbit/s down and 1 Mbit/s up: why its own acknowledgements hold it back.

    python -m bench.link.one_stream [--packet 1500] [--congestion bbr] [--seconds 15]

Satellite and ground live in network namespaces, and every packet crosses the emulator, acknowledgements included; none
is lost but by a full queue. Prints what arrived and what the acknowledgements took of the uplink. Needs root.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta

from bench.link.mission import DOWN, UP
from pyroute2 import netns

from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import BitsPerSecond
from orbitloop_mission.space_link.hosts import Host, two_hosts
from orbitloop_mission.space_link.packets import PacketLink
from orbitloop_mission.space_link.profile import LinkProfile

_PORT = 9_000
_SETTLE_S = 5.0
"""Slow start is over by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What one stream made of the link, once it had settled.

    Args:
        packet: largest packet, bytes.
        congestion: the kernel's congestion control.
        goodput_mbit_s: payload that the receiver read.
        uplink_mbit_s: packets that went up, headers included: acknowledgements.
    """

    packet: int
    congestion: str
    goodput_mbit_s: float
    uplink_mbit_s: float


def measure(*, packet: int, congestion: str, seconds: float) -> Stream:
    """Send one stream for ``seconds`` after it has settled. Raises ``BadInput`` without root."""
    profile = LinkProfile(downlink=BitsPerSecond(DOWN), uplink=BitsPerSecond(UP), delay=timedelta(milliseconds=5))
    with (
        two_hosts(prefix="orbitloop-stream", network="10.77.9", mtu=packet) as (satellite, ground),
        PacketLink(satellite, ground, profile, seed=1) as link,
        ThreadPoolExecutor(max_workers=2) as threads,
    ):
        ends = time.monotonic() + _SETTLE_S + seconds
        receiving = threads.submit(_receive, ground, ends - seconds, ends)
        threads.submit(_send, satellite, ground.address, congestion, ends).result()
        went_up = link.carried(Direction.UP)
        lasted = _SETTLE_S + seconds
        return Stream(
            packet=packet,
            congestion=congestion,
            goodput_mbit_s=receiving.result() * 8 / seconds / 1e6,
            uplink_mbit_s=went_up * 8 / lasted / 1e6,
        )


def _receive(host: Host, begins: float, ends: float) -> int:
    """Bytes that arrive from ``begins`` until ``ends``; all is read until the sender closes."""
    netns.setns(host.namespace)
    with socket.create_server((host.address, _PORT)) as server:
        stream, _ = server.accept()
        with stream:
            arrived = 0
            while piece := stream.recv(2**18):
                arrived += len(piece) if begins <= time.monotonic() < ends else 0
            return arrived


def _send(host: Host, address: str, congestion: str, ends: float) -> None:
    netns.setns(host.namespace)
    time.sleep(0.5)  # the receiver listens by then
    with socket.create_connection((address, _PORT), timeout=30) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**19)  # little is left over when the time is up
        piece = bytes(2**16)
        while time.monotonic() < ends:
            stream.sendall(piece)


def main() -> None:
    """Measure once and print the outcome as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packet", type=int, default=1_500)
    parser.add_argument("--congestion", default="bbr")
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    found = measure(packet=given.packet, congestion=given.congestion, seconds=given.seconds)
    json.dump(asdict(found), sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
