"""Which samples of the Dataset rounds have used, and which the present round takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from orbitloop.api.sedna_v1alpha1.dataset import Dataset
from orbitloop.api.sedna_v1alpha1.incremental_learning_job import SampleCounts, Segment
from orbitloop.domain.learning import Stage
from orbitloop_operators.handlers.changes import Notice, Severity
from orbitloop_operators.handlers.round_state import Status, seconds_of

MOST_SEGMENTS = 5
"""How many rounds' samples evaluate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A status with the Dataset's samples in it.

    Args:
        status: the status then; no step.
        notices: what is told of it.
        again: look again after so long.
    """

    status: Status
    notices: tuple[Notice, ...] = ()
    again: timedelta | None = None


def counted(status: Status, dataset: Dataset | None, now: datetime, patience: timedelta) -> Counted:
    """The status with what the Dataset says of its samples; as it was, where that says nothing.

    Another index begins anew; a round that is under way goes on with the one that it began with. An index that shrank
    may be in the middle of being written: only if it stays so are the samples that are gone forgotten, and those that
    are there count as used. Never is ``used`` more than there are.

    Args:
        patience: how long an index may have fewer samples than before.
    """
    number = None if dataset is None or dataset.status is None else dataset.status.number_of_samples
    if dataset is None or number is None:
        return Counted(status=status)
    count, known, url = max(number, 0), status.samples, dataset.spec.url
    if known.source not in {"", url}:
        if not _is_between_rounds(status):
            return Counted(status=status)
        return Counted(status=_with(status, SampleCounts(used=0, waiting=count, source=url), ()))
    reached = max([known.used, *(one.end for one in status.segments)])
    if count >= reached:
        samples = SampleCounts(used=reached, waiting=count - reached, source=url)
        return Counted(status=_with(status, samples, status.segments))
    return _shrunk(status, dataset, count, now, patience)


def _shrunk(status: Status, dataset: Dataset, count: int, now: datetime, patience: timedelta) -> Counted:
    since = status.samples.shrank_at or seconds_of(now)
    left = since + patience - now
    samples = SampleCounts(used=count, waiting=0, source=dataset.spec.url, shrank_at=since)
    if left > timedelta(0):
        told = () if status.samples.shrank_at is not None else (_of_shrinking(status, dataset, count, patience),)
        return Counted(status=_with(status, samples, status.segments), notices=told, again=left)
    clipped = (one.model_copy(update={"end": min(one.end, count)}) for one in status.segments)
    kept = tuple(one for one in clipped if one.begin < one.end)
    return Counted(status=_with(status, samples.model_copy(update={"shrank_at": None}), kept))


def _of_shrinking(status: Status, dataset: Dataset, count: int, patience: timedelta) -> Notice:
    message = (
        f"Dataset {dataset.name} has {count} samples, and rounds have used {status.samples.used}: it shrank or was "
        f"replaced. If it stays so for {patience.total_seconds() / 60:g} minutes, what is there then counts as used; "
        "to have all of it trained on, put the index at another path and name that in the Dataset's url"
    )
    return Notice(severity=Severity.WARNING, reason="DatasetShrank", message=message)


def _with(status: Status, samples: SampleCounts, segments: tuple[Segment, ...]) -> Status:
    return status.model_copy(update={"samples": samples, "segments": segments})


def _is_between_rounds(status: Status) -> bool:
    return status.stage == Stage.TRAIN and segment_of_round(status) is None


def segment_of_round(status: Status) -> Segment | None:
    """The samples that the present round took, once it has begun."""
    if status.segments and status.segments[-1].round == status.round:
        return status.segments[-1]
    return None


def with_round_begun(status: Status) -> Status:
    """The round takes all samples that no round has used; if it took some already, it keeps to them."""
    known = status.samples
    if segment_of_round(status) is not None or not known.waiting:
        return status
    end = known.used + known.waiting
    segment = Segment(round=status.round, begin=known.used, end=end)
    samples = known.model_copy(update={"used": end, "waiting": 0})
    return _with(status, samples, (*status.segments, segment)[-MOST_SEGMENTS:])
