"""A selection logic on its way up: fetched in a contact, resumed by the next, and put where the worker looks for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orbitloop.domain.units import Digest
from orbitloop.ports.gateway import Crossed, Inbox, Uplink
from orbitloop.wire.messages import OfferedSelection
from orbitloop_edge.usecases.transfers import fetch_artifact

_log = logging.getLogger(__name__)


class SelectionShelf(Protocol):
    """Where a logic that was fetched goes. Whether it flies is the worker's matter."""

    def digest(self) -> Digest | None:
        """Of what was fetched last, so that it is not fetched again, whatever became of it."""
        ...

    def put(self, path: Path, digest: Digest) -> None:
        """Put the file at ``path`` in place of the one before, durably. Raises ``NoSpace``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SelectionIntake:
    """Bytes that arrived in ``inbox``, whole ones on the ``shelf``."""

    inbox: Inbox
    shelf: SelectionShelf


def fetch_selection(ground: Uplink, offer: OfferedSelection, intake: SelectionIntake, crossed: Crossed) -> None:
    """Fetch a logic, resuming what an earlier contact began, and put it on the shelf.

    Raises:
        LinkClosed: the signal was lost; what arrived is kept.
        NotYet: the ground, or the disk on board, does not go on now; what arrived is kept.
        BadInput: the ground serves more than it announced.
    """
    path = fetch_artifact(ground, offer, intake.inbox, crossed)
    intake.shelf.put(path, offer.digest)
    intake.inbox.discard(offer.digest)
    _log.info("selection_arrived", extra={"digest": offer.digest, "bytes": offer.size})
