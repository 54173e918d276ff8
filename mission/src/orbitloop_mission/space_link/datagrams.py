"""Datagrams across the link: UDP between satellites and the ground's port, without a task per datagram."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

from orbitloop.domain.units import Bytes
from orbitloop_mission.space_link.channel import Channel
from orbitloop_mission.space_link.radio import flipped
from orbitloop_mission.space_link.traffic import Crossings

log = logging.getLogger(__name__)

Address = tuple[str, int]

_LARGEST = 65_536
_SOCKET_BUFFER = 4 * 1024 * 1024
# So many datagrams in a row, then the event loop's other work has its turn.
_A_BATCH = 128
_MOST_SATELLITES = 256


class _Airborne(NamedTuple):
    """A datagram in flight; compared by when it is due, then by the order in which it was sent."""

    due: int
    number: int
    payload: bytes
    satellite: Address


class DatagramLine:
    """Datagrams in flight in one direction; a heap and one timer.

    Args:
        channel: the direction.
        deliver: hands a datagram of, or to, a satellite over. ``False``: nobody was there to take it.
    """

    def __init__(self, channel: Channel, deliver: Callable[[bytes, Address], bool]) -> None:
        self._channel = channel
        self._deliver = deliver
        self._flying: list[_Airborne] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0
        self._offered = self._offered_bytes = 0
        self._delivered = self._delivered_bytes = 0
        self._refused = self._unheard = 0

    def send(self, payload: bytes, satellite: Address, *, heard: bool) -> None:
        """Let a datagram fly, if the signal is there."""
        self._offered += 1
        self._offered_bytes += len(payload)
        if not heard:
            self._unheard += 1
            return
        fate = self._channel.datagram(len(payload), time.monotonic_ns())
        if fate.flip is not None:
            payload = flipped(payload, fate.flip)
        for due in fate.arrivals:
            self._number += 1
            heappush(self._flying, _Airborne(due, self._number, payload, satellite))

    def schedule(self) -> None:
        """Wake up when the next one is due. To be called after :meth:`send`, once for a batch."""
        if not self._flying:
            return
        due = self._flying[0].due
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_due = due
        self._timer = loop.call_later(max(0, due - time.monotonic_ns()) / 1e9, self._land)

    def clear(self) -> None:
        """Whatever flies is gone."""
        self._unheard += len(self._flying)
        self._flying.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def crossings(self) -> Crossings:
        """Counts since the link was opened."""
        fortunes = self._channel.radio.fortunes
        return Crossings(
            datagrams=self._offered,
            bytes=Bytes(self._offered_bytes),
            delivered=self._delivered,
            delivered_bytes=Bytes(self._delivered_bytes),
            lost=fortunes.lost,
            dropped=fortunes.dropped,
            unheard=self._unheard,
            refused=self._refused,
            corrupted=fortunes.corrupted,
            duplicated=fortunes.duplicated,
            repeated=fortunes.repeated,
        )

    def _land(self) -> None:
        self._timer = None
        now = time.monotonic_ns()
        flying = self._flying
        for _ in range(_A_BATCH):
            if not flying or flying[0].due > now:
                break
            arrived = heappop(flying)
            if self._deliver(arrived.payload, arrived.satellite):
                self._delivered += 1
                self._delivered_bytes += len(arrived.payload)
            else:
                self._refused += 1
        self.schedule()


class DatagramRelay:
    """Carries datagrams both ways. Every satellite's address has a socket of its own towards the ground.

    Lives in one event loop, like the channels that it shares with the TCP connections. It remembers 256 satellites; of
    more, the one that has been silent longest is forgotten.
    """

    def __init__(self, down: Channel, up: Channel) -> None:
        self.down = DatagramLine(down, self._to_ground)
        self.up = DatagramLine(up, self._to_satellite)
        self._listener: socket.socket | None = None
        self._target: Address = ("", 0)
        self._hears: Callable[[], bool] = lambda: False
        self._sockets: OrderedDict[Address, socket.socket] = OrderedDict()

    def serve(self, listener: socket.socket, target: Address, *, hears: Callable[[], bool]) -> None:
        """Begin to carry what reaches ``listener`` to ``target``, and back; ``hears`` tells whether there is a signal.

        The listener is the caller's to close, after :meth:`close`.
        """
        _make_roomy(listener)
        self._listener, self._target, self._hears = listener, target, hears
        asyncio.get_running_loop().add_reader(listener, self._from_satellites)

    def clear(self) -> None:
        """The signal is lost: no datagram in flight arrives."""
        self.down.clear()
        self.up.clear()

    def close(self) -> None:
        """Stop, and drop what flies."""
        self.down.clear()
        self.up.clear()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener = None
        while self._sockets:
            self._forget_oldest()

    def _from_satellites(self) -> None:
        assert self._listener is not None
        heard = self._hears()
        send, receive = self.down.send, self._listener.recvfrom
        try:
            for _ in range(_A_BATCH):
                payload, satellite = receive(_LARGEST)
                send(payload, satellite, heard=heard)
        except BlockingIOError:
            pass
        self.down.schedule()

    def _from_ground(self, ground: socket.socket, satellite: Address) -> None:
        heard = self._hears()
        send, receive = self.up.send, ground.recv
        try:
            for _ in range(_A_BATCH):
                send(receive(_LARGEST), satellite, heard=heard)
        except BlockingIOError:
            pass
        except OSError as error:  # what the network reports about an earlier datagram
            log.debug("the ground cannot be reached", extra={"port": self._target[1], "reason": str(error)})
        self.up.schedule()

    def _to_ground(self, payload: bytes, satellite: Address) -> bool:
        try:
            self._socket_of(satellite).send(payload)
        except OSError as error:
            log.debug("the ground cannot be reached", extra={"port": self._target[1], "reason": str(error)})
            return False
        return True

    def _to_satellite(self, payload: bytes, satellite: Address) -> bool:
        if self._listener is None:
            return False
        try:
            self._listener.sendto(payload, satellite)
        except OSError as error:
            log.debug("a satellite cannot be reached", extra={"address": satellite, "reason": str(error)})
            return False
        return True

    def _socket_of(self, satellite: Address) -> socket.socket:
        ground = self._sockets.get(satellite)
        if ground is not None:
            self._sockets.move_to_end(satellite)
            return ground
        if len(self._sockets) == _MOST_SATELLITES:
            self._forget_oldest()
        ground = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            ground.setblocking(False)
            _make_roomy(ground)
            ground.connect(self._target)
        except OSError:
            ground.close()
            raise
        asyncio.get_running_loop().add_reader(ground, self._from_ground, ground, satellite)
        self._sockets[satellite] = ground
        return ground

    def _forget_oldest(self) -> None:
        _, ground = self._sockets.popitem(last=False)
        asyncio.get_running_loop().remove_reader(ground)
        ground.close()


def _make_roomy(endpoint: socket.socket) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        endpoint.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
