"""What goes wrong: it is told, it is tried again, and it stops nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conformance.jobs import Job, a_dataset, a_job, a_model
from tests.conformance.target import JOBS_AND_SERVICES, Target, path_of
from tests.conformance.world import Document, Ways, World, a_world
from tests.global_manager import until

LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def manifests(target: Target, ways: Ways, running: None) -> Iterator[World]:
    """Manifests of every kind, and nothing of what they need beside them."""
    with a_world(target, ways) as made:
        target.kubectl("-n", made.namespace, "apply", "-f", str(Path(__file__).parent / "manifests"))
        yield made


@pytest.fixture
def job(world: World) -> Job:
    """A job that may begin to train."""
    world.has(a_job("helmets"))
    world.count("sites", 10)
    return Job(world=world, name="helmets")


def fail(job: Job, stage: str, says: str) -> str:
    """The worker of a stage fails; its pod's name."""
    job.comes_to(f"{stage}/Ready")
    pod = job.starts(stage.lower())
    job.comes_to(f"{stage}/Running")
    name = str(pod["metadata"]["name"])
    job.world.kubelet.ends(name, code=1, message=says)
    return name


def pass_time(job: Job) -> None:
    """A failure is long ago, for whoever remembers it in the status."""
    path = path_of("IncrementalLearningJob", job.world.namespace, job.name)
    job.world.target.patch(f"{path}/status", {"status": {"failedAt": LONG_AGO}})


def test_a_worker_that_fails_fails_its_stage_which_waits_again(job: Job) -> None:
    fail(job, "Train", "out of memory")
    job.comes_to("Train/Failed")
    pass_time(job)
    job.comes_to("Train/Waiting")


@pytest.mark.stricter
def test_a_training_that_failed_is_tried_again_on_the_same_samples(job: Job) -> None:
    """Sedna's Local Controller has forgotten them by then."""
    first = fail(job, "Train", "out of memory")
    job.comes_to("Train/Failed")
    pass_time(job)
    job.comes_to("Train/Waiting")
    job.comes_to("Train/Ready")
    again = job.pod("train")["metadata"]["name"]
    assert again != first
    assert again.startswith("helmets-train-")


def test_an_evaluation_that_fails_is_no_evaluation(job: Job) -> None:
    job.train()
    fail(job, "Eval", "no such file")
    job.comes_to("Eval/Failed")
    assert "Deploy/Waiting" not in job.steps()


@pytest.mark.stricter
def test_a_failure_says_why_and_rests_before_the_next_try(job: Job) -> None:
    fail(job, "Train", "RuntimeError: out of memory")
    told = job.comes_to("Train/Failed")
    until(lambda: job.status.get("phase") == "BackingOff", "the job rested", lambda: json.dumps(job.status))
    status = job.status
    assert told["reason"]
    assert "out of memory" in told["message"]
    assert "out of memory" in status["lastError"]
    assert datetime.fromisoformat(status["retryAt"]) > datetime.fromisoformat(status["failedAt"])
    assert job.live("train") == []


@pytest.mark.stricter
def test_a_failed_evaluation_is_tried_again_without_another_training(job: Job) -> None:
    job.train()
    fail(job, "Eval", "no such file")
    job.comes_to("Eval/Failed")
    pass_time(job)
    job.comes_to("Eval/Waiting")
    job.evaluate({"precision": [0.9]}, {"precision": [0.1]})
    assert len(job.pods("train")) == 1


@pytest.mark.stricter
def test_a_round_ends_after_three_failures(job: Job) -> None:
    for _ in range(3):
        fail(job, "Train", "out of memory")
        job.comes_to("Train/Failed")
        pass_time(job)
    until(lambda: job.status.get("round") == 2, "the round was closed", lambda: json.dumps(job.status))
    assert (job.status["attempt"], job.status["failures"]) == (1, 0)
    made = {one["metadata"]["name"] for one in job.workers.values()}
    assert made >= {f"helmets-train-1-{attempt}" for attempt in (1, 2, 3)}


@pytest.mark.stricter
def test_a_deployment_that_fails_leaves_what_is_served(job: Job) -> None:
    served = job.starts("inference")["metadata"]["uid"]
    job.train()
    job.evaluate({"precision": [0.9]}, {"precision": [0.1]})
    job.comes_to("Deploy/Ready")
    name = job.starts("deploy")["metadata"]["name"]
    job.comes_to("Deploy/Running")
    job.world.kubelet.ends(name, code=1, message="disk full")
    assert "disk full" in job.comes_to("Deploy/Failed")["message"]
    assert [pod["metadata"]["uid"] for pod in job.live("inference")] == [served]


@pytest.mark.stricter
def test_a_worker_that_is_deleted_while_it_runs_has_failed(job: Job) -> None:
    job.comes_to("Train/Ready")
    name = job.starts("train")["metadata"]["name"]
    job.comes_to("Train/Running")
    path = path_of("Pod", job.world.namespace, name)
    job.world.target.ask("DELETE", f"{path}?gracePeriodSeconds=0")
    assert name in job.comes_to("Train/Failed")["message"]


