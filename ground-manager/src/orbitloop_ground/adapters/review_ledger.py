"""The ledger's part about reviews: tiles that wait for a person, and every word that people said on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, func, select

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Proposal, Review, Verdict
from orbitloop_ground.adapters.opinion_ledger import OpinionLedger, boxes_of, truth_of
from orbitloop_ground.adapters.tables import reviews, verdicts

Fields = dict[str, Any]
PROPOSED, DECIDED = "propose", "verdicts"
"""What a journal calls rows of the two tables."""
Note = Callable[[list[Fields]], None]
"""Told of the rows just before they are committed."""

_WINDOW = ("x0", "y0", "width", "height")
_LAST = (verdicts.c.sample == reviews.c.sample) & (verdicts.c.revision == reviews.c.revision)


class ReviewLedger(OpinionLedger):
    """The :class:`~orbitloop.ports.reviews.ReviewQueue` of :class:`~orbitloop_ground.adapters.ledger.Ledger`."""

    def propose(self, sample: Digest, frame: str, window: Window, proposal: Proposal) -> None:
        """Put a tile into the queue, or replace what was proposed for it while it waits. Idempotent."""
        self._propose(proposal_row(sample, frame, window, proposal), nobody)

    def _propose(self, row: Fields, note: Note) -> None:
        _review(row | {"revision": 0}).check_proposal()
        heard = select(func.coalesce(func.max(verdicts.c.revision), 0)).where(verdicts.c.sample == row["sample"])
        insert = self._insert(reviews).values(row | {"revision": heard.scalar_subquery()})
        said = {name: insert.excluded[name] for name in row if name != "sample"}
        waits = reviews.c.revision == 0
        with self._transaction() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["sample"], set_=said, where=waits))
            note([row])

    def decide(self, sample: Digest, truth: Truth | None, who: str, at: datetime) -> None:
        """The last word on a tile; the same again changes nothing."""
        self.decide_all({sample: Verdict(truth=truth, who=who, at=at)})

    def decide_all(self, words: Mapping[Digest, Verdict]) -> int:
        """The last word on several tiles, all or none; returns on how many it is new.

        Raises:
            BadInput: a tile is not in the queue, or a box is outside it.
            Overtaken: somebody has decided otherwise since.
        """
        return self._decide(words, nobody)

    def _decide(self, words: Mapping[Digest, Verdict], note: Note) -> int:
        with self._transaction() as connection:
            news = [
                verdict_row(sample, review.revision + 1, words[sample])
                for sample in sorted(words)  # in one order, so that two imports do not wait for each other
                if (review := _held(connection, sample)).is_news(words[sample])
            ]
            if news:
                connection.execute(verdicts.insert(), news)
                for row in news:
                    mine = reviews.c.sample == row["sample"]
                    connection.execute(reviews.update().where(mine).values(revision=row["revision"]))
                note(news)
        return len(news)

    def _retell(self, kind: str, rows: list[Fields]) -> None:
        """What was proposed or decided once, verdicts each in its place; what is known already changes nothing."""
        if kind == PROPOSED:
            for row in rows:
                self._propose(row, nobody)
            return
        with self._transaction() as connection:
            self._insert_new(connection, verdicts, rows)
            for row in rows:
                behind = (reviews.c.sample == row["sample"]) & (reviews.c.revision < row["revision"])
                connection.execute(reviews.update().where(behind).values(revision=row["revision"]))

    def pending(self, limit: int | None = None) -> list[Review]:
        """What waits, in the order in which it came."""
        query = _queue().where(reviews.c.revision == 0).limit(limit)
        return [_review(row._asdict()) for row in self._read(query)]

    def decided(self) -> dict[Digest, Truth | None]:
        """The last word on each tile that has one."""
        rows = self._read(select(verdicts.c.sample, verdicts.c.objects).join(reviews, _LAST))
        return {Digest(row.sample): truth_of(row.objects) for row in rows}

    def reviews(self, *, pending: bool = True, decided: bool = True) -> list[Review]:
        """Tiles of either kind, in the order in which they came."""
        query = _queue()
        if not pending:
            query = query.where(reviews.c.revision > 0)
        if not decided:
            query = query.where(reviews.c.revision == 0)
        return [_review(row._asdict()) for row in self._read(query)]

    def count_reviews(self) -> tuple[int, int]:
        """How many tiles wait, and how many are decided."""
        everything = select(func.count()).select_from(reviews)
        waiting, all_told = (
            int(self._read(query)[0][0]) for query in (everything.where(reviews.c.revision == 0), everything)
        )
        return waiting, all_told - waiting

    def review(self, sample: Digest) -> Review | None:
        """One tile, if it is in the queue."""
        rows = self._read(_queue().where(reviews.c.sample == sample))
        return _review(rows[0]._asdict()) if rows else None


def proposal_row(sample: Digest, frame: str, window: Window, proposal: Proposal) -> Fields:
    """What the table of reviews, and the journal, keep of a proposal."""
    said = {name: getattr(proposal, name).tolist() for name in ("boxes", "labels", "confidence", "doubtful")}
    place = {name: getattr(window, name) for name in _WINDOW}
    return {"sample": sample, "frame": frame, **place, "proposal": _text(said)}


def verdict_row(sample: Digest, revision: int, verdict: Verdict) -> Fields:
    """What the table of verdicts, and the journal, keep of one."""
    objects = None
    if verdict.truth is not None:
        objects = _text({"boxes": verdict.truth.boxes.tolist(), "labels": verdict.truth.labels.tolist()})
    at = verdict.at.isoformat()
    return {"sample": sample, "revision": revision, "who": verdict.who, "at": at, "objects": objects}


def nobody(_: list[Fields]) -> None:
    """Nobody is told."""


def _queue() -> Select[Any]:
    last = (verdicts.c.who, verdicts.c.at, verdicts.c.objects)
    return select(reviews, *last).join(verdicts, _LAST, isouter=True).order_by(reviews.c.seq)


def _held(connection: Connection, sample: Digest) -> Review:
    """A tile that nobody else decides on until this transaction is over."""
    mine = reviews.c.sample == sample
    if not connection.execute(reviews.update().where(mine).values(revision=reviews.c.revision)).rowcount:
        raise BadInput(f"sample {sample} is not in the review queue; list what is")
    row: Row[Any] = connection.execute(_queue().where(mine)).one()
    return _review(row._asdict())


def _review(row: Mapping[str, Any]) -> Review:
    said = json.loads(row["proposal"])
    return Review(
        sample=Digest(row["sample"]),
        frame=row["frame"],
        window=Window(**{name: row[name] for name in _WINDOW}),
        proposal=Proposal(
            boxes=boxes_of(said["boxes"]),
            labels=np.array(said["labels"], np.int64),
            confidence=np.array(said["confidence"], np.float32),
            doubtful=np.array(said["doubtful"], np.bool_),
        ),
        verdict=_verdict(row) if row["revision"] else None,
        revision=row["revision"],
    )


def _verdict(row: Mapping[str, Any]) -> Verdict:
    return Verdict(truth=truth_of(row["objects"]), who=row["who"], at=datetime.fromisoformat(row["at"]))


def _text(fields: Fields) -> str:
    return json.dumps(fields, separators=(",", ":"))
