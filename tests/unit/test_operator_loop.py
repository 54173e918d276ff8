"""The loop: what is seen is looked at, until nothing is to be done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orbitloop.domain.errors import NotYet, Refused
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Changes, Document, Key, Notice, Severity, View
from orbitloop_operators.usecases.agenda import Agenda, BackOff
from orbitloop_operators.usecases.errors import Stale
from orbitloop_operators.usecases.loop import Loop, Surroundings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = ("sedna.io/v1alpha1", "IncrementalLearningJob")
DATASET = ("sedna.io/v1alpha1", "Dataset")


def document(kind: tuple[str, str], name: str, version: int = 1, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, **more}


@dataclass
class Written:
    """A cluster that takes all, and remembers in which order."""

    log: list[str] = field(default_factory=list)
    refuse: dict[str, Exception] = field(default_factory=dict)
    version: int = 100

    def _answer(self, verb: str, asked: Document) -> dict[str, Any]:
        name = asked["metadata"]["name"]
        self.log.append(f"{verb} {name}")
        if (error := self.refuse.pop(f"{verb} {name}", None)) is not None:
            raise error
        self.version += 1
        metadata = {"uid": f"uid-{name}", **asked["metadata"], "resourceVersion": str(self.version)}
        return {**asked, "metadata": metadata}

    async def create(self, document: Document) -> Document:
        return self._answer("create", document)

    async def replace(self, document: Document, known: Document | None) -> Document:
        return self._answer("replace", document)

    async def delete(self, key: Key, known: Document | None) -> None:
        self.log.append(f"delete {key.name}")

    async def patch_status(self, document: Document, patch: Mapping[str, Any]) -> Document | None:
        answer = self._answer("status", document)
        return {**answer, "status": {**(document.get("status") or {}), **patch}}

    async def tell(self, document: Document, notice: Notice) -> None:
        self.log.append(f"tell {notice.reason}")


@dataclass
class Scripted:
    """A reconciler that says what a test says."""

    says: Callable[[Document, View], Changes]
    relates: Callable[[Document, View], Sequence[Key]] = lambda document, view: ()
    looked_at: list[str] = field(default_factory=list)

    def related(self, document: Document, view: View) -> Sequence[Key]:
        return self.relates(document, view)

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        self.looked_at.append(document["metadata"]["name"])
        return self.says(document, view)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        notice = Notice(severity=Severity.WARNING, reason="Refused", message=str(error))
        return Changes(status={"said": str(error)}, notices=(notice,))


class Meter:
    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def reconciled(self, kind: str, outcome: str) -> None:
        self.outcomes.append(outcome)


class Instant:
    def now(self) -> datetime:
        return NOW


@dataclass
class World:
    """A loop around one reconciler."""

    reconciler: Scripted
    written: Written = field(default_factory=Written)
    store: Store = field(default_factory=Store)
    meter: Meter = field(default_factory=Meter)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        around = Surroundings(
            objects=self.store,
            writes=self.written,
            reconcilers={JOB: self.reconciler},
            clock=Instant(),
            monotonic=lambda: self.seconds,
            meter=self.meter,
        )
        self.loop = Loop(around, Agenda(BackOff()), 4)

    def sees(self, *documents: Document) -> list[str]:
        """What is written because these are seen."""
        begun = len(self.written.log)
        for one in documents:
            self.loop.changed(one)
        asyncio.run(self.loop.settle())
        return self.written.log[begun:]

    def after(self, seconds: float) -> list[str]:
        self.seconds += seconds
        return self.sees()


def always(changes: Changes) -> Scripted:
    return Scripted(lambda document, view: changes)


POD = document(("v1", "Pod"), "job-train")
NOTICE = Notice(severity=Severity.NORMAL, reason="Waits", message="for samples")


def test_changes_are_carried_out_in_their_order_and_status_comes_last_but_notices() -> None:
    key = Key.of(document(("v1", "Pod"), "old"))
    changes = Changes(create=(POD,), replace=(POD,), delete=(key,), status={"phase": "Waiting"}, notices=(NOTICE,))
    world = World(Scripted(lambda seen, view: Changes() if seen.get("status") else changes))
    steps = ["create job-train", "replace job-train", "delete old", "status job", "tell Waits"]
    assert world.sees(document(JOB, "job")) == steps


def test_a_status_that_is_as_it_should_be_is_not_written_and_its_notice_not_repeated() -> None:
    world = World(always(Changes(status={"phase": "Waiting"}, notices=(NOTICE,))))
    assert world.sees(document(JOB, "job")) == ["status job", "tell Waits"]
    assert world.sees(document(JOB, "job", 200, status={"phase": "Waiting"})) == []


def test_the_same_version_is_looked_at_once() -> None:
    world = World(always(Changes()))
    world.sees(document(JOB, "job"))
    world.sees(document(JOB, "job"))
    assert world.reconciler.looked_at == ["job"]


def test_what_depends_on_a_change_is_looked_at_again_and_so_it_is_when_that_goes() -> None:
    def relates(seen: Document, view: View) -> list[Key]:
        return [Key.of(job) for job in view.all(*JOB)] if seen["kind"] == "Dataset" else []

    world = World(Scripted(lambda seen, view: Changes(), relates))
    world.sees(document(JOB, "a"), document(JOB, "b"))
    world.sees(document(DATASET, "images"))
    world.loop.gone(Key.of(document(DATASET, "images")), "uid-images")
    world.after(0)
    assert world.reconciler.looked_at == ["a", "b"] * 3


def test_what_is_refused_is_shown_on_the_object() -> None:
    def says(seen: Document, view: View) -> Changes:
        raise Refused("there is no Dataset images; apply one")

    world = World(Scripted(says))
    assert world.sees(document(JOB, "job")) == ["status job", "tell Refused"]


def test_what_the_api_server_refuses_is_shown_and_tried_again() -> None:
    world = World(always(Changes(create=(POD,), again=timedelta(seconds=9))))
    world.written.refuse["create job-train"] = Refused("exceeded quota")
    assert world.sees(document(JOB, "job"))[:3] == ["create job-train", "status job", "tell Refused"]
    assert world.after(10) == ["create job-train"]


@pytest.mark.parametrize(
    ("error", "rest"),
    [(Stale("it changed"), 0.2), (NotYet("away", retry_after=timedelta(seconds=3)), 3), (NotYet("away"), 1)],
    ids=["stale", "said when", "did not say when"],
)
def test_what_may_succeed_later_is_tried_then_and_not_before(error: Exception, rest: float) -> None:
    world = World(
        Scripted(lambda seen, view: Changes() if seen.get("status") else Changes(status={"phase": "Waiting"}))
    )
    world.written.refuse["status job"] = error
    assert world.sees(document(JOB, "job")) == ["status job"]
    assert world.after(rest * 0.9) == []
    assert world.after(rest * 0.2) == ["status job"]


def test_an_object_that_breaks_its_reconciler_stops_no_other() -> None:
    def says(seen: Document, view: View) -> Changes:
        if seen["metadata"]["name"] == "bad":
            raise ZeroDivisionError
        return Changes(status={"phase": "Waiting"})

    world = World(Scripted(says))
    assert "status good" in world.sees(document(JOB, "bad"), document(JOB, "good"))
    assert "broke" in world.meter.outcomes


def test_an_object_that_asks_for_it_is_looked_at_again_without_a_change() -> None:
    world = World(always(Changes(again=timedelta(minutes=5))))
    world.sees(document(JOB, "job"))
    world.after(299)
    assert world.reconciler.looked_at == ["job"]
    world.after(2)
    assert world.reconciler.looked_at == ["job", "job"]


def test_what_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    doomed = document(JOB, "job")
    doomed["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert World(always(Changes(create=(POD,)))).sees(doomed) == []


def global_manager(version: int, replicas: int = 1, image: str = "kubeedge/sedna-gm:v0.6.0") -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "gm", "image": image}]}}
    return document(("apps/v1", "Deployment"), "gm", version, spec={"replicas": replicas, "template": pod})


def test_sednas_kinds_are_left_to_sednas_manager_while_it_runs() -> None:
    world = World(always(Changes(status={"phase": "Waiting"})))
    assert world.sees(global_manager(1), document(JOB, "job")) == []
    assert world.sees(global_manager(2, replicas=0)) == ["status job"]
    assert world.sees(global_manager(3), document(JOB, "another")) == []
    world.loop.gone(Key.of(global_manager(3)), "uid-gm")
    assert world.after(0) == ["status another"]


def test_what_is_left_to_sednas_manager_is_not_reviewed_either() -> None:
    world = World(always(Changes()))
    world.sees(global_manager(1))
    assert world.loop.leaves_alone("sedna.io/v1alpha1")
    assert not world.loop.leaves_alone("orbitloop.io/v1alpha1")
    world.sees(global_manager(2, replicas=0))
    assert not world.loop.leaves_alone("sedna.io/v1alpha1")


@pytest.mark.parametrize("image", ["kubeedge/sedna-lc:v0.6.0", "sedna-gm/proxy:1", "nginx"])
def test_other_deployments_are_no_rivals(image: str) -> None:
    world = World(always(Changes(status={"phase": "Waiting"})))
    assert world.sees(global_manager(1, image=image), document(JOB, "job")) == ["status job"]


def test_a_running_loop_wakes_for_what_changes_and_what_becomes_due() -> None:
    world = World(always(Changes(again=timedelta(seconds=0.05))))

    async def scenario() -> None:
        world.loop = Loop(
            Surroundings(
                objects=world.store,
                writes=world.written,
                reconcilers={JOB: world.reconciler},
                clock=Instant(),
                monotonic=asyncio.get_running_loop().time,
                meter=world.meter,
            ),
            Agenda(BackOff()),
            4,
        )
        running = asyncio.create_task(world.loop.run())
        world.loop.changed(document(JOB, "job"))
        while len(world.reconciler.looked_at) < 3:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
    assert set(world.reconciler.looked_at) == {"job"}


@pytest.mark.parametrize("ticks", range(4))
def test_a_loop_ends_when_it_is_cancelled_in_whatever_moment(ticks: int) -> None:
    world = World(always(Changes()))

    async def scenario() -> bool:
        running = asyncio.create_task(world.loop.run())
        for _ in range(5):
            await asyncio.sleep(0)  # it waits
        world.loop.changed(document(JOB, "job"))
        for _ in range(ticks):
            await asyncio.sleep(0)
        running.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        return running.done()

    assert asyncio.run(scenario())
