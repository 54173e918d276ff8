"""The ledger's part about opinions: what a labeller thought of each tile, last.

They are not in the journal: a labeller may be asked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from sqlalchemy import Column, String, Table, Text, select

from orbitloop.domain.detection import Floats, Truth
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Proposal
from orbitloop_ground.adapters.database import Database
from orbitloop_ground.adapters.tables import metadata, reviews, samples, verdicts
from orbitloop_ground.usecases.agreement import Labelled

opinions = Table(  # the last of each tile
    "opinions",
    metadata,
    Column("sample", String(71), primary_key=True),
    Column("labeller", String(71), nullable=False),
    Column("proposal", Text, nullable=False),
)

_AT_ONCE = 500
_PARTS = ("boxes", "labels", "confidence", "doubtful")


class OpinionLedger(Database):
    """The :class:`~orbitloop_ground.usecases.labelling.Opinions` of the ledger."""

    def record_opinions(self, labeller: str, thought: Mapping[Digest, Proposal]) -> None:
        """What ``labeller`` thinks of tiles, in place of what was thought before. Raises ``NoSpace``."""
        insert = self._insert(opinions)
        said = {name: insert.excluded[name] for name in ("labeller", "proposal")}
        statement = insert.on_conflict_do_update(index_elements=["sample"], set_=said)
        rows = [
            {"sample": sample, "labeller": labeller, "proposal": proposal_text(proposal)}
            for sample, proposal in sorted(thought.items())
        ]
        if rows:
            with self._transaction() as connection:
                connection.execute(statement, rows)

    def opinions(self, names: Sequence[Digest], labeller: str | None = None) -> dict[Digest, Proposal]:
        """What is thought of these tiles, by ``labeller`` if one is named; tiles without an opinion are left out."""
        found: dict[Digest, Proposal] = {}
        for part in _parts(names):
            query = select(opinions).where(opinions.c.sample.in_(part))
            if labeller is not None:
                query = query.where(opinions.c.labeller == labeller)
            found |= {Digest(row.sample): proposal_of(row.proposal) for row in self._read(query)}
        return found

    def labelled(self) -> list[Labelled]:
        """Every tile that a labeller has an opinion on, in the order of arrival, with the last word of people."""
        last = (verdicts.c.sample == reviews.c.sample) & (verdicts.c.revision == reviews.c.revision)
        words = select(verdicts.c.sample, verdicts.c.objects).join(reviews, last).subquery()
        query = (
            select(samples.c.satellite, samples.c.round, samples.c.received, opinions.c.proposal)
            .add_columns(words.c.sample.label("decided"), words.c.objects)
            .join(opinions, opinions.c.sample == samples.c.id)
            .join(words, words.c.sample == samples.c.id, isouter=True)
            .order_by(samples.c.seq)
        )
        return [
            Labelled(
                satellite=row.satellite,
                period=row.round or row.received[:10],
                opinion=proposal_of(row.proposal),
                decided=row.decided is not None,
                truth=truth_of(row.objects),
            )
            for row in self._read(query)
        ]


def _parts(names: Sequence[Digest]) -> Iterator[list[Digest]]:
    left = iter(names)
    while part := list(islice(left, _AT_ONCE)):
        yield part


def proposal_text(proposal: Proposal) -> str:
    """A proposal as JSON, its agreement where there is one."""
    said = {name: getattr(proposal, name).tolist() for name in _PARTS}
    if proposal.agreement is not None:
        said["agreement"] = proposal.agreement.tolist()
    return json.dumps(said, separators=(",", ":"))


def proposal_of(text: str) -> Proposal:
    """Inverse of :func:`proposal_text`."""
    said = json.loads(text)
    return Proposal(
        boxes=boxes_of(said["boxes"]),
        labels=np.array(said["labels"], np.int64),
        confidence=np.array(said["confidence"], np.float32),
        doubtful=np.array(said["doubtful"], np.bool_),
        agreement=np.array(said["agreement"], np.float32) if "agreement" in said else None,
    )


def truth_of(objects: str | None) -> Truth | None:
    """The objects of a verdict as they are kept; ``None``: rejected."""
    if objects is None:
        return None
    said = json.loads(objects)
    return Truth(boxes=boxes_of(said["boxes"]), labels=np.array(said["labels"], np.int64))


def boxes_of(rows: list[list[float]]) -> Floats:
    """``(n, 4)`` float32 of lists."""
    return np.array(rows, np.float32).reshape(-1, 4)
