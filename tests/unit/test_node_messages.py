from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orbitloop.domain.digests import digest_of
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import MOST_DESIRED, Desired, Hello, Welcome
from orbitloop.wire.node_messages import (
    LARGEST_EVENTS,
    LARGEST_VALUE,
    MOST_EVENTS,
    NodeEvent,
    NodeEvents,
    batch_of,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "wire-1"
ORIGIN = "0123456789abcdef0123456789abcdef"


def an_event(sequence: int, *, subject: str = "dataset/default/images", size: int = 10) -> NodeEvent:
    return NodeEvent(sequence=sequence, subject=subject, at=LAUNCH, value={"text": "x" * size})


def some_events(**changes: object) -> NodeEvents:
    said = {"satellite": "sat-1", "origin": ORIGIN, "events": [an_event(1), an_event(2)]}
    return NodeEvents.model_validate(said | changes)


def test_events_of_wire_version_1_are_still_read() -> None:
    stored = json.loads((GOLDEN / "nodeevents.json").read_bytes())
    expected = NodeEvent(sequence=7, subject="dataset/default/images", at=LAUNCH, value={"numberOfSamples": 12})
    read = NodeEvents.model_validate_json(json.dumps(stored | {"from_the_future": 1}))
    assert read == NodeEvents(satellite="sat-1", origin=ORIGIN, events=(expected,))


@pytest.mark.parametrize(("name", "kind"), [("hello", Hello), ("welcome", Welcome)], ids=["hello", "welcome"])
def test_what_was_said_before_there_was_a_desired_state_says_nothing_of_it(
    name: str, kind: type[Hello | Welcome]
) -> None:
    assert kind.model_validate_json((GOLDEN / f"{name}.json").read_bytes()).desired is None


@pytest.mark.parametrize(
    "changes",
    [
        {"events": []},
        {"events": [an_event(2), an_event(1)]},
        {"events": [an_event(1), an_event(1)]},
        {"events": [an_event(number + 1) for number in range(MOST_EVENTS + 1)]},
        {"origin": "not hexadecimal"},
        {"satellite": "../sat"},
    ],
    ids=["no event", "out of order", "one twice", "too many", "an odd origin", "an odd name"],
)
def test_events_that_cannot_be_right_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        some_events(**changes)


@pytest.mark.parametrize("subject", ["", "dataset", "dataset/", "Dataset/a", "dataset/a b", "x/" + "a" * 600])
def test_a_subject_is_a_kind_and_a_name(subject: str) -> None:
    with pytest.raises(ValidationError, match="subject"):
        an_event(1, subject=subject)


def test_a_value_is_small() -> None:
    with pytest.raises(ValidationError, match="over the limit"):
        an_event(1, size=LARGEST_VALUE)


@pytest.mark.parametrize("size", [0, MOST_DESIRED + 1])
def test_a_desired_state_has_a_size_that_can_be(size: int) -> None:
    with pytest.raises(ValidationError, match="size"):
        Desired.model_validate({"digest": digest_of(b""), "size": size})


@given(st.lists(st.integers(0, LARGEST_VALUE - 100), min_size=1, max_size=200))
def test_a_batch_is_the_longest_beginning_that_one_message_takes(sizes: list[int]) -> None:
    events = [an_event(number + 1, size=size) for number, size in enumerate(sizes)]
    batch = batch_of(events)
    assert batch == events[: len(batch)]
    assert 0 < len(batch) <= MOST_EVENTS
    taken = sum(len(event.model_dump_json()) for event in batch)
    assert taken <= LARGEST_EVENTS
    if len(batch) < min(len(events), MOST_EVENTS):
        assert taken + len(events[len(batch)].model_dump_json()) > LARGEST_EVENTS
    assert len(some_events(events=batch).model_dump_json()) < 64 * 2**10
