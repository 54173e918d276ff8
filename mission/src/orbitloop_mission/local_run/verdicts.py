"""When a run is over, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.service_conditions import state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a run is for.

    Args:
        rounds: rounds that each job is to have closed in all; ``None``: it goes on.
        once: what can be done now, at most one more round of each job.
        begun: the round that each job was in when the run began.
    """

    rounds: int | None = None
    once: bool = False
    begun: Mapping[Key, int] = field(default_factory=dict)

    def is_reached(self, key: Key, round: int) -> bool:
        """Whether a job that is in ``round`` has done its part."""
        if self.once:
            return round > self.begun.get(key, 1)
        return self.rounds is not None and round > self.rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """All jobs did what they were to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Somebody has to do something before it can go on."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """It goes on later, by samples or hours that come."""

    message: str


Verdict: TypeAlias = Done | Stuck | Waits


_OFFERED = {"Starting", "Running"}
_MENDED_BY_SOMEBODY = {"MissingModel", "NoNode", "UnknownNode"}


class _Standing(StrEnum):
    WORKS = "works"
    REACHED = "reached"
    WAITS = "waits"
    STUCK = "stuck"


def verdict(jobs: Sequence[Document], goal: Goal) -> Verdict | None:
    """How the run has ended; ``None``: it goes on.

    Args:
        jobs: IncrementalLearningJobs, and JointInferenceServices, which have done their part while they run.
    """
    standings = {Key.of(job): _judged(job, goal) for job in jobs}
    found = [standing for standing, _ in standings.values()]
    if _Standing.WORKS in found or (_Standing.WAITS in found and not goal.once):
        return None
    if _Standing.STUCK in found:
        return Stuck(message=_told(standings, _Standing.STUCK, "lastError"))
    failed = {key: one for key, one in standings.items() if one[0] is _Standing.REACHED and one[1].get("lastError")}
    if failed:
        return Stuck(message=_told(failed, _Standing.REACHED, "lastError"))
    if _Standing.WAITS in found:
        return Waits(message=_told(standings, _Standing.WAITS, "message"))
    return Done()


def _judged(job: Document, goal: Goal) -> tuple[_Standing, Document]:
    """How far a job is, and the status that says so."""
    if job["kind"] == "IncrementalLearningJob":
        return _standing(job, goal), job.get("status") or {}
    state = state_of(job) or {}
    said = {"lastError": state.get("message", ""), "message": state.get("message", "")}
    if state.get("type") == "Running":
        ends = goal.once or goal.rounds is not None
        return (_Standing.REACHED, {}) if ends else (_Standing.WAITS, said)
    if state.get("type") == "Failed" or state.get("reason") in _MENDED_BY_SOMEBODY:
        return _Standing.STUCK, said
    return _Standing.WORKS, said


def _standing(job: Document, goal: Goal) -> _Standing:
    status = job.get("status") or {}
    if goal.is_reached(Key.of(job), int(status.get("round", 1))):
        starts = any(worker.get("state") == "Pending" for worker in status.get("inference") or ())
        return _Standing.WORKS if starts else _Standing.REACHED
    if status.get("phase") == "Blocked":
        return _Standing.STUCK
    return _Standing.WAITS if status.get("state") == "Waiting" or _is_to_fly(status) else _Standing.WORKS


def _is_to_fly(status: Document) -> bool:
    """Whether a model is on offer to satellites, of which this machine hears none."""
    return bool(status.get("stage") == "Deploy" and status.get("satellites") and status.get("state") in _OFFERED)


def _told(standings: Mapping[Key, tuple[_Standing, Document]], which: _Standing, part: str) -> str:
    parts = [f"{key.kind} {key.name}: {status.get(part)}" for key, (one, status) in standings.items() if one is which]
    return "; ".join(parts)
