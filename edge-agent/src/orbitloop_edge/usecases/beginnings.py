"""An update of which only a beginning is here: its whole steps may fly until the rest has arrived."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from orbitloop.domain.delta import Change
from orbitloop.domain.errors import Refused, WrongBase
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.gateway import Inbox
from orbitloop.wire.messages import Offer
from orbitloop.wire.update import Update

_log = logging.getLogger(__name__)

OnBeginning = Callable[[Path, Offer, Bytes], Digest | None]
"""Proves and swaps in what the first bytes of an update make; says what flies now, or ``None`` if nothing else does."""


class Tried(Protocol):
    """How many first steps of an update were tried, durably: no beginning is proved twice."""

    def steps(self, update: Digest) -> int:
        """So many of ``update``; 0 where another update was tried last."""
        ...

    def note(self, update: Digest, steps: int) -> None:
        """So many are about to be tried, or were. Raises ``NoSpace``."""
        ...


class Begun(Protocol):
    """The offer of an update of which only a beginning is here, until that was proved or given up."""

    def offer(self) -> Offer | None:
        """What waits, if anything does."""
        ...

    def drop(self) -> None:
        """It was answered, or the rest has come. Idempotent."""
        ...


def try_beginning(begun: Begun, inbox: Inbox, on_beginning: OnBeginning) -> None:
    """Let what is here of an update fly, if it is worth it. What is here stays, and so does the offer on the ground:
    whatever comes of it, the rest is fetched with the next contact, and nothing is said against the update.

    Raises:
        NotYet: it cannot be proved now; it waits.
    """
    if (offer := begun.offer()) is None:
        return
    path, here = inbox.beginning(offer.digest)
    try:
        flies = on_beginning(path, offer, here) if here else None
    except Refused as error:
        flies = None
        _log.warning("beginning_refused", extra={"update": offer.digest, "why": str(error)})
    begun.drop()
    if flies is not None:
        _log.info("beginning_flies", extra={"update": offer.digest, "flying": flies, "bytes": here})


def ahead(update: Update, flying: Digest) -> tuple[Change, ...]:
    """The changes that lead from what flies to the result: all of them, or those behind the beginning that flies.

    Raises:
        WrongBase: neither the update's base flies, nor what a beginning of it makes.
    """
    made = [update.base, *(step.result for step in update.steps[:-1])]
    if flying not in made:
        raise WrongBase(f"the update is for {update.base}, but {flying} flies; build it for what flies")
    return tuple(change for step in update.steps[made.index(flying) :] for change in step.changes)
