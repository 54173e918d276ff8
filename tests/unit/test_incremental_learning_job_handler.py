"""What a job does next: a round in Sedna's words, whatever happens to its pods, its documents and the operator."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.job_world import (
    JOB,
    World,
    a_dataset,
    a_job,
    a_model,
    a_satellite,
    a_template,
    evaluated,
    merged,
    trained,
    words,
)

from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Key
from orbitloop_operators.handlers.node_reports import report_document

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


def in_training(**changes: Any) -> World:
    """A job whose first training runs."""
    world = World.with_job(**changes)
    world.settle()
    world.run("helmets-train-1-1")
    world.settle()
    return world


def in_evaluation() -> World:
    world = in_training()
    world.end("helmets-train-1-1", trained())
    world.settle()
    return world


def in_deployment(**deploy: object) -> World:
    world = in_training(deploySpec=deploy)
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    return world


# ---- Train


@pytest.mark.parametrize(
    ("samples", "state", "message"),
    [
        (None, "Waiting", "0 of 1 samples have arrived; the Local Controller of node edge-1 has not counted"),
        (0, "Waiting", "0 of 1 samples have arrived"),
        (9, "Waiting", "num_of_samples is 7, asked for is > 7"),
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


def play_round(world: World, round: int, attempt: int = 1) -> None:
    for pod, said in (("train", trained(round)), ("eval", evaluated()), ("deploy", words("deploy"))):
        world.end(f"helmets-{pod}-{round}-{attempt}", said)
        world.settle()


def test_a_later_round_is_trained_from_what_was_deployed() -> None:
    world = World.with_job()
    world.settle()
    play_round(world, 1)
    world.count(20)
    world.settle()
    assert env_of(world, "helmets-train-2-1")["BASE_MODEL_URL"] == "/home/data/output/train/1/model.onnx"


# ---- pods that fail


@pytest.mark.parametrize(
    ("stage", "failures", "waits"),
    [("train", 1, 60), ("train", 2, 120), ("eval", 1, 60), ("deploy", 2, 120)],
    ids=["a training", "a training twice", "an evaluation", "a deployment twice"],
)
def test_a_failed_stage_rests_and_is_tried_again(stage: str, failures: int, waits: int) -> None:
    world = {"train": in_training, "eval": in_evaluation, "deploy": in_deployment}[stage]()
    again = timedelta(0)
    for attempt in range(1, failures + 1):
        world.now += again
        world.settle()
        world.end(f"helmets-{stage}-1-{attempt}", "no memory left on the device", code=1)
        again = world.settle().again or timedelta(0)
        assert (world.at, world.status["phase"]) == (f"{stage.title()}/Failed", "BackingOff")
        assert f"helmets-{stage}-1-{attempt + 1}" not in world.pods()
    assert world.status["failures"] == failures
    assert "exit code 1: no memory left on the device" in world.status["lastError"]
    assert again == timedelta(seconds=waits)
    world.now += again
    world.settle()
    assert world.at == f"{stage.title()}/Starting"
    assert world.status["attempt"] == failures + 1
    assert f"helmets-{stage}-1-{failures + 1}" in world.pods()


def test_after_the_last_attempt_the_round_is_closed_and_its_samples_count_as_used() -> None:
    world = in_training()
    for attempt in (1, 2, 3):
        world.end(f"helmets-train-1-{attempt}", code=137, reason="OOMKilled")
        again = world.settle().again
        world.now += again or timedelta(0)
        world.settle()
    assert world.at == "Train/Waiting"
    assert world.status["round"] == 2
    assert world.status["failures"] == 0
    assert world.status["samples"]["used"] == 10
    assert "raise resources.limits.memory" in world.status["lastError"]
    assert world.told[-1].message.startswith("round 1 is over: training failed 3 times; the last time: pod helmets")


@pytest.mark.parametrize(
    ("pod_status", "says"),
    [
        (
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."},
            "Evicted: The node was low",
        ),
        ({"phase": "Failed"}, "it failed without a reason"),
        (
            {
                "phase": "Failed",
                "initContainerStatuses": [
                    {
                        "name": "orbitloop",
                        "state": {
                            "terminated": {"exitCode": 1, "reason": "Error", "message": "/home/data/x: no such file"}
                        },
                    }
                ],
            },
            "exit code 1: /home/data/x: no such file",
        ),
    ],
    ids=["evicted", "no word at all", "its samples could not be cut"],
)
def test_why_a_pod_failed_is_passed_on(pod_status: dict[str, object], says: str) -> None:
    world = in_training()
    world.set_pod("helmets-train-1-1", pod_status)
    world.settle()
    assert world.at == "Train/Failed"
    assert says in world.status["lastError"]


def test_a_pod_that_was_deleted_while_it_ran_is_a_failed_attempt() -> None:
    world = in_training()
    world.delete_pod("helmets-train-1-1")
    world.settle()
    assert world.at == "Train/Failed"
    assert "was deleted while it ran" in world.status["lastError"]


def test_a_pod_that_is_gone_before_it_ran_is_made_again() -> None:
    world = World.with_job()
    world.settle()
    world.delete_pod("helmets-train-1-1")
    world.settle()
    assert world.at == "Train/Starting"
    assert "helmets-train-1-1" in world.pods()


def test_the_next_attempt_waits_until_the_pod_before_has_ended() -> None:
    world = in_training()
    world.mark_leaving("helmets-train-1-1")
    world.settle()
    assert world.at == "Train/Running"
    assert "was deleted, and has not ended yet" in world.status["message"]
    world.end("helmets-train-1-1", code=143)
    world.settle()
    assert world.at == "Train/Failed"


# ---- pods that cannot start


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("ErrImagePull", "check the image's name"),
        ("ImagePullBackOff", "check the image's name"),
        ("InvalidImageName", "correct the image's name"),
        ("CreateContainerConfigError", "create the Secret or ConfigMap"),
    ],
)
def test_what_keeps_a_pod_from_starting_is_no_failed_attempt(reason: str, remedy: str) -> None:
    world = World.with_job()
    world.settle()
    world.wait_for("helmets-train-1-1", reason, "not found")
    world.settle()
    assert (world.at, world.status["phase"], world.status["failures"]) == ("Train/Starting", "Blocked", 0)
    assert remedy in world.status["lastError"]
    assert (world.told[-1].severity, world.told[-1].reason) == ("Warning", reason)
    world.run("helmets-train-1-1")
    world.settle()
    assert (world.at, world.status["phase"]) == ("Train/Running", "Training")


def test_a_pod_that_no_node_takes_says_so() -> None:
    world = World.with_job()
    world.settle()
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    world.set_pod("helmets-train-1-1", {"phase": "Pending", "conditions": [said]})
    world.settle()
    assert world.status["phase"] == "Blocked"
    assert "no node takes it: 0/3 nodes are available" in world.status["message"]


def test_between_two_pulls_the_status_stays_as_it_is() -> None:
    world = World.with_job()
    world.settle()
    world.wait_for("helmets-train-1-1", "ErrImagePull", "manifest unknown")
    world.settle()
    writes = world.writes
    for _ in range(3):
        world.wait_for("helmets-train-1-1", "ImagePullBackOff", "Back-off pulling image")
        world.settle()
        world.wait_for("helmets-train-1-1", "ErrImagePull", "manifest unknown")
        world.settle()
    assert world.writes == writes
    assert "manifest unknown" in world.status["lastError"]


def test_a_pod_that_cannot_start_is_made_anew_when_the_template_is_mended() -> None:
    world = World.with_job()
    world.settle()
    world.wait_for("helmets-train-1-1", "InvalidImageName")
    world.settle()
    world.change(trainSpec={"template": a_template("lab/helmets:2")})
    world.settle()
    assert world.at == "Train/Starting"
    assert world.pod("helmets-train-1-1")["spec"]["containers"][0]["image"] == "lab/helmets:2"
    assert world.status["attempt"] == 1


# ---- results


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("done!", "cannot be read"),
        (words("eval"), "are about eval, and its work was train"),
        (words("train"), "names no model"),
        (words("train", results=[{"url": "/etc/shadow"}]), "is not in the job's outputDir /output"),
        (words("train", results=[{"url": "/output/../etc/shadow"}]), "is not in the job's outputDir /output"),
        (words("train", results=[{"url": "/outputs/model.onnx"}]), "is not in the job's outputDir /output"),
        (words("train", results=[{"url": "s3://bucket/model.onnx"}]), "is not in the job's outputDir /output"),
        (words("train", results=[{"url": "/output/" + "m" * 3000}]), "at most 2048 are read"),
        (words("train", results=[{"url": "/output/m.onnx", "digest": "sha256:x"}]), "cannot be read"),
        (words("train", message="x" * 13_000), "longer than 12288 bytes"),
        (words("train", status="failed", message="loss is not a number"), "loss is not a number"),
        (words("train", status="running"), "says that it is running"),
    ],
    ids=[
        "no JSON",
        "of another stage",
        "no model",
        "somebody else's file",
        "a way out of the output folder",
        "a folder beside it",
        "a bucket",
        "an endless path",
        "no digest at all",
        "far too long",
        "failed, with exit code 0",
        "still running, it says",
    ],
)
def test_last_words_are_not_trusted(said: str, complaint: str) -> None:
    world = in_training()
    world.end("helmets-train-1-1", said)
    world.settle()
    assert world.at == "Train/Failed"
    assert complaint in world.status["lastError"]


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        ("high", "metric precision of the evaluation is neither a number nor a list"),
        ([0.5] * 9000, "longer than"),
    ],
    ids=["a word", "too many"],
)
def test_metrics_are_not_trusted(new: object, complaint: str) -> None:
    world = in_evaluation()
    world.end("helmets-eval-1-1", evaluated(new=new))
    world.settle()
    assert world.at == "Eval/Failed"
    assert complaint in world.status["lastError"]


def test_a_worker_of_the_original_sedna_is_believed_by_its_nodes_report() -> None:
    world = in_training()
    model = {"format": "onnx", "url": "/output/train/1/model.onnx", "metrics": {}}
    entry = {"kind": "train", "status": "completed", "results": [model]}
    world.report("edge-1", workers={"lab/helmets-train-1-1": entry})
    world.end("helmets-train-1-1")
    world.settle()
    assert world.at == "Eval/Starting"
    assert world.status["candidate"]["url"] == "/output/train/1/model.onnx"


def test_a_report_is_waited_for_and_then_missed() -> None:
    world = in_training()
    world.end("helmets-train-1-1")
    again = world.settle().again
    assert (world.at, again) == ("Train/Running", timedelta(minutes=2))
    world.pass_by(minutes=2)
    world.settle()
    assert world.at == "Train/Failed"
    assert "use the worker library of orbitloop" in world.status["lastError"]


def test_a_model_whose_name_the_template_gives_needs_no_report() -> None:
    template = a_template()
    template["spec"]["containers"][0]["env"] = [{"name": "MODEL_NAME", "value": "net.pth"}]
    world = in_training(trainSpec={"template": template})
    world.end("helmets-train-1-1")
    world.settle()
    world.pass_by(minutes=2)
    world.settle()
    assert world.at == "Eval/Starting"
    assert world.status["candidate"] == {"url": "/output/train/1/net.pth", "format": "pth", "digest": "", "metrics": ""}


# ---- Deploy


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


def test_an_inference_worker_in_trouble_is_told_of_once() -> None:
    world = World.with_job(samples=0)
    world.settle()
    crash = {"exitCode": 1, "reason": "Error", "message": "no module named torch"}
    container = {
        "name": "worker",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": crash},
    }
    for _ in range(3):
        world.set_pod("helmets-inference-1", {"phase": "Running", "containerStatuses": [container]})
        world.settle()
    warnings = [notice.message for notice in world.told if notice.severity == "Warning"]
    assert len(warnings) == 1
    assert "ends again and again: exit code 1: no module named torch" in warnings[0]


def test_a_changed_template_reaches_the_inference_worker() -> None:
    world = World.with_job(samples=0)
    world.settle()
    world.run("helmets-inference-1")
    world.settle()
    world.change(deploySpec={"template": a_template("lab/helmets:2")})
    world.settle()
    assert list(world.pods()) == ["helmets-inference-2"]


# ---- what is missing or wrong


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (["Dataset/sites"], "namespace lab lacks Dataset sites"),
        (["Model/first"], "namespace lab lacks Model first"),
        (["Dataset/sites", "Model/first", "Model/served"], "lacks Dataset sites, Model first, Model served"),
    ],
    ids=["the dataset", "a model", "everything"],
)
def test_what_a_job_names_and_is_missing_is_told_of_and_waited_for(missing: list[str], says: str) -> None:
    world = World.with_job()
    taken = {}
    for path in missing:
        kind, name = path.split("/")
        key = Key(api_version="sedna.io/v1alpha1", kind=kind, namespace="lab", name=name)
        taken[key] = world.store.get(key)
        world.drop(key)
    world.settle()
    assert (world.at, world.status["phase"], world.status["failures"]) == ("Train/Failed", "Blocked", 0)
    assert says in world.status["message"]
    assert (world.told[-1].severity, world.told[-1].reason) == ("Warning", "Missing")
    for document in taken.values():
        assert document is not None
        metadata = {key: value for key, value in document["metadata"].items() if key != "uid"}
        world.put({**document, "metadata": {**metadata, "uid": f"again-{metadata['name']}"}})
    world.settle()
    assert world.at == "Train/Starting"
    assert world.status["lastError"] == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"deploySpec": {"hardExampleMining": {"name": "Oracle"}}},
            "'Oracle' is unknown; use one of IBT, CrossEntropy",
        ),
        (
            {"deploySpec": {"hardExampleMining": {"parameters": [{"key": "magic", "value": "1"}]}}},
            "IBT has no parameter 'magic'",
        ),
        ({"dataset": {"trainProb": 1.5}}, "write a number above 0, at most 1"),
        ({"trainSpec": {"trigger": {"condition": {"operator": "=>"}}}}, "'=>' is no operator"),
        ({"trainSpec": {"trigger": {"timer": {"start": "8pm", "end": "21:00"}}}}, "'8pm' is no time of day"),
        ({"outputDir": "output"}, "write an absolute path on the node"),
        ({"dataset": {"name": 7}}, "spec.dataset.name"),
    ],
    ids=["miner", "miner's parameter", "share", "operator", "hours", "relative path", "type"],
)
def test_what_cannot_be_carried_out_is_refused_with_the_remedy(changes: dict[str, Any], says: str) -> None:
    world = World.with_job(**changes)
    world.settle()
    assert (world.at, world.status["phase"]) == ("Train/Failed", "Blocked")
    assert says in world.status["lastError"]
    writes = world.writes
    world.settle()
    assert world.writes == writes
    world.rewrite(a_job()["spec"])
    world.settle()
    assert world.at == "Train/Starting"


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (a_dataset(10, url="s3://bucket/index.txt"), "rounds are cut from an index on the node"),
        (a_dataset(10, url="index.txt"), "write an absolute path on the node"),
        (a_dataset(10, url="/index.txt"), "put the file into a folder"),
        (merged(a_dataset(10), {"spec": {"format": "parquet"}}), "write one of txt, csv"),
    ],
    ids=["a bucket", "a relative path", "in the root folder", "a format"],
)
def test_a_dataset_that_rounds_cannot_be_cut_from_is_refused_once(dataset: dict[str, object], says: str) -> None:
    world = World.with_job()
    world.put(dataset)
    world.settle()
    assert (world.at, world.status["phase"]) == ("Train/Failed", "Blocked")
    assert says in world.status["lastError"]
    world.put(a_dataset(10))
    world.settle()
    assert world.at == "Train/Starting"


def test_what_the_server_refuses_is_tried_again_later_and_not_at_once() -> None:
    world = World.with_job()
    for _ in range(2):
        world.once()
    assert world.at == "Train/Ready"
    refused = world.handler.refused(world.job, Refused("cannot create Pod: quota exceeded"), world.now)
    assert refused.again == timedelta(minutes=5)
    world.put({**world.job, "status": refused.status})
    world.settle()
    assert (world.at, world.status["phase"]) == ("Train/Failed", "Blocked")
    world.pass_by(minutes=5)
    world.settle()
    assert world.at == "Train/Starting"


def test_a_spec_that_breaks_in_mid_round_does_not_lose_the_round() -> None:
    world = in_training()
    world.change(dataset={"trainProb": 7})
    world.settle()
    assert world.at == "Train/Failed"
    world.end("helmets-train-1-1", trained())
    world.change(dataset={"trainProb": 0.8})
    world.settle()
    assert world.at == "Eval/Starting"
    assert world.status["segments"] == [{"round": 1, "begin": 0, "end": 10}]


def test_a_spec_that_changes_in_mid_round_is_the_next_stages() -> None:
    world = in_training()
    world.change(
        evalSpec={"template": a_template("lab/helmets:2")}, trainSpec={"template": a_template("lab/helmets:3")}
    )
    world.settle()
    assert world.status["observedGeneration"] == 2
    assert world.pod("helmets-train-1-1")["spec"]["containers"][0]["image"] == "lab/helmets:1"
    world.end("helmets-train-1-1", trained())
    world.settle()
    assert world.pod("helmets-eval-1-1")["spec"]["containers"][0]["image"] == "lab/helmets:2"


def test_a_dataset_that_shrank_is_told_of_and_never_counts_below_nothing() -> None:
    world = World.with_job(samples=10)
    world.settle()
    play_round(world, 1)
    world.count(4)
    assert world.settle().again == timedelta(minutes=10)
    assert (world.status["samples"]["used"], world.status["samples"]["waiting"]) == (4, 0)
    assert world.told[-1].reason == "DatasetShrank"
    world.pass_by(minutes=10)
    world.settle()
    assert world.status["segments"] == [{"round": 1, "begin": 0, "end": 4}]
    world.count(16)
    world.settle()
    assert world.status["segments"][-1] == {"round": 2, "begin": 4, "end": 16}


def test_an_index_that_is_just_being_written_anew_makes_no_sample_new() -> None:
    world = World.with_job(samples=10)
    world.settle()
    play_round(world, 1)
    for samples in (0, 3, 12):
        world.count(samples)
        world.settle()
    assert world.status["samples"] == {"used": 10, "waiting": 2, "source": "/data/sites/index.txt"}
    assert world.status["segments"] == [{"round": 1, "begin": 0, "end": 10}]


def test_another_index_begins_anew() -> None:
    world = World.with_job(samples=10)
    world.settle()
    play_round(world, 1)
    world.count(12, url="/data/other/index.txt")
    world.settle()
    assert world.status["segments"] == [{"round": 2, "begin": 0, "end": 12}]


def test_in_mid_round_another_index_waits_for_the_next() -> None:
    world = in_training()
    world.count(12, url="/data/other/index.txt")
    world.end("helmets-train-1-1", trained())
    world.settle()
    command = world.pod("helmets-eval-1-1")["spec"]["initContainers"][0]["command"]
    assert command[command.index("--index") + 1] == "/home/data/data/sites/index.txt"


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    world = in_training()
    job = dict(world.job)
    job["metadata"] = {**job["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}
    assert world.handler.reconcile(job, world.store, world.now) == Changes()


def test_a_job_that_the_original_sedna_left_in_a_stage_goes_on_there() -> None:
    world = World.with_job(samples=0)
    condition = {"type": "Waiting", "status": "True", "stage": "Train"}
    world.put({**world.job, "status": {"startTime": "2025-01-01T00:00:00Z", "conditions": [condition]}})
    world.settle()
    assert world.steps == ["Train/Waiting"]
    assert world.status["startTime"] == "2025-01-01T00:00:00Z"


def test_thirty_steps_are_remembered() -> None:
    world = World.with_job(samples=10)
    for round in range(1, 4):
        world.count(10 * round)
        world.settle()
        play_round(world, round)
    assert len(world.steps) == 30
    assert world.steps[-1] == "Train/Waiting"


def env_of(world: World, pod: str) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in world.pod(pod)["spec"]["containers"][0]["env"]}


# ---- tidiness, and who looks at what


def test_pods_of_the_last_round_stay_and_those_before_go() -> None:
    world = World.with_job(samples=10)
    for round in range(1, 4):
        world.count(10 * round)
        world.settle()
        play_round(world, round)
    ended = sorted(name for name in world.pods() if "inference" not in name)
    assert ended == ["helmets-deploy-3-1", "helmets-eval-3-1", "helmets-train-3-1"]


def test_a_pod_for_a_node_that_there_is_not_says_so() -> None:
    world = World.with_job()
    world.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge-2"}})
    world.settle()
    assert (world.at, world.status["phase"]) == ("Train/Starting", "Blocked")
    assert "there is no node edge-1; join it to the cluster" in world.status["lastError"]
    world.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge-1"}})
    world.settle()
    assert world.status["phase"] == "Training"


def test_metrics_that_did_not_fit_into_the_last_words_are_taken_from_the_nodes_report() -> None:
    world = in_evaluation()
    models = json.loads(evaluated())["results"]
    entry = {"kind": "eval", "status": "completed", "results": models}
    world.report("edge-1", workers={"lab/helmets-eval-1-1": entry})
    bare = [{key: value for key, value in model.items() if key != "metrics"} for model in models]
    world.end("helmets-eval-1-1", words("eval", results=bare, message="metrics left out: precision"))
    world.settle()
    assert world.at == "Deploy/Starting"


def test_what_was_left_out_is_said_where_nobody_else_says_it() -> None:
    world = in_evaluation()
    models = [{"url": "/output/train/1/model.onnx", "metrics": {}}]
    world.end("helmets-eval-1-1", words("eval", results=models, message="metrics left out: precision"))
    world.settle()
    assert "Deploy/Completed" in world.steps
    assert any("evaluated; metrics left out: precision" in notice.message for notice in world.told)


def an_object(kind: str, name: str, namespace: str = "lab", **more: Any) -> dict[str, Any]:
    group = "orbitloop.io" if kind == "Satellite" else "sedna.io"
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": metadata, "spec": more}


@pytest.mark.parametrize(
    ("document", "concerned"),
    [
        (a_job(), True),
        (an_object("Dataset", "sites"), True),
        (an_object("Dataset", "others"), False),
        (an_object("Dataset", "sites", "elsewhere"), False),
        (an_object("Model", "first"), True),
        (an_object("Model", "served"), True),
        (an_object("Model", "judge"), True),
        (an_object("Model", "others"), False),
        (an_object("Satellite", "sat-1", nodeName="edge-1"), True),
        (an_object("Satellite", "sat-7", nodeName="edge-7"), True),
        (an_object("Satellite", "sat-8", nodeName="edge-8"), False),
        (report_document("edge-1", 1, {}), True),
        (report_document("edge-9", 1, {}), True),
        (report_document("edge-8", 1, {}), False),
        (an_object("ContactPlan", "plan"), False),
    ],
    ids=[
        "itself",
        "its dataset",
        "another dataset",
        "a dataset of another namespace",
        "what it begins with",
        "what it deploys",
        "what it is judged by",
        "another model",
        "the satellite of its dataset",
        "a satellite that it names",
        "another satellite",
        "what its dataset's node says",
        "what its inference worker's node says",
        "what another node says",
        "something else",
    ],
)
def test_a_job_is_looked_at_again_when_what_it_depends_on_changes(document: dict[str, Any], concerned: bool) -> None:
    world = World.with_job(
        samples=0,
        deploySpec={"template": a_template(nodeName="edge-9")},
        evalSpec={"initialEvalModel": {"name": "judge"}},
    )
    world.put(a_model("judge", "/models/judge.onnx"))
    job = dict(world.job)
    world.put({**job, "metadata": {**job["metadata"], "annotations": {"orbitloop.io/satellites": "sat-7"}}})
    world.put(a_satellite("sat-7", "edge-7"))
    world.settle()
    assert (JOB in world.handler.related(document, world.store)) is concerned


def test_a_job_is_looked_at_again_when_one_of_its_pods_changes() -> None:
    world = World.with_job()
    world.settle()
    assert list(world.handler.related(world.pod("helmets-train-1-1"), world.store)) == [JOB]


@pytest.mark.parametrize("kind", ["Dataset", "Model", "Satellite"])
def test_an_object_without_a_spec_disturbs_nobody(kind: str) -> None:
    world = World.with_job()
    world.put({"apiVersion": "sedna.io/v1alpha1", "kind": "IncrementalLearningJob", "metadata": {"name": "bare"}})
    document = {key: value for key, value in an_object(kind, "others").items() if key != "spec"}
    assert not world.handler.related(document, world.store)
