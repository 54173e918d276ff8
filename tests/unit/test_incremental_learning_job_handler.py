"""What a job does next: its rounds, in Sedna's words, from its samples to what is deployed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.job_world import (
    JOB,
    World,
    a_dataset,
    a_template,
    env_of,
    evaluated,
    in_deployment,
    in_training,
    play_round,
    trained,
    words,
)

ONE_ROUND = [
    f"{stage}/{state}"
    for stage in ("Train", "Eval", "Deploy")
    for state in ("Waiting", "Ready", "Starting", "Running", "Completed")
]


def test_a_round_goes_through_all_of_sednas_steps_and_the_next_one_waits() -> None:
    world = World.with_job()
    world.settle()
    for pod, said in (("train", trained()), ("eval", evaluated()), ("deploy", words("deploy"))):
        world.run(f"helmets-{pod}-1-1")
        world.settle()
        world.end(f"helmets-{pod}-1-1", said)
        world.settle()
    assert world.steps == [*ONE_ROUND, "Train/Waiting"]
    assert world.status["round"] == 2
    assert world.status["deployed"]["url"] == "/output/train/1/model.onnx"


def test_a_job_that_was_just_seen_waits_at_once() -> None:
    world = World.with_job(samples=None)
    world.once()
    assert world.steps == ["Train/Waiting"]
    assert world.status["phase"] == "Waiting"


def test_pods_of_a_job_of_the_same_name_that_is_just_being_deleted_are_waited_for() -> None:
    world = in_training()
    old = {**world.job, "metadata": {"name": "helmets", "namespace": "lab", "generation": 1}}
    world.drop(JOB)
    world.put(
        {**{key: value for key, value in old.items() if key != "status"}, "metadata": {**old["metadata"], "uid": "2"}}
    )
    world.settle()
    assert world.at == "Train/Ready"
    assert "pod helmets-train-1-1 belongs to another owner (IncrementalLearningJob helmets)" in world.status["message"]
    for name in list(world.pods()):
        world.delete_pod(name)
    world.settle()
    assert world.at == "Train/Starting"
    assert {pod["metadata"]["ownerReferences"][0]["uid"] for pod in world.pods().values()} == {"2"}


def test_each_reconcile_makes_at_most_one_step() -> None:
    world = World.with_job()
    made = []
    for _ in range(4):
        world.once()
        made.append(len(world.steps))
    assert made == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("samples", "state", "message"),
    [
        (None, "Waiting", "0 of 1 samples have arrived; the Local Controller of node edge-1 has not counted"),
        (0, "Waiting", "0 of 1 samples have arrived"),
        (9, "Waiting", "num_of_samples is 7, asked for is > 7; of 9 new samples 7 are for training"),
        (10, "Starting", "pod helmets-train-1-1 starts"),
    ],
    ids=["not counted yet", "none", "eight tenths of nine are seven", "enough"],
)
def test_a_round_begins_when_its_trigger_holds(samples: int | None, state: str, message: str) -> None:
    world = World.with_job(samples=samples)
    world.settle()
    assert world.at == f"Train/{state}"
    assert world.status["message"].startswith(message)


def test_a_dataset_in_trouble_is_what_a_job_without_samples_speaks_of() -> None:
    world = World.with_job(samples=0)
    bad = {"type": "Ready", "status": "False", "message": "there is no node edge-1; correct spec.nodeName"}
    world.put({**a_dataset(0), "status": {"numberOfSamples": 0, "conditions": [bad]}})
    world.settle()
    assert world.status["message"].endswith("Dataset sites: there is no node edge-1; correct spec.nodeName")


def test_outside_its_hours_a_round_is_put_off_until_they_begin() -> None:
    world = World.with_job(trainSpec={"trigger": {"timer": {"start": "20:00", "end": "21:00"}}})
    again = world.settle().again
    assert world.at == "Train/Waiting"
    assert world.status["retryAt"] == "2026-03-01T20:00:00Z"
    assert again == timedelta(hours=8)
    world.pass_by(hours=8)
    world.settle()
    assert world.at == "Train/Starting"


def test_samples_that_arrive_in_mid_round_are_the_next_rounds() -> None:
    world = in_training()
    world.count(25)
    world.settle()
    assert world.status["segments"] == [{"round": 1, "begin": 0, "end": 10}]
    assert world.status["samples"] == {"used": 10, "waiting": 15, "source": "/data/sites/index.txt"}


def test_the_next_round_takes_what_came_since_and_evaluates_on_the_last_five() -> None:
    world = World.with_job(samples=10)
    for round in range(1, 8):
        world.count(10 * round)
        world.settle()
        play_round(world, round)
    begins = [(one["round"], one["begin"], one["end"]) for one in world.status["segments"]]
    assert begins == [(round, 10 * (round - 1), 10 * round) for round in range(3, 8)]
    assert world.status["samples"]["used"] == 70


def test_a_later_round_is_trained_from_what_was_deployed() -> None:
    world = World.with_job()
    world.settle()
    play_round(world, 1)
    world.count(20)
    world.settle()
    assert env_of(world, "helmets-train-2-1")["BASE_MODEL_URL"] == "/home/data/output/train/1/model.onnx"


@pytest.mark.parametrize(
    ("new", "old", "metric", "deployed"),
    [
        (0.9, 0.5, "precision_delta", True),
        (0.55, 0.5, "precision_delta", False),
        ([0.9, 0.7], [0.5, 0.5], "precision_delta", True),
        ([0.9, 0.7], [0.5, 0.5], "precision_delta[1]", True),
        ([0.9, 0.55], [0.5, 0.5], "precision_delta[1]", False),
        ([0.9], [0.5], "precision_delta[3]", False),
        (0.9, 0.5, "recall", False),
    ],
    ids=[
        "scalars",
        "not better enough",
        "lists by their mean",
        "one of a list",
        "that one is not",
        "no such",
        "no metric",
    ],
)
def test_a_model_is_deployed_if_the_trigger_says_so(new: object, old: object, metric: str, deployed: bool) -> None:
    world = in_training(deploySpec={"trigger": {"condition": {"metric": metric}}})
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated(new, old))
    world.settle()
    if deployed:
        assert world.at == "Deploy/Starting"
    else:
        assert world.steps[-2:] == ["Deploy/Completed", "Train/Waiting"]
        assert "no need to deploy" in world.status["conditions"][-2]["message"]
        assert "deployed" not in world.status


def test_deploy_hours_put_off_and_never_discard() -> None:
    world = in_deployment(trigger={"timer": {"start": "20:00", "end": "21:00"}})
    assert world.at == "Deploy/Waiting"
    assert world.status["retryAt"] == "2026-03-01T20:00:00Z"
    world.pass_by(hours=8, minutes=1)
    world.settle()
    assert world.at == "Deploy/Starting"


def test_a_cold_deployment_replaces_the_file_and_starts_the_inference_worker_anew() -> None:
    world = in_deployment()
    world.run("helmets-inference-1")
    command = world.pod("helmets-deploy-1-1")["spec"]["containers"][0]["command"]
    assert command[-4:] == [
        "--model",
        "/home/data/output/train/1/model.onnx",
        "--deploy-model",
        "/home/data/models/served.onnx",
    ]
    world.end("helmets-deploy-1-1", words("deploy"))
    world.settle()
    assert [name for name in world.pods() if "inference" in name] == ["helmets-inference-2"]


def test_the_old_inference_worker_has_ended_before_the_new_one_begins() -> None:
    world = in_deployment()
    world.run("helmets-inference-1")
    world.mark_leaving("helmets-inference-1")
    world.end("helmets-deploy-1-1", words("deploy"))
    world.settle()
    assert [name for name in world.pods() if "inference" in name] == ["helmets-inference-1"]
    world.delete_pod("helmets-inference-1")
    world.settle()
    assert [name for name in world.pods() if "inference" in name] == ["helmets-inference-2"]


def test_a_hot_update_leaves_the_inference_worker_running() -> None:
    world = in_deployment(model={"name": "served", "hotUpdateEnabled": True, "pollPeriodSeconds": 30})
    command = world.pod("helmets-deploy-1-1")["spec"]["containers"][0]["command"]
    assert command[-6:] == ["--hot-update", "/model-hot-update", "--keep", "2", "--wait-seconds", "150"]
    world.run("helmets-inference-1")
    world.end("helmets-deploy-1-1", words("deploy"))
    world.settle()
    assert [name for name in world.pods() if "inference" in name] == ["helmets-inference-1"]
    assert world.status["inference"] == [{"satellite": "", "revision": 1, "state": "Running", "message": ""}]


def test_an_inference_worker_that_ended_is_made_again_after_a_rest() -> None:
    world = World.with_job(samples=0)
    world.settle()
    world.end("helmets-inference-1", code=1)
    assert world.settle().again == timedelta(minutes=1)
    assert "ended, and is made again: exit code 1" in world.status["inference"][0]["message"]
    world.pass_by(minutes=1)
    world.settle()
    assert list(world.pods()) == ["helmets-inference-2"]


def test_an_inference_worker_that_crashes_again_and_again_is_told_of_once_until_it_is_steady() -> None:
    world = World.with_job(samples=0)
    world.settle()
    last = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no module named torch"}}
    for _ in range(3):
        crashed = {"name": "worker", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}
        world.set_pod("helmets-inference-1", {"phase": "Running", "containerStatuses": [crashed]})
        world.settle()
        world.pass_by(minutes=5)
        began = {"running": {"startedAt": world.now.strftime("%Y-%m-%dT%H:%M:%SZ")}}
        started = {"name": "worker", "state": began, "lastState": last}
        world.set_pod("helmets-inference-1", {"phase": "Running", "containerStatuses": [started]})
        assert world.settle().again == timedelta(minutes=10)
    warnings = [notice.message for notice in world.told if notice.severity == "Warning"]
    assert len(warnings) == 1
    assert "ends again and again: exit code 1: no module named torch" in warnings[0]
    world.pass_by(minutes=10)
    world.settle()
    assert world.status["inference"][0]["message"] == ""


def test_a_changed_template_reaches_the_inference_worker() -> None:
    world = World.with_job(samples=0)
    world.settle()
    world.run("helmets-inference-1")
    world.settle()
    world.change(deploySpec={"template": a_template("lab/helmets:2")})
    world.settle()
    assert list(world.pods()) == ["helmets-inference-2"]
