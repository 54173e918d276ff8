"""What becomes of a job when its workers' pods fail, cannot start, or say what nobody can believe."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.job_world import (
    World,
    a_template,
    evaluated,
    in_deployment,
    in_evaluation,
    in_training,
    words,
)

from orbitloop.testing.builders import a_digest


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


def test_a_file_that_was_changed_before_it_was_deployed_is_no_success() -> None:
    world = in_deployment()
    result = {"url": "/output/train/1/model.onnx", "digest": a_digest("another")}
    world.end("helmets-deploy-1-1", words("deploy", results=[result]))
    world.settle()
    assert world.at == "Deploy/Failed"
    assert "it was changed meanwhile" in world.status["lastError"]


def test_what_was_deployed_is_known_by_its_digest_even_where_training_did_not_say() -> None:
    world = in_training()
    world.end("helmets-train-1-1", words("train", results=[{"url": "/output/train/1/model.onnx"}]))
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    result = {"url": "/output/train/1/model.onnx", "digest": a_digest("model")}
    world.end("helmets-deploy-1-1", words("deploy", results=[result]))
    world.settle()
    assert world.status["flying"] == world.status["deployed"]["digest"] == a_digest("model")