@pytest.mark.stricter
def test_an_image_that_cannot_be_pulled_is_named_and_waited_for(job: Job) -> None:
    job.comes_to("Train/Starting")
    name = job.pod("train")["metadata"]["name"]
    job.world.kubelet.waits(name, "ErrImagePull", "not found")
    until(lambda: job.status.get("phase") == "Blocked", "the job was blocked", lambda: json.dumps(job.status))
    assert "conformance.invalid/train" in job.status["lastError"]
    assert "Train/Failed" not in job.steps()
    job.world.kubelet.runs(name)
    job.comes_to("Train/Running")


@pytest.mark.stricter
def test_what_a_worker_says_must_make_sense(job: Job) -> None:
    job.comes_to("Train/Ready")
    pod = job.starts("train")
    job.world.ends_well(pod, "train", job.name, [{"format": "onnx", "url": "/etc/passwd"}])
    assert "/etc/passwd" in job.comes_to("Train/Failed")["message"]


@pytest.mark.stricter
def test_what_is_missing_is_named_and_waited_for(world: World) -> None:
    world.count("sites", 10)
    lacking: dict[str, tuple[Document, Document]] = {
        "Dataset nowhere": ({"dataset": {"name": "nowhere"}}, a_dataset("nowhere")),
        "Model nothing": ({"initialModel": {"name": "nothing"}}, a_model("nothing", "/models/nothing.onnx")),
        "Model none": ({"deploySpec": {"model": {"name": "none"}}}, a_model("none", "/served-none/model.onnx")),
    }
    jobs = {what: Job(world=world, name=what.lower().replace(" ", "-")) for what in lacking}
    for what, (change, _) in lacking.items():
        world.has(a_job(jobs[what].name, **change))
    for what, (_, created) in lacking.items():
        jobs[what].fails_for(what)
        world.has(created)
    world.count("nowhere", 11)
    for job in jobs.values():
        job.comes_to("Train/Waiting")
        job.comes_to("Train/Ready")


@pytest.mark.stricter
def test_what_is_applied_together_is_not_missing(world: World) -> None:
    """A job may be seen before its Models."""
    names = [f"together-{number}" for number in range(8)]
    for name in names:
        models = a_model(f"{name}-base", "/models/base/model.onnx"), a_model(f"{name}-served", f"/{name}/model.onnx")
        deploy = {"model": {"name": f"{name}-served"}}
        written = a_job(name, initialModel={"name": f"{name}-base"}, deploySpec=deploy, dataset={"name": name})
        world.has(written, *models, a_dataset(name))
        world.count(name, 10)
    for name in names:
        job = Job(world=world, name=name)
        job.comes_to("Train/Ready")
        assert "Train/Failed" not in job.steps()


@pytest.mark.stricter
def test_a_job_in_trouble_stops_no_other(world: World) -> None:
    world.has(a_job("lacking", dataset={"name": "nowhere"}), a_job("helmets"))
    world.count("sites", 10)
    Job(world=world, name="lacking").comes_to("Train/Failed")
    Job(world=world, name="helmets").train()


@pytest.mark.stricter
@pytest.mark.parametrize("kind", JOBS_AND_SERVICES)
def test_no_job_or_service_is_left_without_a_word(manifests: World, kind: str) -> None:
    """Whoever does not carry a kind out says so."""

    def silent() -> list[str]:
        every = manifests.target.all(kind, manifests.namespace)
        return [one["metadata"]["name"] for one in every if not (one.get("status") or {}).get("conditions")]

    assert manifests.target.all(kind, manifests.namespace)
    until(lambda: not silent(), f"every {kind} had a condition", lambda: str(silent()))


@pytest.mark.stricter
def test_a_history_has_an_end(job: Job) -> None:
    """Sedna's grows until etcd takes the job no more."""
    job.comes_to("Train/Starting")
    path = path_of("IncrementalLearningJob", job.world.namespace, job.name)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    step = {"type": "Waiting", "stage": "Train", "status": "True", "lastTransitionTime": now, "lastHeartbeatTime": now}
    history = [step, *job.status["conditions"]] * 40
    job.world.target.patch(f"{path}/status", {"status": {"conditions": history}})
    job.starts("train")
    until(lambda: job.at == "Train/Running", "the job went on", lambda: json.dumps(job.status))
    assert len(job.status["conditions"]) <= 30


def test_a_deleted_job_starts_nothing_more(job: Job) -> None:
    job.comes_to("Train/Starting")
    job.pod("train")
    world = job.world
    world.target.ask("DELETE", path_of("IncrementalLearningJob", world.namespace, job.name))
    world.has(a_job("later"))
    Job(world=world, name="later").comes_to("Train/Starting")
    assert world.target.named("IncrementalLearningJob", world.namespace, job.name) is None
    assert len(job.pods("train")) <= 1
