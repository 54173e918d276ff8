"""What a mission is made of: satellite, orbit, station, data, rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from orbitloop.domain.contacts import Orbit, Station
from orbitloop.domain.errors import BadInput
from orbitloop.domain.learning import LearningRule
from orbitloop.domain.mining import MiningRule, mining_rule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.rollout import CanaryRule
from orbitloop.domain.units import Bytes

EPOCH = datetime(2024, 3, 29, tzinfo=UTC)
BUPT_1 = Orbit(epoch=EPOCH, altitude=491.0, inclination=97.37, raan=40.0)
TONGCHUAN = Station(name="Tongchuan", latitude=34.9, longitude=108.9, height=900.0, mask=5.0)

LEAST_STEPS = 5
"""Training that overshoots its budget goes on for a fifth of its steps: at least one."""
LEAST_UPDATE = Bytes(25_000)
"""Gains, biases, canaries and signature take up to 20 kB; below this nothing is left for single weights."""
LARGEST_SEED = 2**32 - 1


class Labels(StrEnum):
    """Who labels what came down."""

    TRUTH = "truth"
    TEACHER = "teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissionPlan:
    """One mission on one machine.

    Args:
        out: folder of the mission's state and report; what is in it is replaced.
        data: COCO annotations; images carry ``split`` train (flown over), val (the ground's archive), test (measured).
        archive: COCO annotations of what the launched model was trained on, if the ground has it: replayed as it is.
        model: folder of the model that is launched.
        rounds: learning rounds to fly.
        seed: seed of training, audit and order of frames.
        steps: optimiser steps of a round's training.
        old_scale: factor by which val and test frames are resized to show the old domain.
        realtime: run between passes at wall speed as well.
        reference: train an all-data, full-precision reference beside it.
        labels: who labels.
        teacher: folder of the larger model that labels for ``labels`` teacher; without one the launched model does,
            which may look at many views on the ground.
        gateway_port: TCP port of the ground's gateway on this machine; 0 takes a free one.
        cut_round: round whose update loses the signal after ``cut_after`` bytes at first, to show that it resumes.

    Raises:
        BadInput: a field is out of range.
    """

    out: Path
    data: Path
    model: Path
    archive: Path | None = None
    rounds: int = 3
    seed: int = 0
    steps: int = 300
    old_scale: float = 0.5
    realtime: bool = False
    reference: bool = False
    labels: Labels = Labels.TRUTH
    teacher: Path | None = None
    gateway_port: int = 0
    cut_round: int | None = 2
    cut_after: Bytes = Bytes(120_000)
    satellite: str = "bupt-1"
    orbit: Orbit = BUPT_1
    station: Station = TONGCHUAN
    start: datetime = EPOCH
    policy: LinkPolicy = field(default_factory=LinkPolicy)
    canary: CanaryRule = field(default_factory=CanaryRule)
    mining: MiningRule = field(default_factory=lambda: mining_rule("CloudOnly"))
    rule: LearningRule = field(default_factory=lambda: LearningRule(least_samples=40))

    def __post_init__(self) -> None:
        for what, given, least in (
            ("rounds", self.rounds, 1),
            ("steps", self.steps, LEAST_STEPS),
            ("least samples", self.rule.least_samples, 1),
            ("update budget", self.policy.update_budget, LEAST_UPDATE),
        ):
            if given < least:
                raise BadInput(f"{what} {given} must be at least {least}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise BadInput(f"seed {self.seed} must be 0 to {LARGEST_SEED}")
        if not 0 <= self.gateway_port < 2**16:
            raise BadInput(f"gateway port {self.gateway_port} must be 0 to 65535")
        if not 0 < self.old_scale <= 1:
            raise BadInput(f"old-scale {self.old_scale} must be above 0 and at most 1")
        if self.labels is not Labels.TEACHER and self.teacher is not None:
            raise BadInput(f"teacher {self.teacher} would label nothing; add --labels teacher or leave --teacher out")
