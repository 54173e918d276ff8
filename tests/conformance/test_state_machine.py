"""How a job goes from step to step: what the last of ``status.conditions`` says, and what never happens."""

from __future__ import annotations

import itertools
import json
from datetime import datetime

import pytest
from tests.conformance.jobs import STAGES, data_of
from tests.conformance.walks import COLD, HOT, NEW, OLD, Walk
from tests.conformance.world import values

TYPES = {"Waiting", "Ready", "Starting", "Running", "Completed", "Failed"}
WITHIN_A_STAGE = {
    "Waiting": {"Ready", "Completed"},
    "Ready": {"Starting", "Running", "Completed", "Failed"},
    "Starting": {"Running", "Completed", "Failed"},
    "Running": {"Completed", "Failed"},
}
ROUNDS = pytest.mark.parametrize("round", [1, 2])


@ROUNDS
def test_a_round_trains_evaluates_and_deploys(walk: Walk, round: int) -> None:
    must = [f"{stage}/{one}" for stage in ("Train", "Eval") for one in ("Waiting", "Ready", "Running", "Completed")]
    must += ["Deploy/Waiting", "Deploy/Ready", "Deploy/Completed"]
    assert [step for step in walk.steps(round) if step in must] == must


@ROUNDS
def test_a_worker_starts_before_it_runs(walk: Walk, round: int) -> None:
    steps = walk.steps(round)
    for stage in ("Train", "Eval"):
        assert steps.index(f"{stage}/Ready") < steps.index(f"{stage}/Starting") < steps.index(f"{stage}/Running")


@ROUNDS
def test_every_step_follows_from_the_one_before(walk: Walk, round: int) -> None:
    conditions = walk.rounds[round - 1]
    for before, after in itertools.pairwise(conditions):
        if before["type"] == "Completed":
            following = STAGES[STAGES.index(before["stage"]) + 1]
            assert (after["stage"], after["type"]) == (following, "Waiting")
        else:
            assert after["stage"] == before["stage"]
            assert after["type"] in WITHIN_A_STAGE[before["type"]]


def test_after_a_deployment_the_next_round_waits(walk: Walk) -> None:
    last = walk.job["status"]["conditions"][-1]
    assert (last["stage"], last["type"]) == ("Train", "Waiting")


@pytest.mark.stricter
@ROUNDS
def test_no_step_is_told_twice_in_a_round(walk: Walk, round: int) -> None:
    """Sedna's are, where a pod's end and its worker's report come together."""
    assert len(set(walk.steps(round))) == len(walk.steps(round))


@ROUNDS
def test_words_are_sednas(walk: Walk, round: int) -> None:
    for condition in walk.rounds[round - 1]:
        assert condition["type"] in TYPES
        assert condition["stage"] in STAGES
        assert condition["status"] == "True"


@ROUNDS
def test_every_step_has_its_times(walk: Walk, round: int) -> None:
    conditions = walk.rounds[round - 1]
    began = [datetime.fromisoformat(one["lastTransitionTime"]) for one in conditions]
    assert began == sorted(began)
    for condition, at in zip(conditions, began, strict=True):
        assert datetime.fromisoformat(condition["lastHeartbeatTime"]) >= at


def test_a_job_has_a_start_and_no_end(walk: Walk) -> None:
    assert datetime.fromisoformat(walk.job["status"]["startTime"]).tzinfo is not None
    assert not walk.job["status"].get("completionTime")


@ROUNDS
def test_a_step_s_data_is_json_about_input_and_output(walk: Walk, round: int) -> None:
    for condition in walk.rounds[round - 1]:
        told = json.loads(condition.get("data") or "{}")
        assert set(told) <= {"input", "output"}
        for part in told.values():
            assert all({"format", "url"} <= set(model) for model in part.get("models", ()))


@ROUNDS
def test_what_a_training_is_given(walk: Walk, round: int) -> None:
    given = data_of(walk.condition(round, "Train/Ready"))["input"]
    folder = walk.job["spec"]["outputDir"]
    assert [model["format"] for model in given["models"]] == ["onnx"]
    assert given["dataURL"] == f"{folder}/data/train/{round}/data.txt"
    assert given["outputDir"] == f"{folder}/train/{round}"


@ROUNDS
def test_what_a_training_made(walk: Walk, round: int) -> None:
    (made,) = data_of(walk.condition(round, "Train/Completed"))["output"]["models"]
    assert made["format"] == "onnx"
    assert made["url"].endswith(f"{walk.job['spec']['outputDir']}/train/{round}/model.onnx")


@ROUNDS
def test_what_an_evaluation_found_is_of_the_new_model_and_then_of_the_old(walk: Walk, round: int) -> None:
    new, old = data_of(walk.condition(round, "Eval/Completed"))["output"]["models"]
    assert new["url"].endswith(f"/train/{round}/model.onnx")
    assert (new["metrics"], old["metrics"]) == (NEW, OLD)


def test_a_stage_has_one_worker_at_a_time(walk: Walk) -> None:
    assert walk.crowd == 1


def test_a_round_has_one_worker_a_stage(walk: Walk) -> None:
    assert [len(walk.workers[kind]) for kind in ("train", "eval")] == [2, 2]


def test_the_next_round_goes_on_from_what_was_deployed(walk: Walk) -> None:
    before, after = (values(walk.worker("train", round)) for round in (1, 2))
    assert after["BASE_MODEL_URL"] == f"{before['MODEL_URL']}/model.onnx"


def test_a_cold_update_starts_the_inference_worker_again(walks: dict[str, Walk]) -> None:
    first, *others = walks[COLD].workers["inference"]
    assert others
    assert first["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in others}


def test_a_hot_update_leaves_the_inference_worker_alone(walks: dict[str, Walk]) -> None:
    assert len(walks[HOT].workers["inference"]) == 1


@pytest.mark.stricter
def test_a_status_says_at_once_where_a_job_is(walk: Walk) -> None:
    status = walk.job["status"]
    assert (status["stage"], status["state"], status["phase"]) == ("Train", "Waiting", "Waiting")
    assert (status["round"], status["attempt"], status["lastError"]) == (3, 1, "")
    assert status["observedGeneration"] == walk.job["metadata"]["generation"]
    assert status["samples"]["used"] == 30
