"""Chunks of damaged models, from the ground."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orbitloop.domain.units import Digest
from orbitloop.ports.gateway import Crossed, Inbox, Uplink
from orbitloop.wire.messages import Repair
from orbitloop_edge.usecases.transfers import fetch_artifact

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepairIntake:
    """Where chunks go.

    Args:
        inbox: keeps what arrived of one across cuts.
        keep: keeps a whole one durably, where whoever mends the models finds it.
    """

    inbox: Inbox
    keep: Callable[[Digest, Path], None]


def fetch_repair(ground: Uplink, repair: Repair, intake: RepairIntake, crossed: Crossed) -> None:
    """Fetch a chunk, resuming what an earlier contact began, and keep it.

    Raises:
        LinkClosed: the signal was lost; what arrived is kept.
        NotYet: the ground, or the disk on board, does not go on now.
        BadInput: the ground serves more than it announced.
    """
    intake.keep(repair.digest, fetch_artifact(ground, repair, intake.inbox, crossed))
    intake.inbox.discard(repair.digest)
    _log.info("chunk_received", extra={"digest": repair.digest, "bytes": repair.size})
