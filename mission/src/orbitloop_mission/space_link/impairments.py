"""What goes wrong on a link: loss, corruption, duplication and jitter, as seeded models without a clock.

Every model draws in blocks of a fixed size from a generator of its own. So the fate of a direction's nth packet depends
on the seed and on n alone: not on how packets are grouped into calls, and not on the other models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput

_BLOCK = 4_096
_SMALLEST_RECOVERY = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstLoss:
    """Loss in bursts: a chain with a good and a bad state, each with its own probability of loss.

    E. N. Gilbert, "Capacity of a Burst-Noise Channel", Bell System Technical Journal 39 (1960), with the good state's
    errors that E. O. Elliott added ("Estimates of Error Rates for Codes on Burst-Noise Channels", ibid. 42, 1963). The
    chain moves once a packet, before the packet's fate is drawn.

    Args:
        p: probability of going from good to bad.
        r: probability of going from bad to good; a burst lasts 1/r packets on average.
        good: probability that a packet is lost in the good state.
        bad: the same in the bad state.

    Raises:
        BadInput: what is no probability, bursts without end, or a good state that loses everything.
    """

    p: float
    r: float
    good: float = 0.0
    bad: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("p", self.p), ("r", self.r), ("good", self.good), ("bad", self.bad)):
            _check_probability(f"burst loss, {name}", value)
        if self.r < _SMALLEST_RECOVERY:
            raise BadInput(f"burst loss, r = {self.r}: bursts would not end; give at least {_SMALLEST_RECOVERY}")
        if self.good == 1.0:
            raise BadInput("burst loss: the good state loses every packet; give a probability below 1")

    @property
    def mean(self) -> float:
        """The share of packets lost in the long run."""
        bad = self.p / (self.p + self.r)
        return self.good * (1 - bad) + self.bad * bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Impairments:
    """What befalls packets, in either direction and independently of one another.

    Args:
        loss: probability that a packet is lost.
        burst_loss: loss in bursts, beside ``loss``.
        corruption: probability that one bit of a packet, at a random place, is flipped.
        duplication: probability that a packet arrives twice.
        jitter: what a packet is late by, at most, on top of the delay; uniform from zero.

    Raises:
        BadInput: what is no probability, or a negative jitter.
    """

    loss: float = 0.0
    burst_loss: BurstLoss | None = None
    corruption: float = 0.0
    duplication: float = 0.0
    jitter: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        for name in ("loss", "corruption", "duplication"):
            value = getattr(self, name)
            _check_probability(name, value)
            if value == 1.0:
                raise BadInput(f"{name} of 1 befalls every packet; give a probability below 1")
        if self.jitter < timedelta(0):
            raise BadInput(f"jitter of {self.jitter} is negative; give a duration from 0")


class Fates:
    """A sequence of yes or no, one a packet, consumed in order. Without a model the answer is always no."""

    __slots__ = ("_block", "_draw", "_next")

    def __init__(self, draw: Callable[[], NDArray[np.bool_]] | None) -> None:
        self._draw = draw
        self._block = b""
        self._next = 0

    def take(self, packets: int) -> int:
        """How many of the next ``packets`` it befalls."""
        if self._draw is None:
            return 0
        befallen = 0
        while packets > 0:
            if self._next == len(self._block):
                self._block, self._next = self._draw().tobytes(), 0
            end = min(len(self._block), self._next + packets)
            befallen += self._block.count(1, self._next, end)
            packets -= end - self._next
            self._next = end
        return befallen


def uniform_fates(probability: float, rng: np.random.Generator) -> Fates:
    """Each packet for itself, with ``probability``."""
    return Fates((lambda: rng.random(_BLOCK) < probability) if probability > 0 else None)


def burst_fates(model: BurstLoss | None, rng: np.random.Generator) -> Fates:
    """The losses of a Gilbert-Elliott chain that begins in the good state."""
    return Fates(None if model is None else _Chain(model, rng))


class _Chain:
    """Draws a block at a time, state by state: a state lasts a geometric number of packets."""

    def __init__(self, model: BurstLoss, rng: np.random.Generator) -> None:
        self._model = model
        self._states, self._losses = rng.spawn(2)
        self._bad = False
        # Good holds until the first move, which comes before the first packet.
        self._left = self._lasting() - 1

    def __call__(self) -> NDArray[np.bool_]:
        """The next block: whether each packet is lost."""
        bad = np.zeros(_BLOCK, dtype=np.bool_)
        filled = 0
        while filled < _BLOCK:
            if self._left == 0:
                self._bad = not self._bad
                self._left = self._lasting()
            step = min(self._left, _BLOCK - filled)
            bad[filled : filled + step] = self._bad
            filled += step
            self._left -= step
        losses: NDArray[np.bool_] = self._losses.random(_BLOCK) < np.where(bad, self._model.bad, self._model.good)
        return losses

    def _lasting(self) -> int:
        leave = self._model.r if self._bad else self._model.p
        return int(self._states.geometric(leave)) if leave > 0 else np.iinfo(np.int64).max


def _check_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise BadInput(f"{name} = {value} is no probability; give a number from 0 to 1")
