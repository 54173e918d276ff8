"""The ground of a mission on one machine: gateway, ledger, Global Manager and its trainer, wired together."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.signatures import SigningKey
from orbitloop.domain.contacts import ContactWindow, next_window
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.units import Bytes, capacity
from orbitloop.ports.clock import Clock
from orbitloop.ports.trainer import Labeler
from orbitloop.wire.model_folder import Model
from orbitloop_edge.adapters.imagery import decode_picture
from orbitloop_ground.adapters.labels import ArchiveLabels
from orbitloop_ground.adapters.pseudo_labels import PseudoLabels
from orbitloop_ground.adapters.registry import ModelRegistry
from orbitloop_ground.adapters.round_book import FileRoundBook
from orbitloop_ground.adapters.teacher_files import read_teacher
from orbitloop_ground.adapters.yolo.compute import Compute
from orbitloop_ground.adapters.yolo.finetune import FineTuning, TorchTrainer
from orbitloop_ground.app import compose, gateway_thread, open_authority
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.learn import Classroom, GlobalManager
from orbitloop_ground.usecases.school import School
from orbitloop_mission.embedded.narrator import Narrator
from orbitloop_mission.embedded.plan import Labels, MissionPlan
from orbitloop_mission.embedded.scenery import Scenery
from orbitloop_mission.embedded.stopwatch import Stopwatch


class GroundStation:
    """The ground side of a mission, serving for as long as the ``with`` block lasts.

    Args:
        plan, scenery, base: the mission, its data and the model that is launched.
        clock: mission time.
        windows: the contact plan.
        narrator: told of training and decisions.
    """

    def __init__(
        self,
        plan: MissionPlan,
        scenery: Scenery,
        base: Model,
        *,
        clock: Clock,
        windows: tuple[ContactWindow, ...],
        narrator: Narrator,
    ) -> None:
        labeler = _labeler(plan, scenery, base)
        folder = plan.out / "state" / "ground"
        authority = open_authority(plan.out / "state" / "keys", timedelta(days=365))
        keys = authority.equip_ground()
        self.satellite_keys = authority.equip(plan.satellite)
        self._parts = compose(GroundSettings(folder=folder, keys=keys), clock)
        self._server = gateway_thread(self._parts, port=plan.gateway_port)
        self._stack = ExitStack()
        self._narrator = narrator
        self.training = Stopwatch()
        self.ledger = self._parts.ledger
        self.models = ModelRegistry(folder / "models")
        self.models.put(base)
        self.rounds = FileRoundBook(folder / "rounds.json")
        self.trainer = TorchTrainer(
            FineTuning(steps=plan.steps, seed=plan.seed),
            lambda done, total: narrator.measuring("held-out tiles", done, total),
        )
        (folder / "updates").mkdir(exist_ok=True)
        self.manager = GlobalManager(
            plan.satellite,
            Classroom(
                ledger=self.ledger,
                models=self.models,
                rounds=self.rounds,
                trainer=self.trainer,
                school=School(self._parts.blobs, labeler, decode_picture, self.ledger),
                sign=SigningKey(keys / "signing.key").sign,
                clock=clock,
                outbox=folder / "updates",
                write=write_durably,
                archive=scenery.archive,
            ),
            rule=plan.rule,
            budget=lambda: update_budget(plan.policy, windows, clock.now()),
            on_step=self._step,
            on_action=narrator.decision,
        )

    def _step(self, step: int, steps: int, loss: float) -> None:
        self.training.lap()
        self._narrator.step(step, steps, loss)

    @property
    def port(self) -> int:
        """Where the gateway listens."""
        return self._server.port

    def __enter__(self) -> Self:
        self._stack.callback(self.ledger.close)
        self._stack.enter_context(self._server)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()


def update_budget(policy: LinkPolicy, windows: tuple[ContactWindow, ...], now: datetime) -> Bytes:
    """What the next update may take: the policy's limit, or what the next pass can carry if that is less."""
    coming = next_window(windows, now)
    if coming is None:
        return policy.update_budget
    return min(policy.update_budget, capacity(coming.duration, policy.uplink))


def _labeler(plan: MissionPlan, scenery: Scenery, base: Model) -> Labeler:
    if plan.labels is Labels.TRUTH:
        return ArchiveLabels(scenery.annotated)
    folder = plan.model if plan.teacher is None else plan.teacher
    teacher = read_teacher(folder, base.spec.classes, Compute.best())
    return PseudoLabels(lambda: [teacher])
