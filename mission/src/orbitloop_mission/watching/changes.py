"""What has changed between two looks, in lines that people read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from orbitloop_mission.watching.metrics import in_words
from orbitloop_mission.watching.views import JobView, Rollout, SatelliteView, Scene, place_of

Entry = TypeVar("Entry")
View = TypeVar("View", JobView, SatelliteView)
_DIGITS = 12


class What(StrEnum):
    """What became of an object."""

    APPEARED = "appeared"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An object that is otherwise than before.

    Args:
        view: as it is, or as it was last.
        lines: what is new, one thing a line.
    """

    what: What
    view: JobView | SatelliteView
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look at a cluster, and what is otherwise than at the look before; ``at``: when, UTC."""

    scene: Scene
    changed: tuple[Change, ...]
    at: datetime


def changes(before: Scene | None, now: Scene) -> tuple[Change, ...]:
    """What is otherwise; at the first look, everything is new."""
    old = before or Scene(jobs=(), satellites=())
    return (
        *_among(old.jobs, now.jobs, summary, _job_lines),
        *_among(old.satellites, now.satellites, _whole, _satellite_lines),
    )


def _among(
    before: Sequence[View],
    now: Sequence[View],
    whole: Callable[[View], str],
    news: Callable[[View, View], Iterator[str]],
) -> Iterator[Change]:
    """Of one kind; ``whole`` says all of an object that is new, ``news`` what of another one is."""
    gone = {place_of(view): view for view in before}
    for view in now:
        old = gone.pop(place_of(view), None)
        if old is None:
            yield Change(what=What.APPEARED, view=view, lines=(whole(view),))
        elif old != view:
            yield Change(what=What.CHANGED, view=view, lines=tuple(news(old, view)))
    for view in gone.values():
        yield Change(what=What.GONE, view=view, lines=("was deleted",))


def new_entries(before: Sequence[Entry], now: Sequence[Entry]) -> Sequence[Entry]:
    """The entries at the end that were not there before; the oldest ones may be forgotten."""
    for length in range(min(len(before), len(now)), 0, -1):
        if list(before[-length:]) == list(now[:length]):
            return now[length:]
    return now


def summary(job: JobView) -> str:
    """Where a job is, in one line."""
    if not job.stage:
        return "nobody has taken it up yet: are the operators running?"
    parts = [f"round {job.round}, {job.phase or job.stage}: {job.message}", samples(job)]
    if job.deployed or job.flying:
        parts.append(f"{short(job.flying or job.deployed)} flies")
    return "; ".join(part for part in parts if part)


def samples(job: JobView) -> str:
    """How many samples there are."""
    return f"{job.samples_waiting} samples wait, {job.samples_used} used"


def short(digest: str) -> str:
    """The first digits of a digest: enough to tell two apart."""
    return digest.removeprefix("sha256:")[:_DIGITS] or "–"


def size(count: int | None) -> str:
    """Bytes in the largest unit that leaves a number of at least one."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count is not None and count >= unit:
            return f"{count / unit:.1f} {name}"
    return "–" if count is None else f"{count} B"


def _job_lines(old: JobView, job: JobView) -> Iterator[str]:
    steps = new_entries(old.steps, job.steps)
    for step in steps:
        measured = f" ({in_words(step.metrics)})" if step.metrics else ""
        yield f"round {job.round}: {step.stage} {step.state}: {step.message}{measured}"
    if (old.samples_waiting, old.samples_used) != (job.samples_waiting, job.samples_used):
        yield samples(job)
    known = {one.satellite: one for one in old.satellites}
    for one in job.satellites:
        yield from _rollout_lines(known.get(one.satellite), one, job)
    if job.deployed != old.deployed:
        yield f"{short(job.deployed)} is deployed"
    said = {step.message for step in steps}
    if job.message not in {old.message, ""} and job.message not in said:
        yield job.message
    if job.last_error not in {old.last_error, ""}:
        yield job.last_error + (f"; tried again at {moment(job.retry_at)}" if job.retry_at else "")


def _rollout_lines(old: Rollout | None, one: Rollout, job: JobView) -> Iterator[str]:
    if one.offered and one.outcome == "" and (old is None or not old.offered):
        yield f"{short(job.candidate)} is offered to {one.satellite}"
    if one.outcome and (old is None or old.outcome != one.outcome):
        yield f"{one.satellite}: {short(job.candidate)} {one.outcome.replace('_', ' ')}"


def _satellite_lines(old: SatelliteView, one: SatelliteView) -> Iterator[str]:
    if one.trouble not in {old.trouble, ""}:
        yield one.trouble
    if one.flying != old.flying:
        yield f"{short(one.flying)} flies"
    if one.selection not in {old.selection, ""}:
        yield f"frames go by {one.selection}"
    if one.offered not in {old.offered, ""}:
        yield f"{short(one.offered)} is on its way up"
    if (one.in_contact, one.last_contact) != (old.in_contact, old.last_contact):
        yield f"{contact(one)}, {_waiting(one)}"
    elif (one.queued_samples, one.queued_bytes) != (old.queued_samples, old.queued_bytes):
        yield _waiting(one)
    if (one.next_contact, one.station) != (old.next_contact, old.station) and one.next_contact is not None:
        yield _next(one)


def _whole(one: SatelliteView) -> str:
    return one.trouble or f"{short(one.flying)} flies, {contact(one)}, {_waiting(one)}, {_next(one)}"


def contact(one: SatelliteView) -> str:
    """Whether it is heard, and when it was."""
    if one.in_contact:
        return "in contact"
    return "not heard yet" if one.last_contact is None else f"last heard {moment(one.last_contact)}"


def _waiting(one: SatelliteView) -> str:
    if one.queued_samples is None:
        return "nothing known of its queue"
    return f"{one.queued_samples} samples wait on board ({size(one.queued_bytes)})"


def _next(one: SatelliteView) -> str:
    if one.next_contact is None:
        return "next contact not known"
    over = f" over {one.station}" if one.station else ""
    return f"next contact {moment(one.next_contact)}{over}"


def moment(at: datetime | None) -> str:
    """A time, UTC."""
    return "–" if at is None else f"{at:%d %b %H:%M:%S} UTC"
