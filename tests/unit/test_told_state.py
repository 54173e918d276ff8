from __future__ import annotations

from pathlib import Path

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.node_channel import RememberedState
from orbitloop.testing.samples import LAUNCH
from orbitloop_edge.adapters.node_events import NodeEventsFile
from orbitloop_edge.usecases.node_channel import ToldState


def test_a_document_that_cannot_be_used_is_told_until_one_can(tmp_path: Path) -> None:
    events = NodeEventsFile(tmp_path / "events.db", VirtualClock(LAUNCH))
    state = ToldState(RememberedState([BadInput("no document of ours")]), events)
    with pytest.raises(BadInput):
        state.apply(b"[]")
    (told,) = events.pending(0)
    assert (told.subject, told.value) == (
        "node/desired",
        {"digest": digest_of(b"[]"), "error": "no document of ours"},
    )
    for _ in range(2):
        state.apply(b"{}")
    (cleared,) = events.pending(0)
    assert cleared.value == {}
    events.close()


def test_what_can_be_used_or_may_be_later_is_no_event(tmp_path: Path) -> None:
    events = NodeEventsFile(tmp_path / "events.db", VirtualClock(LAUNCH))
    state = ToldState(RememberedState([NotYet("busy")]), events)
    with pytest.raises(NotYet):
        state.apply(b"{}")
    state.apply(b"{}")
    assert events.pending(0) == []
    events.close()
