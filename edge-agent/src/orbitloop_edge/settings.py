"""What the Local Controller is told from outside, once, at start."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from orbitloop.domain.mining import MiningRule, mining_rule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.rollout import CanaryRule
from orbitloop.domain.shadow import ShadowRule
from orbitloop.domain.units import Bytes
from orbitloop_edge.usecases.scrub import ScrubRule


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """Settings of one satellite.

    Args:
        satellite: its name.
        folder: where spool, slots, results and held-out tiles live.
        keys: folder of its keys; see :mod:`orbitloop_edge.adapters.credentials`.
        policy: budgets and codec of its link.
        mining: which tiles count as hard.
        canary: when an update passes its canary.
        shadow: how long a model that has passed it flies beside the old one first.
        scrub: how the models on board are looked after.
        spool_budget: most bytes of samples that may wait.
        datagram: largest UDP payload on the datagram layer, bytes.
        fade: how long the ground may be silent in the midst of datagrams before the contact counts as lost.
        threads: processor threads of inference.
        seed: seed of the audit's chance.
        selection: where the selection logic is put that frames go by as well; in ``folder`` without it.
        selection_memory: bytes that its loaded networks may take.
        selection_alone: frames that it goes by are looked at by nothing else.
    """

    satellite: str
    folder: Path
    keys: Path
    policy: LinkPolicy = field(default_factory=LinkPolicy)
    mining: MiningRule = field(default_factory=lambda: mining_rule("CloudOnly"))
    canary: CanaryRule = field(default_factory=CanaryRule)
    shadow: ShadowRule = field(default_factory=ShadowRule)
    scrub: ScrubRule = field(default_factory=ScrubRule)
    spool_budget: Bytes = Bytes(512 * 2**20)
    datagram: Bytes = Bytes(980)
    fade: timedelta = timedelta(seconds=150)
    threads: int = 2
    seed: int = 0
    selection: Path | None = None
    selection_memory: Bytes = Bytes(256 * 2**20)
    selection_alone: bool = False


def selection_path(settings: EdgeSettings) -> Path:
    """Where selection logics are put, by the ground or by hand."""
    return settings.selection or settings.folder / "selection" / "new.ols"
