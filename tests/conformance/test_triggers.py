"""When a training begins, and when a model is deployed: the vectors, asked of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conformance.jobs import Job, a_job, asks, surroundings
from tests.conformance.target import Target, path_of
from tests.conformance.vectors import Vector, triggers
from tests.conformance.world import Document, Ways, World, a_world
from tests.global_manager import until

SAMPLES = 500
ALL_TRAIN = {"name": "sites", "trainProb": 1.0}
AT_ONCE = asks("num_of_samples", ">", 0)


@pytest.fixture(scope="module")
def lab(target: Target, ways: Ways, running: None) -> Iterator[World]:
    """A namespace with a Dataset of samples that nobody used."""
    with a_world(target, ways) as made:
        made.has(*surroundings())
        made.count("sites", SAMPLES)
        yield made


def named(vector: Vector, prefix: str) -> str:
    return "-".join([prefix, *"".join(one if one.isalnum() else " " for one in vector["id"]).lower().split()])


def begins_if(trigger: Document, name: str, **more: Any) -> Document:
    """A job that begins by this trigger, and trains on all samples."""
    spec = {"dataset": ALL_TRAIN, "outputDir": f"/output/{name}", "trainSpec": {"trigger": trigger}}
    return a_job(name, **spec | more)


def hours(begin: timedelta, end: timedelta) -> Document:
    """A timer around the present moment, in the time zone of UTC."""
    now = datetime.now(UTC)
    return {"timer": {"start": f"{now + begin:%H:%M}", "end": f"{now + end:%H:%M}"}}


HOUR = timedelta(hours=1)
OPEN, CLOSED = (-HOUR, HOUR), (2 * HOUR, 3 * HOUR)


def does_not_begin(job: Job) -> None:
    """It waits, while another job that came later does not; and it does begin once only its trigger is another."""
    world = job.world
    job.comes_to("Train/Waiting")
    later = f"{job.name}-later"
    world.has(begins_if(AT_ONCE, later))
    Job(world=world, name=later).comes_to("Train/Ready")
    assert "Train/Ready" not in job.steps()
    assert job.pods("train") == []
    world.change("IncrementalLearningJob", job.name, {"trainSpec": {"trigger": {"timer": None, **AT_ONCE}}})
    job.comes_to("Train/Ready")


@pytest.mark.parametrize("vector", triggers("train"))
def test_a_training_begins_by_its_samples(lab: World, vector: Vector) -> None:
    name = named(vector, "train")
    lab.has(begins_if(asks("num_of_samples", vector["operator"], vector["threshold"]), name))
    job = Job(world=lab, name=name)
    if vector["holds"]:
        job.comes_to("Train/Ready")
        assert job.pod("train")["metadata"]["name"].startswith(f"{name}-train-")
    else:
        does_not_begin(job)


def test_a_training_counts_only_its_share_of_the_samples(lab: World) -> None:
    share = {"name": "sites", "trainProb": 0.8}
    lab.has(begins_if(asks("num_of_samples", ">=", 400), "share", dataset=share))
    lab.has(begins_if(asks("num_of_samples", ">=", 401), "less", dataset=share))
    Job(world=lab, name="share").comes_to("Train/Ready")
    does_not_begin(Job(world=lab, name="less"))


def test_a_training_without_a_trigger_begins_with_any_sample(lab: World) -> None:
    lab.has(begins_if({"condition": None, "checkPeriodSeconds": 30}, "any"))
    Job(world=lab, name="any").comes_to("Train/Ready")


def test_a_training_begins_in_its_hours(lab: World) -> None:
    lab.has(begins_if(AT_ONCE | hours(*OPEN), "in-its-hours"))
    Job(world=lab, name="in-its-hours").comes_to("Train/Ready")


def test_a_training_waits_for_its_hours(lab: World) -> None:
    lab.has(begins_if(AT_ONCE | hours(*CLOSED), "waits-for-hours"))
    does_not_begin(Job(world=lab, name="waits-for-hours"))


def test_samples_are_used_once(world: World) -> None:
    world.has(begins_if(asks("num_of_samples", ">=", 10), "once"))
    job = Job(world=world, name="once")
    world.count("sites", 10)
    job.train()
    job.evaluate({"precision": [0.1]}, {"precision": [0.1]})
    job.comes_to("Deploy/Completed")
    job.comes_to("Train/Waiting")
    world.count("sites", 19)
    does_not_begin_again(job)


def does_not_begin_again(job: Job) -> None:
    """Nine more samples are too few for a job that takes ten; a tenth one makes it begin."""
    later = f"{job.name}-later"
    job.world.has(begins_if(asks("num_of_samples", ">=", 19), later))
    Job(world=job.world, name=later).comes_to("Train/Ready")
    assert job.at == "Train/Waiting"
    job.world.count("sites", 20)
    job.comes_to("Train/Ready")


def judged(job: Job, new: Any, old: Any) -> bool:
    """Whether the model of a job's round is to be deployed, by its metrics."""
    job.train()
    job.evaluate(new, old)
    job.comes_to("Deploy/Waiting")
    until(lambda: job.at != "Deploy/Waiting", f"job {job.name} was judged")
    begun = job.steps().index("Deploy/Waiting") + 1
    return job.steps()[begun] == "Deploy/Ready"


