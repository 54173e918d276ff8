"""What waiting things are worth now, and in which order they go: value per byte, raised by priority and by age.

The worth of a thing is ``max(value, LEAST) · priority · (1 + waited / doubling)``; see
:class:`~orbitloop.domain.policy.LinkPolicy`. The least value keeps what is worth nothing (a tile drawn for the audit)
from waiting for ever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.samples import Reason
from orbitloop.domain.traffic import TrafficClass

LEAST = 0.001
"""What a thing counts at least, in the unit of :attr:`~orbitloop.domain.samples.Sample.value`."""

Doubles = NDArray[np.float64]


def effective_value(
    value: float, *, reason: Reason | TrafficClass | None, waited: timedelta, policy: LinkPolicy
) -> float:
    """The worth of one thing that has waited so long; a negative wait (a clock stepped back) counts as none.

    Args:
        value: what it was worth when it came, 0 or more.
        reason: why the sample was chosen, or what kind of traffic it is; ``None`` has no priority of its own.

    Raises:
        BadInput: the value is negative or no number.
    """
    if not (math.isfinite(value) and value >= 0):
        raise BadInput(f"value {value} must be a number of 0 or more")
    age = max(0.0, waited / policy.doubling)
    return max(value, LEAST) * policy.factor(reason) * (1 + age)


def effective_values(values: Doubles, *, factors: Doubles, waited: Doubles, policy: LinkPolicy) -> Doubles:
    """:func:`effective_value` of ``(n,)`` things at once.

    Args:
        values: ``(n,)``, 0 or more.
        factors: ``(n,)`` or one: :meth:`LinkPolicy.factor` of each.
        waited: ``(n,)`` seconds.
    """
    age = np.maximum(0.0, waited / policy.doubling.total_seconds())
    return np.asarray(np.maximum(values, LEAST) * factors * (1 + age), np.float64)


def by_density(worth: Doubles, sizes: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int64]:
    """Positions of ``(n,)`` things in order of sending: most worth per byte first, ties by name."""
    density = worth / np.maximum(sizes, 1)
    return np.asarray(np.lexsort((np.asarray(names, dtype=np.str_), -density)), np.int64)
