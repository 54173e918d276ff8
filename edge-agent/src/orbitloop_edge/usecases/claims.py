"""The bundles of one contact, shared by its senders: no two send the same one, together they stay in the budget."""

from __future__ import annotations

import threading

from orbitloop.domain.units import BitsPerSecond, Bytes, Digest
from orbitloop.ports.spool import Spool

_LINK_SECONDS = 1.0
"""Link time that one bundle takes: long against the ground's answer, short against a pass."""
_LEAST = 256 * 2**10
_LAST_PARTS = 4
"""The rest of a pass is cut into so many bundles at least, so that it never ends in the middle of a giant."""


def bundle_size(rate: BitsPerSecond) -> Bytes:
    """How large a bundle for a link of ``rate`` is."""
    return Bytes(max(_LEAST, int(rate / 8 * _LINK_SECONDS)))


class Claims:
    """Hands out bundles until nothing waits or the budget is used up. Threads share one.

    Args:
        spool: where the bundles come from.
        budget: most bytes that may go down.
        largest: size of a bundle while there is much of the pass left, bytes.
    """

    def __init__(self, spool: Spool, budget: Bytes, largest: Bytes) -> None:
        self._spool = spool
        self._left = int(budget)
        self._largest = largest
        self._under_way: set[Digest] = set()
        self._guard = threading.Lock()

    def claim(self) -> tuple[Digest, bytes] | None:
        """A bundle that nobody else sends in this contact, or ``None``."""
        with self._guard:
            if self._left <= 0:
                return None
            size = min(self._left, self._largest, max(_LEAST, self._left // _LAST_PARTS))
            sealed = self._spool.seal(Bytes(size), frozenset(self._under_way))
            if sealed is not None:
                self._under_way.add(sealed[0])
            return sealed

    def grant(self, most: Bytes) -> Bytes:
        """Take up to ``most`` bytes out of the budget; returns how many these are."""
        with self._guard:
            granted = max(0, min(self._left, most))
            self._left -= granted
            return Bytes(granted)

    def again(self, bundle: Digest) -> None:
        """Let a bundle be claimed once more."""
        with self._guard:
            self._under_way.discard(bundle)

    def delivered(self, bundle: Digest) -> None:
        """The ground holds it durably: its samples leave the spool."""
        self._spool.delivered(bundle)
        self.again(bundle)

    def unseal(self, bundle: Digest) -> None:
        """The ground will never take it: its samples wait again."""
        self._spool.unseal(bundle)
        self.again(bundle)
