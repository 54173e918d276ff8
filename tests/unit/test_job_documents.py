"""What becomes of a job when what it names is missing, wrong or changed, and when it is looked at again."""

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
    in_evaluation,
    in_training,
    merged,
    play_round,
    trained,
    words,
)

from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Key
from orbitloop_operators.handlers.node_reports import report_document


def an_object(kind: str, name: str, namespace: str = "lab", **more: Any) -> dict[str, Any]:
    group = "orbitloop.io" if kind == "Satellite" else "sedna.io"
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": metadata, "spec": more}


def test_what_a_new_job_names_may_still_be_on_its_way() -> None:
    """Kinds are watched one by one: of a file that is applied, the job may be seen before its Model."""
    world = World.with_job()
    world.drop(Key(api_version="sedna.io/v1alpha1", kind="Model", namespace="lab", name="first"))
    last = world.settle()
    assert last.again == timedelta(seconds=3)
    assert (world.at, world.status["phase"]) == ("Train/Waiting", "Waiting")
    assert "lacks Model first" in world.status["message"]
    world.put(merged(a_model("first", "/models/first.onnx"), {"metadata": {"uid": "here-now"}}))
    world.settle()
    assert "Train/Failed" not in world.steps
    assert [notice for notice in world.told if notice.severity == "Warning"] == []


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
    world.pass_by(seconds=3)
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
            "spec.deploySpec.hardExampleMining.name: must be a rule of hard-example mining: one of IBT, CrossEntropy",
        ),
        (
            {"deploySpec": {"hardExampleMining": {"parameters": [{"key": "magic", "value": "1"}]}}},
            "spec.deploySpec.hardExampleMining: has a parameter that its rule does not know",
        ),
        ({"dataset": {"trainProb": 1.5}}, "spec.dataset.trainProb: must be above 0 and at most 1"),
        (
            {"trainSpec": {"trigger": {"condition": {"operator": "=>"}}}},
            "spec.trainSpec.trigger.condition.operator: must be a comparison",
        ),
        (
            {"trainSpec": {"trigger": {"timer": {"start": "8pm", "end": "21:00"}}}},
            "spec.trainSpec.trigger.timer.start: must be a time of day",
        ),
        ({"outputDir": "output"}, "spec.outputDir: must be a folder: an absolute path"),
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


QUOTA = Refused("cannot create Pod: quota exceeded")


def refuse(world: World) -> timedelta | None:
    """The API server refuses the pod; the rest before the next try."""
    changes = world.handler.refused(world.job, QUOTA, world.now)
    world.put({**world.job, "status": changes.status})
    return changes.again


def test_what_the_server_refuses_is_tried_again_later_and_not_at_once() -> None:
    world = World.with_job()
    for _ in range(2):
        world.once()
    assert world.at == "Train/Ready"
    assert refuse(world) == timedelta(seconds=10)
    world.settle()
    assert (world.at, world.status["phase"]) == ("Train/Failed", "Blocked")
    world.pass_by(seconds=10)
    world.settle()
    assert world.at == "Train/Starting"


def test_what_the_server_refuses_again_and_again_is_tried_less_and_less() -> None:
    world = World.with_job()
    for _ in range(2):
        world.once()
    rests = []
    for _ in range(7):
        rest = refuse(world)
        assert rest is not None
        rests.append(rest.total_seconds())
        world.pass_by(seconds=rest.total_seconds())
        for _ in range(2):
            world.once()
    assert rests == [10, 20, 40, 80, 160, 300, 300]


def test_what_a_new_job_needs_of_its_namespace_may_still_be_on_its_way() -> None:
    world = World.with_job()
    world.once()
    assert world.at == "Train/Waiting"
    assert refuse(world) == timedelta(seconds=3)
    assert world.at == "Train/Waiting"
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


def test_of_a_status_that_another_version_wrote_what_is_understood_is_kept() -> None:
    world = in_training()
    strange = {"phase": "Dreaming", "satellites": [{"name": "sat-1", "outcome": "lost"}], "mood": "good"}
    world.put({**world.job, "status": {**world.status, **strange}})
    world.settle()
    assert (world.at, world.status["phase"], world.status["round"]) == ("Train/Running", "Training", 1)


def test_a_round_whose_model_is_forgotten_is_closed() -> None:
    world = in_evaluation()
    world.put({**world.job, "status": {key: value for key, value in world.status.items() if key != "candidate"}})
    world.settle()
    assert (world.at, world.status["round"]) == ("Train/Waiting", 2)
    assert "nobody knows any more what it trained" in world.status["conditions"][-1]["message"]
