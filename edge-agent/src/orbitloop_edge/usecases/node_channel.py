"""The Local Controller's part of a contact session: node events go down, the desired state comes up."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.units import Digest
from orbitloop.ports.gateway import Conversation, Crossed, Inbox, Uplink
from orbitloop.ports.node_channel import DesiredShelf, DesiredState, EventsOutbox
from orbitloop.wire.messages import Desired
from orbitloop.wire.node_messages import NodeEvent, NodeEvents, batch_of
from orbitloop_edge.usecases.node_events import NodeEvents as Told
from orbitloop_edge.usecases.transfers import fetch_artifact

_log = logging.getLogger(__name__)

_MOST_BATCHES = 16
"""Messages with events in one session, each of at most 32 kB: the rest waits, so that samples get their turn."""
_DESIRED = "node/desired"
_LONGEST_ERROR = 2_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DesiredIntake:
    """Where desired states go: bytes that arrived in ``inbox``, whole ones on the ``shelf``."""

    inbox: Inbox
    shelf: DesiredShelf


class ToldState:
    """A :class:`~orbitloop.ports.node_channel.DesiredState` whose refusals reach the ground, as event ``node/desired``.

    Args:
        state: what brings the node towards a document.
        events: takes ``{digest, error}`` of a document that cannot be used, and once of the next one that can.
    """

    def __init__(self, state: DesiredState, events: Told) -> None:
        self._state, self._events = state, events

    def apply(self, document: bytes) -> None:
        """Bring the node towards ``document``; errors as ``state`` raises them."""
        try:
            self._state.apply(document)
        except Refused as error:
            self._events.record(_DESIRED, {"digest": digest_of(document), "error": str(error)[:_LONGEST_ERROR]})
            raise
        if self._events.last(_DESIRED):
            self._events.record(_DESIRED, {})


def send_events(ground: Conversation, satellite: str, outbox: EventsOutbox) -> int:
    """Send what happened at the node, oldest first; returns how many events the ground acknowledged.

    Raises:
        LinkClosed: the signal was lost; what was not acknowledged is sent again, and counts once.
        NotYet: the ground cannot take more now.
        Untrusted: the ground does not want this satellite's events.
    """
    told = after = 0
    for _ in range(_MOST_BATCHES):
        batch = batch_of(outbox.pending(after))
        if not batch:
            break
        told += _tell(ground, satellite, outbox.origin, batch)
        after = batch[-1].sequence
        outbox.acknowledge(after)
    return told


def _tell(ground: Conversation, satellite: str, origin: str, batch: Sequence[NodeEvent]) -> int:
    """One message; where the ground will never take it, each event alone, and those that it refuses not at all."""
    try:
        ground.events(NodeEvents(satellite=satellite, origin=origin, events=tuple(batch)))
    except BadInput as error:
        if len(batch) == 1:
            _log.error("node_event_refused", extra={"subject": batch[0].subject, "why": str(error)})
            return 0
        return sum(_tell(ground, satellite, origin, [event]) for event in batch)
    return len(batch)


def fetch_desired(ground: Uplink, wanted: Desired, intake: DesiredIntake, crossed: Crossed) -> Digest:
    """Fetch a desired state, resuming what an earlier contact began, and take it; returns its digest.

    Raises:
        LinkClosed: the signal was lost; what arrived is kept.
        NotYet: the ground, or the disk on board, does not go on now; or it was kept and is applied later.
        BadInput: the ground serves more than it announced.
        Refused: it was kept, and cannot be used; it is not fetched again.
    """
    path = fetch_artifact(ground, wanted, intake.inbox, crossed)
    try:
        intake.shelf.put(path.read_bytes())
    finally:
        if intake.shelf.digest() == wanted.digest:
            intake.inbox.discard(wanted.digest)
    _log.info("desired_state_taken", extra={"digest": wanted.digest, "bytes": wanted.size})
    return wanted.digest