def is_refused(job: Job) -> bool:
    """Whether an implementation judges the job before it begins, and says what is wrong."""
    until(lambda: {"Train/Failed", "Train/Ready"} & set(job.steps()) != set(), f"job {job.name} went on")
    return "Train/Failed" in job.steps()


@pytest.mark.parametrize("vector", triggers("deploy"))
def test_a_deployment_is_judged_by_its_metrics(lab: World, vector: Vector) -> None:
    name = named(vector, "deploy")
    trigger = asks(vector["metric"], vector["operator"], vector["threshold"])
    lab.has(begins_if(AT_ONCE, name, deploySpec={"trigger": trigger}))
    job = Job(world=lab, name=name)
    if vector.get("refusable") and is_refused(job):
        return
    assert judged(job, vector["new"], vector["old"]) is vector["holds"]
    if not vector["holds"]:
        job.comes_to("Deploy/Completed")
        job.comes_to("Train/Waiting")
        assert job.pods("deploy") == []


def test_a_deployment_without_a_trigger_is_made(lab: World) -> None:
    lab.has(begins_if(AT_ONCE, "any-model", deploySpec={"trigger": {"condition": None}}))
    assert judged(Job(world=lab, name="any-model"), {"p": [0.1]}, {"p": [0.9]})


def test_a_deployment_in_its_hours_is_made(lab: World) -> None:
    lab.has(begins_if(AT_ONCE, "by-day", deploySpec={"trigger": asks("p[0]", ">", 0) | hours(*OPEN)}))
    assert judged(Job(world=lab, name="by-day"), {"p": [0.9]}, {"p": [0.1]})


@pytest.mark.stricter
def test_a_deployment_outside_its_hours_is_deferred_and_not_thrown_away(lab: World) -> None:
    lab.has(begins_if(AT_ONCE, "deferred", deploySpec={"trigger": asks("p[0]", ">", 0) | hours(*CLOSED)}))
    job = Job(world=lab, name="deferred")
    job.train()
    job.evaluate({"p": [0.9]}, {"p": [0.1]})
    job.comes_to("Deploy/Waiting")
    until(lambda: bool(job.status.get("retryAt")), "the job said when its hours begin")
    opens = datetime.fromisoformat(job.status["retryAt"])
    assert HOUR < opens - datetime.now(UTC) < 3 * HOUR
    lab.change("IncrementalLearningJob", job.name, {"deploySpec": {"trigger": hours(*OPEN)}})
    job.comes_to("Deploy/Ready")
    steps = job.steps()
    assert steps[steps.index("Deploy/Waiting") + 1] == "Deploy/Ready"


def as_written(vector: Vector) -> Document:
    """A trigger that is all of a vector's."""
    return {"condition": None} | {part: vector[part] for part in ("condition", "timer") if part in vector}


@pytest.mark.parametrize("vector", triggers("malformed"))
def test_what_makes_no_sense_never_begins(lab: World, vector: Vector) -> None:
    name = named(vector, "malformed")
    written = begins_if(as_written(vector), name)
    status, _ = lab.target.ask("POST", path_of("IncrementalLearningJob", lab.namespace), written)
    if status == 201:
        lab.has(begins_if(AT_ONCE, f"{name}-later"))
        Job(world=lab, name=f"{name}-later").comes_to("Train/Ready")
        assert Job(world=lab, name=name).pods("train") == []


@pytest.mark.stricter
@pytest.mark.parametrize("vector", triggers("malformed"))
def test_what_makes_no_sense_is_told_by_name(lab: World, vector: Vector) -> None:
    name = named(vector, "told")
    written = begins_if(as_written(vector), name)
    status, answer = lab.target.ask("POST", path_of("IncrementalLearningJob", lab.namespace), written)
    if status == 201:
        Job(world=lab, name=name).fails_for(vector["names"])
    else:
        assert vector["names"] in answer["message"]
