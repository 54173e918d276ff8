"""What a node's Local Controller says beside the samples: what became of its datasets and workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AwareDatetime, Field, JsonValue, field_validator, model_validator

from orbitloop.wire.messages import Message, Name

MOST_EVENTS = 64
"""Events that one message may hold."""
LARGEST_VALUE = 8 * 1_000
"""Bytes of the largest value of one event, as JSON."""
LARGEST_EVENTS = 32 * 1_000
"""Bytes that the events of one message may take: half of what the ground reads of one."""

Subject = Annotated[str, Field(pattern=r"^[a-z]{1,32}/[!-~]{1,511}$")]


class NodeEvent(Message):
    """The last word about one subject; it replaces what was said of it before.

    Args:
        sequence: grows with every event of one outbox.
        subject: what it is about: ``dataset/NAMESPACE/NAME``, ``worker/NAMESPACE/NAME``, ``node/WORD``.
        at: when, by the node's clock.
        value: what is so now, as the ground's operators read it.
    """

    sequence: int = Field(ge=1, lt=2**53)
    subject: Subject
    at: AwareDatetime
    value: dict[str, JsonValue]

    @model_validator(mode="after")
    def _small(self) -> NodeEvent:
        if (size := len(self.model_dump_json(include={"value"}).encode())) > LARGEST_VALUE:
            raise ValueError(f"the value of {self.subject} takes {size} bytes, over the limit of {LARGEST_VALUE}")
        return self


class NodeEvents(Message):
    """Some events of one node, oldest first; may come twice.

    Args:
        origin: random name of the outbox that counts them: one that was made anew counts from the start.
    """

    satellite: Name
    origin: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    events: tuple[NodeEvent, ...] = Field(min_length=1, max_length=MOST_EVENTS)

    @field_validator("events")
    @classmethod
    def _in_order(cls, value: tuple[NodeEvent, ...]) -> tuple[NodeEvent, ...]:
        sequences = [event.sequence for event in value]
        if sequences != sorted(set(sequences)):
            raise ValueError("events must come in the order of their sequence, each once")
        return value


def batch_of(events: Sequence[NodeEvent]) -> list[NodeEvent]:
    """The first of ``events`` that fit one message: at least one, at most ``MOST_EVENTS``."""
    chosen: list[NodeEvent] = []
    room = LARGEST_EVENTS
    for event in events[:MOST_EVENTS]:
        room -= len(event.model_dump_json().encode())
        if chosen and room < 0:
            break
        chosen.append(event)
    return chosen
