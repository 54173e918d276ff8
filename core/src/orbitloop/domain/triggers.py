"""When a stage of a job may begin: a condition on a metric, and hours of the day.

Sedna's triggers (``trainSpec.trigger``, ``deploySpec.trigger``), with four differences: hours are UTC; other hours
defer instead of discarding; a list without an index counts by its mean; and a malformed rule is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import TypeAlias, assert_never

from orbitloop.domain.errors import BadInput

Metric: TypeAlias = float | Sequence[float]
"""A number, or one per class or threshold."""

Metrics: TypeAlias = Mapping[str, Metric]
"""What a condition can ask for, by name."""

NUM_OF_SAMPLES = "num_of_samples"
"""The metric of a training trigger: samples for training that no round has used."""

DRIFT = "drift"
"""The metric of a training trigger: how far what the satellite sees has moved, see :mod:`orbitloop.domain.drift`."""

EPSILON = 1e-6
"""Numbers that differ by less count as equal, as in Sedna."""

_INDEXED = re.compile(r"(?P<name>[^\[\]]+)\[(?P<index>-?\d+)\]")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")

END_OF_DAY = "24:00"
"""What Sedna's own samples write for the end of a day."""

_LAST_MINUTE = time(23, 59)


class Comparison(StrEnum):
    """How a metric is compared with the threshold."""

    GREATER = ">"
    AT_LEAST = ">="
    EQUAL = "="
    DIFFERENT = "!="
    AT_MOST = "<="
    LESS = "<"

    @classmethod
    def named(cls, name: str) -> Comparison:
        """The comparison that Sedna writes as ``name``: ``gt`` or ``>``, and so on.

        Raises:
            BadInput: there is no such comparison.
        """
        try:
            return _NAMES[name]
        except KeyError:
            raise BadInput(f"{name!r} is no operator; write one of {', '.join(_NAMES)}") from None

    def holds(self, value: float, threshold: float) -> bool:
        """Whether ``value`` compares with ``threshold`` so."""
        equal = abs(value - threshold) < EPSILON
        match self:
            case Comparison.GREATER:
                return value > threshold and not equal
            case Comparison.AT_LEAST:
                return value >= threshold or equal
            case Comparison.EQUAL:
                return equal
            case Comparison.DIFFERENT:
                return not equal
            case Comparison.AT_MOST:
                return value <= threshold or equal
            case Comparison.LESS:
                return value < threshold and not equal
            case _:
                assert_never(self)


_NAMES = {
    "gt": Comparison.GREATER,
    ">": Comparison.GREATER,
    "ge": Comparison.AT_LEAST,
    ">=": Comparison.AT_LEAST,
    "eq": Comparison.EQUAL,
    "=": Comparison.EQUAL,
    "==": Comparison.EQUAL,
    "ne": Comparison.DIFFERENT,
    "!=": Comparison.DIFFERENT,
    "le": Comparison.AT_MOST,
    "<=": Comparison.AT_MOST,
    "lt": Comparison.LESS,
    "<": Comparison.LESS,
}

OPERATORS = tuple(_NAMES)
"""What a condition may write for a comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCondition:
    """A metric compared with a number.

    Args:
        metric: its name; ``name[i]`` picks one of a list.
        comparison: how.
        threshold: a finite number.
    """

    metric: str
    comparison: Comparison
    threshold: float

    def __post_init__(self) -> None:
        if not self.metric:
            raise BadInput("a condition needs the name of a metric")
        if not math.isfinite(self.threshold):
            raise BadInput(f"the threshold of {self.metric} is {self.threshold}; write a number")


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyHours:
    """Hours of each day, UTC, both minutes included; past midnight where ``start`` is after ``end``."""

    start: time
    end: time

    @classmethod
    def between(cls, start: str, end: str) -> DailyHours:
        """The hours from ``start`` to ``end``, each ``HH:MM``; ``24:00`` is the end of a day. Raises ``BadInput``."""
        return cls(start=_clock(start), end=_LAST_MINUTE if end == END_OF_DAY else _clock(end))

    def contain(self, moment: datetime) -> bool:
        """Whether ``moment`` lies in them."""
        minute = moment.astimezone(UTC).time().replace(second=0, microsecond=0)
        if self.start <= self.end:
            return self.start <= minute <= self.end
        return minute >= self.start or minute <= self.end

    def next_start(self, moment: datetime) -> datetime:
        """When they begin next after ``moment``, UTC."""
        utc = moment.astimezone(UTC)
        begins = datetime.combine(utc.date(), self.start, tzinfo=UTC)
        return begins if begins > utc else begins + timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A condition and hours, both of which must hold; one that is left out always holds.

    Args:
        check_period: how often it is looked at where nothing says that the metric has changed.
    """

    condition: MetricCondition | None = None
    hours: DailyHours | None = None
    check_period: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a trigger holds.

    Args:
        holds: it does.
        reason: why, or why not.
        opens: only the hours are wrong; they begin then.
    """

    holds: bool
    reason: str
    opens: datetime | None = None


def judge(trigger: Trigger, metrics: Metrics, now: datetime) -> Verdict:
    """Whether ``trigger`` holds at ``now``, by ``metrics``; only what its condition allows is deferred by its hours."""
    said = "nothing else is asked for"
    if trigger.condition is not None:
        value = _value(trigger.condition.metric, metrics)
        if isinstance(value, str):
            return Verdict(holds=False, reason=value)
        asked = trigger.condition
        said = f"{asked.metric} is {value:g}, asked for is {asked.comparison} {asked.threshold:g}"
        if not asked.comparison.holds(value, asked.threshold):
            return Verdict(holds=False, reason=said)
    if trigger.hours is not None and not trigger.hours.contain(now):
        opens = trigger.hours.next_start(now)
        return Verdict(holds=False, reason=f"outside its hours, which begin at {opens:%Y-%m-%d %H:%M} UTC", opens=opens)
    return Verdict(holds=True, reason=said)


def deployment_metrics(new: Metrics, old: Metrics) -> dict[str, Metric]:
    """What a deploy trigger can ask for: the new model's metrics, and as ``<name>_delta`` how they differ from the old.

    Lists are subtracted element by element, as far as both go; a metric that the old model lacks has no delta.
    """
    made: dict[str, Metric] = dict(new)
    for name, value in new.items():
        if name not in old:
            continue
        before = old[name]
        if isinstance(value, Sequence) and isinstance(before, Sequence):
            made[f"{name}_delta"] = [a - b for a, b in zip(value, before, strict=False)]
        elif not isinstance(value, Sequence) and not isinstance(before, Sequence):
            made[f"{name}_delta"] = value - before
    return made


def _value(metric: str, metrics: Metrics) -> float | str:
    """The number that ``metric`` names, or why there is none."""
    indexed = _INDEXED.fullmatch(metric)
    name = metric if indexed is None else indexed["name"]
    if name not in metrics:
        return f"there is no metric {name}; there are {', '.join(sorted(metrics)) or 'none'}"
    found = metrics[name]
    if not isinstance(found, Sequence):
        return f"{name} is one number; leave the index out" if indexed else float(found)
    if indexed is None:
        return sum(found) / len(found) if found else f"{name} is an empty list"
    index = int(indexed["index"])
    if not 0 <= index < len(found):
        return f"{name} has {len(found)} numbers; {metric} is none of them"
    return float(found[index])


def _clock(text: str) -> time:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise BadInput(f"{text!r} is no time of day; write it as HH:MM, for instance 02:30")
    return time(int(found[1]), int(found[2]))
