"""What happened, as it happened: the raw material of the report."""

from __future__ import annotations

from dataclasses import dataclass, field

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.units import Digest
from orbitloop.ports.rounds import Round
from orbitloop.wire.messages import UpdateReport


@dataclass(slots=True, kw_only=True)
class PassEntry:
    """One pass, as flown."""

    number: int
    window: ContactWindow
    down: int = 0
    up: int = 0
    bundles: int = 0
    samples: int = 0
    cut: bool = False
    update_rounds: tuple[int, ...] = ()
    events: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class RoundEntry:
    """One round, as flown: what went into it and what came of it.

    Args:
        reference: mAP@0.5 of the all-data reference after this round, if one is trained.
        report: the satellite's own word on the update.
        state: the ground's record of the round, once it is closed.
        before, after: digests of what flies when the round begins and when it is over.
    """

    number: int
    before: Digest | None = None
    frames: int = 0
    captured: int = 0
    down: int = 0
    samples: int = 0
    train_steps: int = 0
    train_seconds: float = 0.0
    uplink_seconds: float = 0.0
    reference: float | None = None
    report: UpdateReport | None = None
    state: Round | None = None
    after: Digest | None = None


@dataclass(slots=True, kw_only=True)
class Logbook:
    """A mission's passes and rounds.

    Args:
        unfinished: what was waited for when the passes ran out; empty when every round was closed.
    """

    passes: list[PassEntry] = field(default_factory=list)
    rounds: list[RoundEntry] = field(default_factory=list)
    unfinished: str = ""
