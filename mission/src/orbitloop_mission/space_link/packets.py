"""The link for whole IP packets, between two hosts of :mod:`orbitloop_mission.space_link.hosts`.

Everything that the two kernels send meets the link: handshakes, acknowledgements, retransmissions and their time-outs.
A relay of streams cannot show those; this can, where the process is root.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from datetime import UTC, datetime
from heapq import heappop, heappush
from types import TracebackType
from typing import Self

from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes
from orbitloop_mission.space_link.hosts import Host
from orbitloop_mission.space_link.profile import LinkProfile
from orbitloop_mission.space_link.radio import DATAGRAM_HEADER, Fortunes, Radio, flipped

_LARGEST_PACKET = 65_535
_IPV4 = 4
_AT_ONCE = 64
"""Packets that are taken from one host before the other one, and what is due, gets its turn."""
_TURNED_AWAY = frozenset({errno.EINVAL, errno.EIO, errno.ENOBUFS, errno.EAGAIN})
"""What a TUN device says to a damaged packet or when it is full: lost, as on any network."""


class PacketLink:
    """Carries packets between two hosts for as long as the ``with`` block lasts.

    The signal is there all the time, at the profile's rates or in the frames of its recorded pass, which begins with
    the first packet from the satellite.

    Args:
        satellite, ground: the two ends.
        profile: what the link is like; a packet is charged all of its bytes.
        seed: of everything random.
    """

    def __init__(self, satellite: Host, ground: Host, profile: LinkProfile, *, seed: int = 0) -> None:
        now = time.monotonic_ns()
        self._profile = profile
        self._radios = {way: Radio(way, profile, seed=seed, now=now) for way in Direction}
        self._from = {satellite.packets: Direction.DOWN, ground.packets: Direction.UP}
        self._to = {Direction.DOWN: ground.packets, Direction.UP: satellite.packets}
        self._carried = dict.fromkeys(Direction, 0)
        self._taken = dict.fromkeys(Direction, 0)
        self._flying: list[tuple[int, int, int, bytes]] = []
        self._number = 0
        self._waker, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._run, name="packet-link", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.write(self._woken, b"x")
        self._thread.join()
        os.close(self._waker)
        os.close(self._woken)

    def carried(self, way: Direction) -> Bytes:
        """Bytes of packets, headers included, that arrived."""
        return Bytes(self._carried[way])

    def given(self, way: Direction) -> Bytes:
        """Bytes of packets, headers included, that a host gave to its modem."""
        return Bytes(self._taken[way])

    def fortunes(self, way: Direction) -> Fortunes:
        """What befell the packets."""
        return self._radios[way].fortunes

    def _run(self) -> None:
        poll = select.poll()
        for descriptor in (*self._from, self._waker):
            poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll(self._patience()):
                if descriptor == self._waker:
                    return
                self._take(descriptor)
            self._deliver()

    def _patience(self) -> float | None:
        """Milliseconds until something is due."""
        if not self._flying:
            return None
        return max(0.0, (self._flying[0][0] - time.monotonic_ns()) / 1e6)

    def _take(self, source: int) -> None:
        way = self._from[source]
        radio, sink = self._radios[way], self._to[way]
        delay = int(self._profile.delay_at(datetime.now(UTC)).total_seconds() * 1e9)
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(source, _LARGEST_PACKET)
            except BlockingIOError:
                return
            if packet[0] >> 4 != _IPV4:
                continue  # what IPv6 says of itself when a device comes up is not the mission's
            self._taken[way] += len(packet)
            fate = radio.datagram(len(packet) - DATAGRAM_HEADER, time.monotonic_ns(), delay)
            if fate.flip is not None:
                packet = flipped(packet, fate.flip)
            for due in fate.arrivals:
                self._number += 1
                heappush(self._flying, (due, self._number, sink, packet))

    def _deliver(self) -> None:
        now = time.monotonic_ns()
        while self._flying and self._flying[0][0] <= now:
            _, _, sink, packet = heappop(self._flying)
            try:
                os.write(sink, packet)
            except OSError as error:
                if error.errno not in _TURNED_AWAY:
                    raise
                continue
            way = Direction.DOWN if sink == self._to[Direction.DOWN] else Direction.UP
            self._carried[way] += len(packet)
