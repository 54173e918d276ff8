"""Which satellites may be offered a new model: the canary first, then ring by ring, and no further after a regression.

A model that is good on the ground's held-out samples may still be worse over other land or in another light. So one
satellite proves it before others get it, as canary releases do for servers; each ring is larger than the one before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A satellite's part in a rollout.

    Args:
        name: of the satellite.
        ring: from 0, the canary's; a ring is served when the one before it flies the model.
        outcome: what it reported of the model; ``None``: nothing yet.
    """

    name: str
    ring: int
    outcome: Outcome | None = None

    def __post_init__(self) -> None:
        if self.ring < 0:
            raise BadInput(f"satellite {self.name} is in ring {self.ring}; rings are counted from 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The model is on offer to these satellites, in order; the rollout waits for what they report."""

    ring: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Every ring was served. Satellites that refused the model, of a ring where others fly it, fly another one.

    Args:
        without: names of those.
    """

    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Nobody else may be offered the model.

    Args:
        outcome: what stopped it: rolled back after a regression, or refused by a whole ring.
        reason: for people.
    """

    outcome: Outcome
    reason: str


Rollout: TypeAlias = Offer | Finished | Stop


def rings(names: Sequence[str]) -> tuple[Member, ...]:
    """The satellites in rings of 1, 2, 4, 8 and so on, in the order given: the first one is the canary."""
    return tuple(Member(name=name, ring=(place + 1).bit_length() - 1) for place, name in enumerate(names))


def next_offers(members: Sequence[Member]) -> Rollout:
    """Who may be offered the model now, or that and why the rollout is over.

    One satellite that rolled the model back stops everything, whatever ring it is in. A ring counts as served when all
    of it have reported and at least one flies the model: a refusal (another base, bytes that do not check out) says
    nothing of how good the model is.

    Raises:
        BadInput: there is no satellite, or two have one name.
    """
    _check(members)
    worse = [member.name for member in members if member.outcome is Outcome.ROLLED_BACK]
    if worse:
        return Stop(outcome=Outcome.ROLLED_BACK, reason=f"{', '.join(worse)} rolled the model back: it is worse there")
    for ring in sorted({member.ring for member in members}):
        inside = [member for member in members if member.ring == ring]
        waiting = tuple(member.name for member in inside if member.outcome is None)
        if waiting:
            return Offer(ring=ring, names=waiting)
        if all(member.outcome is Outcome.REFUSED for member in inside):
            names = ", ".join(member.name for member in inside)
            return Stop(
                outcome=Outcome.REFUSED, reason=f"{names} refused the model, and nobody in ring {ring} flies it"
            )
    return Finished(without=tuple(member.name for member in members if member.outcome is Outcome.REFUSED))


def _check(members: Sequence[Member]) -> None:
    if not members:
        raise BadInput("a rollout needs a satellite")
    twice = [name for name, count in Counter(member.name for member in members).items() if count > 1]
    if twice:
        raise BadInput(f"satellite {twice[0]} is in the rollout twice; name each once")
