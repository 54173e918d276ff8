"""The pass planner's terms: what waits, what the link can do, and what goes when.

Pass by pass, each way by itself (:func:`~orbitloop.domain.passes.plan_passes`): telemetry and acknowledgements first,
at the full rate; then the bulk data that is worth most (see :mod:`~orbitloop.domain.packing`), at the rate less the
reserve; then, in what is left, the first part of what comes next. In a short queue the first few passes are also tried
as one. Nothing is planned that the window, the pass budget and the reserve do not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import BadInput
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.samples import Reason
from orbitloop.domain.traffic import Direction, TrafficClass
from orbitloop.domain.units import BitsPerSecond, Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A thing that waits to cross the link.

    Args:
        id: its name; no two items of a queue share one.
        size: bytes, all of them.
        across: how many of them are across already, from the front.
        value: what it is worth, 0 or more, in the unit of :attr:`~orbitloop.domain.samples.Sample.value`.
        traffic: what it is.
        direction: which way it goes.
        created: since when it waits.
        deadline: after which its arrival is worth nothing; ``None``: never.
        reason: why the sample was chosen, where it is one.
        resumable: whether a transfer that was cut goes on where it was; else it must fit into one pass.
    """

    id: str
    size: Bytes
    value: float
    traffic: TrafficClass
    direction: Direction
    created: datetime
    across: Bytes = Bytes(0)
    deadline: datetime | None = None
    reason: Reason | None = None
    resumable: bool = True

    def __post_init__(self) -> None:
        if not self.id:
            raise BadInput("an item of the queue has no id; name it")
        if self.size <= 0 or not 0 <= self.across < self.size:
            raise BadInput(f"item {self.id}: {self.across} of {self.size} bytes across; something must be left to send")
        if not 0 <= self.value < float("inf"):
            raise BadInput(f"item {self.id}: value {self.value} must be a number of 0 or more")
        if self.created.tzinfo is None or (self.deadline is not None and self.deadline.tzinfo is None):
            raise BadInput(f"item {self.id}: a time has no time zone; give it in UTC")

    @property
    def left(self) -> Bytes:
        """Bytes still to send; a transfer that cannot resume begins again."""
        return Bytes(self.size - self.across) if self.resumable else self.size


def nominal(policy: LinkPolicy) -> Callable[[ContactWindow, Direction], BitsPerSecond]:
    """The policy's rates, whatever the station."""
    rates = {Direction.DOWN: policy.downlink, Direction.UP: policy.uplink}
    return lambda _, direction: rates[direction]


def no_delay(_: ContactWindow, __: datetime) -> timedelta:
    """For links whose propagation delay does not matter."""
    return timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """What the link can do.

    Args:
        windows: of one satellite, over any stations, in any order; overlapping ones are taken in turns.
        policy: budgets, reserve and priorities.
        rate: bits per second that a pass really carries, each way; ``None``: the policy's nominal rates.
        delay: one-way propagation delay in a pass at a moment.
    """

    windows: Sequence[ContactWindow]
    policy: LinkPolicy = field(default_factory=LinkPolicy)
    rate: Callable[[ContactWindow, Direction], BitsPerSecond] | None = None
    delay: Callable[[ContactWindow, datetime], timedelta] = no_delay

    def rate_of(self, window: ContactWindow, direction: Direction) -> BitsPerSecond:
        """What ``window`` carries. Raises ``BadInput`` if that is negative."""
        rate = (self.rate or nominal(self.policy))(window, direction)
        if rate < 0:
            raise BadInput(f"{window}: a rate of {rate} bit/s is none")
        return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes of an item in one pass.

    Args:
        item: whose.
        begins: first byte, counted from the item's front.
        size: how many.
        arrival: when the last of them is received.
        last: whether the item is then complete.
    """

    item: Item
    begins: Bytes
    size: Bytes
    arrival: datetime
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPass:
    """One pass, one way.

    Args:
        window: from when it can be used.
        capacity: bytes that the window carries, within the pass budget.
        bulk: the most of them that bulk data may take: less what is urgent, less the reserve.
        parts: in order of sending.
    """

    window: ContactWindow
    direction: Direction
    capacity: Bytes
    bulk: Bytes
    parts: tuple[Part, ...]

    @property
    def used(self) -> Bytes:
        """Bytes that go."""
        return Bytes(sum(part.size for part in self.parts))

    @property
    def value(self) -> float:
        """What becomes complete in this pass is worth, without priority and age."""
        return sum(part.item.value for part in self.parts if part.last)


class Left(StrEnum):
    """Why an item does not arrive."""

    HORIZON = "no room before the last pass ends"
    DEADLINE = "no room before its deadline"
    TOO_LARGE = "cannot resume, and no pass is long enough"
    OVER_BUDGET = "larger than the policy's largest update"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassPlan:
    """What goes when.

    Args:
        passes: in order of acquisition; each window once for each direction.
        left: items that do not arrive within the passes, and why.
    """

    passes: tuple[PlannedPass, ...]
    left: tuple[tuple[Item, Left], ...]

    def arrivals(self) -> dict[str, datetime | None]:
        """When each item is received whole, by its id; ``None`` if it is not within the passes."""
        found: dict[str, datetime | None] = {item.id: None for item, _ in self.left}
        found.update({part.item.id: part.arrival for one in self.passes for part in one.parts if part.last})
        return found


def check_queue(items: Iterable[Item]) -> None:
    """Raise ``BadInput`` if two items share an id."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise BadInput(f"item {item.id} is queued twice; give each its own id")
        seen.add(item.id)
