"""What leaves for the ground held to the downlink's rate, by the kernel's queue or by waiting here."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from orbitloop.domain.errors import OrbitloopError
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.ports.shaper import Peer, Shaper, ShaperKind

log = logging.getLogger(__name__)

Turn = Callable[[Bytes], None]
"""Returns when so many bytes may be sent; called from several threads, which share one rate."""

BURST = timedelta(milliseconds=50)
"""Pauses of the process that cost no rate: its threads wait for one another while one of them seals a bundle."""
_LEAST_SLEEP_S = 0.005
"""Shorter sleeps last longer than they are told to; what is not slept now is slept with the next piece."""


class Egress:
    """Holds what is sent to the gateway of a contact to the rate of ``policy``.

    The kernel's queue holds everything to the downlink's rate. Where the process has to wait itself, it lets bulk data
    have what the policy's reserve leaves; messages do not ask for their turn.

    Args:
        shaper: entered already, by whoever leaves it.
        sleep: seconds.
    """

    def __init__(self, shaper: Shaper, policy: LinkPolicy, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._shaper = shaper
        self._sleep = sleep
        spared = policy.reserve_percent if self.kind is ShaperKind.USER else 0
        self._rate = BitsPerSecond(max(1, policy.downlink * (100 - spared) // 100))

    @property
    def kind(self) -> ShaperKind:
        """Who holds the rate."""
        return self._shaper.kind

    @contextmanager
    def towards(self, host: str) -> Iterator[Turn]:
        """Limit what goes to ``host`` until the ``with`` block ends.

        A contact is worth more than its rate: where the limit cannot be set, the contact goes on without it and the
        event ``not_shaped`` says why.
        """
        peer = self._limited(host)
        if peer is None:
            yield at_once
            return
        try:
            yield partial(self._turn, peer)
        finally:
            self._lift(peer)

    def _limited(self, host: str) -> Peer | None:
        try:
            address = str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
            peer = Peer(address=address)
            self._shaper.limit(peer, self._rate)
        except (OSError, UnicodeError, OrbitloopError) as error:
            log.warning("not_shaped", extra={"host": host, "why": str(error)})
            return None
        return peer

    def _lift(self, peer: Peer) -> None:
        try:
            self._shaper.lift(peer)
        except OrbitloopError as error:
            log.warning("limit_not_lifted", extra={"host": peer.address, "why": str(error)})

    def _turn(self, peer: Peer, size: Bytes) -> None:
        wait = self._shaper.pace(peer, size).total_seconds()
        if wait >= _LEAST_SLEEP_S:
            self._sleep(wait)


def at_once(size: Bytes) -> None:
    """Nobody holds the rate."""
