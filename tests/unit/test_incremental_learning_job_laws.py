"""Laws of a job's rounds, whatever becomes of its pods, its documents and the operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.job_world import World, a_dataset, a_job, a_model, a_satellite, evaluated, trained, words

from orbitloop.testing.builders import a_digest
from orbitloop_operators.handlers.changes import Key
from orbitloop_operators.handlers.pod_states import has_ended
from orbitloop_operators.handlers.worker_groups import worker_of

DATASET = Key(api_version="sedna.io/v1alpha1", kind="Dataset", namespace="lab", name="sites")
SAID = {"train": trained(), "eval": evaluated(), "deploy": words("deploy"), "inference": ""}

NEXT = {
    "Train/Waiting": {"Train/Ready"},
    "Train/Ready": {"Train/Starting"},
    "Train/Starting": {"Train/Running"},
    "Train/Running": {"Train/Completed"},
    "Train/Completed": {"Eval/Waiting"},
    "Train/Failed": {"Train/Waiting"},
    "Eval/Waiting": {"Eval/Ready", "Train/Waiting"},
    "Eval/Ready": {"Eval/Starting"},
    "Eval/Starting": {"Eval/Running"},
    "Eval/Running": {"Eval/Completed"},
    "Eval/Completed": {"Deploy/Waiting"},
    "Eval/Failed": {"Eval/Waiting", "Train/Waiting"},
    "Deploy/Waiting": {"Deploy/Ready", "Deploy/Completed"},
    "Deploy/Ready": {"Deploy/Starting"},
    "Deploy/Starting": {"Deploy/Running"},
    "Deploy/Running": {"Deploy/Completed"},
    "Deploy/Completed": {"Train/Waiting"},
    "Deploy/Failed": {"Deploy/Waiting", "Train/Waiting"},
}
"""Which step may follow which, besides failing."""


@dataclass
class Fate:
    """A world with all that may go wrong in it, and what must hold all the time."""

    pods: int = 1
    samples: int = 0
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = World.with_job(samples=0, trainSpec={"pods": self.pods})

    def reconcile(self, _: int) -> None:
        before = self._conditions()
        self.world.once()
        after = self._conditions()
        assert after == before or after[:-1] == before[-(len(after) - 1) :] or len(after) == 1

    def crash(self, _: int) -> None:
        """The operator is killed after its pods were made, before the status is written."""
        status = self.world.job.get("status")
        self.world.once()
        self.world.put(
            {**{key: value for key, value in self.world.job.items() if key != "status"}, "status": status or {}}
        )

    def crash_halfway(self, number: int) -> None:
        """The operator is killed when it has made a part of what it wants, and deleted nothing."""
        for wanted in self.world.ask().create[: number % 4]:
            self.world.create(wanted)

    def resize(self, number: int) -> None:
        """The user wants another number of pods for a training."""
        self.world.change(trainSpec={"pods": 1 + number % 3})

    def count(self, samples: int) -> None:
        self.samples = samples
        if self.world.store.get(DATASET) is not None:
            self.world.count(samples)
            self.world.once()

    def lose_dataset(self, _: int) -> None:
        if self.world.store.get(DATASET) is not None:
            self.world.drop(DATASET)

    def bring_dataset(self, _: int) -> None:
        if self.world.store.get(DATASET) is None:
            self.world.count(self.samples)
            self.world.once()

    def break_spec(self, _: int) -> None:
        self.world.change(dataset={"trainProb": 9})

    def mend_spec(self, _: int) -> None:
        self.world.rewrite(a_job(trainSpec={"pods": self.pods})["spec"])

    def refuse_pods(self, _: int) -> None:
        self.world.is_refusing = True

    def admit_pods(self, _: int) -> None:
        self.world.is_refusing = False

    def run(self, number: int) -> None:
        if (name := self._live(number)) is not None:
            self.world.run(name)

    def end_well(self, number: int) -> None:
        if (name := self._live(number)) is not None:
            self.world.end(name, SAID[name.split("-")[1]])

    def advance(self, _: int) -> None:
        """Samples arrive, and what runs does well."""
        if self.world.store.get(DATASET) is not None:
            self.samples += 10
            self.world.count(self.samples)
        self.settle()
        for name, pod in self.world.pods().items():
            if not has_ended(pod) and "inference" not in name:
                self.world.end(name, SAID[name.split("-")[1]])

    def end_with_nonsense(self, number: int) -> None:
        if (name := self._live(number)) is not None:
            self.world.end(name, "{}")

    def end_badly(self, number: int) -> None:
        if (name := self._live(number)) is not None:
            self.world.end(name, code=1)

    def block(self, number: int) -> None:
        if (name := self._live(number)) is not None:
            self.world.wait_for(name, "ImagePullBackOff")

    def delete(self, number: int) -> None:
        names = sorted(self.world.pods())
        if names:
            self.world.delete_pod(names[number % len(names)])

    def leave(self, number: int) -> None:
        if (name := self._live(number)) is not None:
            self.world.mark_leaving(name)

    def wait(self, minutes: int) -> None:
        self.world.pass_by(minutes=minutes)

    # ---- what must hold

    def check(self) -> None:
        live = {
            (name.split("-")[1], worker_of(pod) or name)
            for name, pod in self.world.pods().items()
            if not has_ended(pod)
        }
        assert len(live) == len({stage for stage, _ in live}), live
        status = self.world.job.get("status") or {}
        if not status:
            return
        last = status["conditions"][-1]
        assert (status["stage"], status["state"]) == (last["stage"], last["type"])
        assert len(status["conditions"]) <= 30
        for before, after in pairwise(self.world.steps):
            assert after.endswith("/Failed") or after in NEXT[before]
        used, waiting = status["samples"]["used"], status["samples"]["waiting"]
        assert used >= 0
        assert waiting >= 0
        ends = [0, *(bound for one in status["segments"] for bound in (one["begin"], one["end"]))]
        assert ends == sorted(ends)
        if "shrankAt" not in status["samples"]:
            assert ends[-1] <= used
        if self.world.store.get(DATASET) is not None and status["phase"] != "Blocked":
            assert used + waiting <= max(self.samples, used)

    def settle(self, _: int = 0) -> None:
        self.world.settle()
        self.check()
        quiet = self.world.ask()
        assert not quiet.delete
        status = self.world.status
        if not self.world.is_refusing:
            assert not quiet.create
        assert quiet.create or quiet.status == status
        if self.world.store.get(DATASET) is not None and status["phase"] != "Blocked":
            assert status["samples"]["used"] <= self.samples

    def _live(self, number: int) -> str | None:
        names = sorted(name for name, pod in self.world.pods().items() if not has_ended(pod))
        return names[number % len(names)] if names else None

    def _conditions(self) -> list[Any]:
        return list((self.world.job.get("status") or {}).get("conditions", ()))

    def end_kindly(self) -> None:
        """From now on everything goes well."""
        self.bring_dataset(0)
        self.mend_spec(0)
        self.admit_pods(0)
        for _ in range(12):
            self.settle()
            for name, pod in self.world.pods().items():
                if "deletionTimestamp" in pod["metadata"] and "inference" in name:
                    self.world.delete_pod(name)
                elif not has_ended(pod) and "inference" not in name:
                    self.world.end(name, SAID[name.split("-")[1]])
            self.world.pass_by(minutes=10)
        self.settle()


EVENTS = [
    *3 * (Fate.advance,),
    *2 * (Fate.reconcile,),
    Fate.crash,
    Fate.crash_halfway,
    Fate.resize,
    Fate.count,
    Fate.lose_dataset,
    Fate.bring_dataset,
    Fate.break_spec,
    Fate.mend_spec,
    Fate.refuse_pods,
    Fate.admit_pods,
    Fate.run,
    Fate.end_well,
    Fate.end_with_nonsense,
    Fate.end_badly,
    Fate.block,
    Fate.delete,
    Fate.leave,
    Fate.wait,
    Fate.settle,
]


@settings(max_examples=50)
@given(
    pods=st.sampled_from([1, 1, 2, 3]),
    events=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 40)), max_size=30),
)
def test_whatever_happens_each_sample_is_used_once_and_the_job_comes_to_rest(
    pods: int, events: list[tuple[Any, int]]
) -> None:
    fate = Fate(pods=pods)
    for event, number in events:
        event(fate, number)
        fate.check()
    fate.end_kindly()
    assert fate.world.at == "Train/Waiting"
    assert fate.world.status["samples"]["used"] <= fate.samples


def flown(satellites: int) -> World:
    """A job whose first model is on offer to a constellation."""
    world = World()
    names = [f"sat-{number}" for number in range(satellites)]
    for name in names:
        world.put(a_satellite(name, f"node-{name}"))
    world.put(a_dataset(10, node="node-sat-0"))
    world.put(a_model("first", "/models/first.onnx"))
    world.put(a_model("served", "/models/served.onnx"))
    job = a_job()
    job["metadata"]["annotations"] = {"orbitloop.io/satellites": ",".join(names)}
    world.put(job)
    world.settle()
    for kind in ("train", "eval"):
        world.end(f"helmets-{kind}-1-1", SAID[kind])
        world.settle()
    return world


@settings(max_examples=40)
@given(
    satellites=st.integers(1, 7),
    reports=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(["", "applied", "applied", "rolled_back", "refused"])), max_size=20
    ),
)
def test_whatever_satellites_report_nobody_is_offered_a_model_that_was_not_proved(
    satellites: int, reports: list[tuple[int, str]]
) -> None:
    world = flown(satellites)
    said: dict[str, str] = {}
    for number, outcome in reports:
        on_offer = [one["name"] for one in world.status["satellites"] if one["offered"]]
        if not on_offer:
            break
        name = on_offer[number % len(on_offer)]
        outcomes = {a_digest(1): outcome} if outcome else {}
        world.report(f"node-{name}", lastContact="2026-03-01T12:30:00Z", satellite={"outcomes": outcomes})
        if outcome:
            said[name] = outcome
        world.settle()
        for one in world.status["satellites"]:
            earlier = [other["name"] for other in world.status["satellites"] if other["ring"] < one["ring"]]
            assert not one["offered"] or all(said.get(other) in {"applied", "refused"} for other in earlier)
    stopped = "rolled_back" in said.values() or _a_ring_refused(world, said)
    assert (world.status["round"] == 2) is (stopped or len(said) == satellites)
    assert ("deployed" in world.status) is (len(said) == satellites and not stopped)


def _a_ring_refused(world: World, said: dict[str, str]) -> bool:
    rings: dict[int, set[str]] = {}
    for one in world.status["satellites"]:
        rings.setdefault(one["ring"], set()).add(said.get(one["name"], ""))
    return {"refused"} in rings.values()
