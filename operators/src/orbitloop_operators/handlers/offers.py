"""Which models are to be offered to which satellites now, by what the jobs say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import IncrementalLearningJobStatus
from orbitloop.api.sedna_v1alpha1.parts import ConditionType
from orbitloop.domain.learning import Stage
from orbitloop.domain.units import Digest
from orbitloop_operators.handlers.changes import Document, View

_UNDER_WAY = (ConditionType.STARTING, ConditionType.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Offered:
    """A model for the satellite on ``node``.

    Args:
        digest: sha256 of its file.
        url: of its file, on the ground's storage.
    """

    node: str
    digest: Digest
    url: str


def offered(view: View) -> tuple[Offered, ...]:
    """All of them, in order; each once, whatever jobs ask for it."""
    found = {offer for job in view.all("sedna.io/v1alpha1", "IncrementalLearningJob") for offer in _of(job)}
    return tuple(sorted(found))


def _of(job: Document) -> list[Offered]:
    said = job.get("status")
    if not isinstance(said, Mapping) or said.get("stage") != Stage.DEPLOY:
        return []
    try:
        status = IncrementalLearningJobStatus.model_validate(said)
    except ValidationError:  # its own reconciler writes it anew
        return []
    new = status.candidate
    if status.state not in _UNDER_WAY or new is None or not new.digest:
        return []
    return [
        Offered(node=one.node or one.name, digest=Digest(new.digest), url=new.url)
        for one in status.satellites
        if one.offered
    ]
