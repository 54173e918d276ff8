"""Filling passes: from a queue and a link to a plan. What these are says :mod:`~orbitloop.domain.planning`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from orbitloop.domain.contacts import ContactWindow, turns, utc
from orbitloop.domain.packing import pack
from orbitloop.domain.planning import Carriage, Item, Left, Part, PassPlan, PlannedPass, check_queue
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.ranking import Doubles, by_density, effective_values
from orbitloop.domain.traffic import Direction, TrafficClass
from orbitloop.domain.units import Bytes, capacity

LOOKAHEAD = 3
"""Up to so many passes are tried as one, where the queue is short."""
FEW = 200
"""Bulk items of a short queue. In a longer one, what the end of a pass wastes is small beside what the pass carries."""
_FAR = datetime.max.replace(tzinfo=UTC)


def plan_passes(items: Iterable[Item], carriage: Carriage, now: datetime) -> PassPlan:
    """What goes in which pass, and when it arrives. The same answer whatever the order of ``items``.

    A thing counts what it is worth at the beginning of the pass, and only once it is complete. One with a deadline
    within the pass goes before those without, and not at all if it would come late.

    Raises:
        BadInput: two items share an id, or ``now`` has no time zone.
    """
    moment = utc(now)
    queue = sorted(items, key=lambda item: item.id)
    check_queue(queue)
    usable = [replace(turn, aos=max(turn.aos, moment)) for turn in turns(carriage.windows) if turn.los > moment]
    planned: list[PlannedPass] = []
    left: list[tuple[Item, Left]] = []
    for direction in Direction:
        mine = [item for item in queue if item.direction is direction]
        left += [(item, Left.OVER_BUDGET) for item in mine if _over_budget(item, carriage.policy)]
        allowed = [item for item in mine if not _over_budget(item, carriage.policy)]
        way = _best_way(_Way(carriage=carriage, direction=direction, waiting=allowed), usable, moment)
        planned += way.passes
        left += [(item, way.excuse(item)) for item in way.waiting]
    planned.sort(key=lambda one: (one.window, one.direction))
    return PassPlan(passes=tuple(planned), left=tuple(sorted(left, key=lambda row: row[0].id)))


def _best_way(start: _Way, windows: list[ContactWindow], now: datetime) -> _Way:
    """The passes filled one by one; or, where in the end more arrives, the first few of them planned as one.

    How many are tried as one depends on the queue alone, so that one more pass never delivers less.
    """
    best = start.filled(windows, ahead=0, held=frozenset())
    bulk = [item for item in start.waiting if not item.traffic.urgent]
    if len(bulk) > FEW:
        return best
    ranked, worth = _ranked(bulk, now, start.carriage.policy)
    worth_of = {item.id: float(one) for item, one in zip(ranked, worth, strict=True)}
    sizes = np.array([item.left for item in ranked], np.int64)
    one_by_one = best.passes
    for ahead in range(2, min(LOOKAHEAD, len(windows)) + 1):
        chosen = set(pack(worth, sizes, sum(one.bulk for one in one_by_one[:ahead])).tolist())
        held = frozenset(item.id for at, item in enumerate(ranked) if at not in chosen)
        tried = start.filled(windows, ahead=ahead, held=held)
        if tried.delivered(worth_of) > best.delivered(worth_of):
            best = tried
    return best


def order(items: Iterable[Item], now: datetime, policy: LinkPolicy) -> list[Item]:
    """The queue as it would go if the pass never ended: urgent things by age, then most worth per byte first."""
    queue = list(items)
    urgent = sorted((item for item in queue if item.traffic.urgent), key=_by_age)
    return urgent + _ranked([item for item in queue if not item.traffic.urgent], utc(now), policy)[0]


def _over_budget(item: Item, policy: LinkPolicy) -> bool:
    return item.traffic is TrafficClass.UPDATE and item.size > policy.update_budget


def _by_age(item: Item) -> tuple[datetime, datetime, str]:
    return (item.deadline or _FAR, item.created, item.id)


def _ranked(items: list[Item], moment: datetime, policy: LinkPolicy) -> tuple[list[Item], Doubles]:
    """Items by falling worth per byte that is left to send, and what each is worth at ``moment``."""
    if not items:
        return [], np.zeros(0)
    worth = effective_values(
        np.array([item.value for item in items], np.float64),
        factors=np.array([policy.factor(item.traffic, item.reason) for item in items], np.float64),
        waited=np.array([(moment - item.created).total_seconds() for item in items], np.float64),
        policy=policy,
    )
    ranks = by_density(worth, np.array([item.left for item in items], np.int64), [item.id for item in items])
    return [items[at] for at in ranks], worth[ranks]


@dataclass(slots=True, kw_only=True)
class _Way:
    """One direction: what still waits while passes are filled one after the other. What is ``held`` does not go yet."""

    carriage: Carriage
    direction: Direction
    waiting: list[Item]
    held: frozenset[str] = frozenset()
    passes: list[PlannedPass] = field(default_factory=list)

    def filled(self, windows: list[ContactWindow], *, ahead: int, held: frozenset[str]) -> _Way:
        """A copy with all ``windows`` filled, the first ``ahead`` of them without what is ``held``."""
        way = _Way(carriage=self.carriage, direction=self.direction, waiting=list(self.waiting), held=held)
        for number, window in enumerate(windows):
            if number == ahead:
                way.held = frozenset()
            way.passes.append(way._fill(window))
        return way

    def delivered(self, worth_of: dict[str, float]) -> float:
        """What the bulk data that arrives is worth together."""
        return sum(worth_of.get(part.item.id, 0.0) for one in self.passes for part in one.parts if part.last)

    def _fill(self, window: ContactWindow) -> PlannedPass:
        rate = self.carriage.rate_of(window, self.direction)
        room = capacity(window.duration, rate)
        budget = self.carriage.policy.pass_budget
        if self.direction is Direction.DOWN and budget is not None:
            room = min(room, budget)
        clock = _Clock(window=window, rate=rate, carriage=self.carriage)
        urgent = self._urgent(clock, room)
        spoken_for = sum(part.size for part in urgent)
        keep = self.carriage.policy.reserve_percent
        bulk = Bytes((room - spoken_for) * (100 - keep) // 100)
        parts = (*urgent, *self._bulk(clock.after(spoken_for, keep), bulk))
        self._sent(parts)
        return PlannedPass(window=window, direction=self.direction, capacity=room, bulk=bulk, parts=parts)

    def excuse(self, item: Item) -> Left:
        if item.deadline is not None:
            return Left.DEADLINE
        if not item.resumable and item.size > max((one.bulk for one in self.passes), default=0):
            return Left.TOO_LARGE
        return Left.HORIZON

    def _urgent(self, clock: _Clock, room: int) -> tuple[Part, ...]:
        """Telemetry and acknowledgements, oldest first, each in the first pass that carries it whole."""
        parts: list[Part] = []
        sent = 0
        for item in sorted((item for item in self.waiting if item.traffic.urgent), key=_by_age):
            arrival = clock.arrival(sent + item.left)
            if item.left <= room - sent and arrival <= (item.deadline or _FAR):
                sent += item.left
                parts.append(_part(item, item.left, arrival))
        return tuple(parts)

    def _bulk(self, clock: _Clock, room: int) -> tuple[Part, ...]:
        window = clock.window
        mine = [item for item in self.waiting if not item.traffic.urgent and item.id not in self.held]
        able = [item for item in mine if self._may_go(item, clock, room)]
        ranked, worth = _ranked(able, window.aos, self.carriage.policy)
        while True:
            sizes = np.array([item.left for item in ranked], np.int64)
            chosen = pack(worth, sizes, room)
            going = sorted((ranked[at] for at in chosen), key=lambda item: _due(item, window))
            parts, late = clock.timed(going)
            if not late:
                break
            keep = [at for at, item in enumerate(ranked) if item.id not in late]
            ranked, worth = [ranked[at] for at in keep], worth[keep]
        taken = set(chosen.tolist())
        rest = [item for at, item in enumerate(ranked) if at not in taken]
        begun = self._begun(rest, clock, room - sum(part.size for part in parts), sum(part.size for part in parts))
        return (*parts, *begun)

    def _may_go(self, item: Item, clock: _Clock, room: int) -> bool:
        """Whether ``item``, were it the only one, could arrive in this pass or go on in the next."""
        due = item.deadline or _FAR
        if item.left <= room:
            return clock.arrival(item.left) <= due
        return item.resumable and due > clock.window.los

    def _begun(self, rest: list[Item], clock: _Clock, room: int, sent: int) -> tuple[Part, ...]:
        """In what is left of the pass, the first part of the densest item that may go on in the next one."""
        window = clock.window
        following = next((item for item in rest if item.resumable and (item.deadline or _FAR) > window.los), None)
        if following is None or room <= 0:
            return ()
        # It does not fit whole: the packing took whatever did, up to the first that is larger than the pass.
        return (_part(following, room, clock.arrival(sent + room)),)

    def _sent(self, parts: tuple[Part, ...]) -> None:
        gone = {part.item.id for part in parts if part.last}
        begun = {part.item.id: part for part in parts if not part.last}
        self.waiting = [
            replace(item, across=Bytes(item.across + begun[item.id].size)) if item.id in begun else item
            for item in self.waiting
            if item.id not in gone
        ]


def _due(item: Item, window: ContactWindow) -> datetime:
    """When an item must be there, if that is within the pass; sorting by it keeps the order of the others."""
    return item.deadline if item.deadline is not None and item.deadline < window.los else _FAR


def _part(item: Item, size: int, arrival: datetime) -> Part:
    begins = item.across if item.resumable else Bytes(0)
    return Part(item=item, begins=begins, size=Bytes(size), arrival=arrival, last=size == item.left)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clock:
    """When bytes of a pass are received, counted from the first that goes ``offset`` after acquisition."""

    window: ContactWindow
    rate: float
    carriage: Carriage
    offset: timedelta = timedelta(0)

    def after(self, sent: int, reserve: int) -> _Clock:
        """The clock of what follows ``sent`` bytes, at the rate less ``reserve`` per cent."""
        return replace(self, offset=self._lasts(sent), rate=self.rate * (100 - reserve) / 100)

    def arrival(self, sent: int) -> datetime:
        """When the last of ``sent`` bytes is received."""
        leaves = min(self.window.aos + self.offset + self._lasts(sent), self.window.los)
        return leaves + self.carriage.delay(self.window, leaves)

    def _lasts(self, sent: int) -> timedelta:
        return timedelta(seconds=sent * 8 / self.rate) if sent else timedelta(0)

    def timed(self, going: list[Item]) -> tuple[list[Part], set[str]]:
        """Each item with its arrival, one after the other; and which of them would come after their deadline."""
        parts: list[Part] = []
        sent = 0
        for item in going:
            sent += item.left
            parts.append(_part(item, item.left, self.arrival(sent)))
        return parts, {part.item.id for part in parts if part.arrival > (part.item.deadline or _FAR)}
