"""Models: what is known of them is what the jobs that use them say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.handler_world import NOON, SEDNA, World, an_object, condition, message

from orbitloop.testing.builders import a_digest
from orbitloop_operators.handlers.changes import Changes
from orbitloop_operators.handlers.conditions import stamp
from orbitloop_operators.handlers.model import Models

MODEL = an_object(SEDNA, "Model", "served", {"url": "/models/served.onnx", "format": "onnx"})


def a_job(name: str = "helmets", deploys: str = "served", **status: Any) -> dict[str, Any]:
    spec = {
        "initialModel": {"name": "first"},
        "evalSpec": {"initialEvalModel": {"name": "second"}},
        "deploySpec": {"model": {"name": deploys}},
    }
    state = {"stage": "Train", "state": "Waiting"}
    return {**an_object(SEDNA, "IncrementalLearningJob", name, spec), "status": {**state, **status}}


def deployed(round: int, *, digest: str = "", at: str = "", **metrics: Any) -> dict[str, Any]:
    model = {
        "url": f"/output/train/{round}/model.onnx",
        "format": "onnx",
        "digest": digest or a_digest(round),
        "metrics": json.dumps(metrics),
    }
    condition = {"stage": "Deploy", "type": "Completed", "lastTransitionTime": at or stamp(NOON)}
    return {"deployed": model, "conditions": [condition]}


def a_world(*jobs: dict[str, Any]) -> World:
    world = World(Models())
    world.put(MODEL, *jobs)
    return world


def status(changes: Changes) -> dict[str, Any]:
    assert changes.status is not None
    return dict(changes.status)


def test_a_model_that_nobody_deployed_says_that_nothing_is_known_of_it() -> None:
    changes = a_world(a_job()).reconcile(MODEL)
    assert condition(changes) == ("Unknown", "NotDeployed")
    assert changes.notices == ()


def test_a_deployed_model_shows_its_version() -> None:
    changes = a_world(a_job(**deployed(2, precision=0.9, recall=[0.5, 0.7]))).reconcile(MODEL)
    shown = status(changes)
    assert condition(changes) == ("True", "Deployed")
    assert (shown["digest"], shown["round"], shown["updateTime"]) == (a_digest(2), 2, stamp(NOON))
    assert shown["metrics"] == [{"key": "precision", "value": "0.9"}, {"key": "recall", "value": "[0.5, 0.7]"}]
    assert "parent" not in shown


def test_each_version_names_the_one_before_it_as_its_parent() -> None:
    world, shown = a_world(), list[dict[str, Any]]()
    for round in (1, 2, 3):
        world.put(a_job(**deployed(round)))
        world.pass_by(hours=1)
        shown.append(status(world.reconcile(MODEL)))
    assert [one.get("parent") for one in shown] == [None, a_digest(1), a_digest(2)]
    assert [one["round"] for one in shown] == [1, 2, 3]
    assert shown[-1]["updateTime"] == stamp(world.now)


def test_a_version_keeps_the_time_of_its_deployment() -> None:
    world = a_world(a_job(**deployed(1)))
    before = status(world.reconcile(MODEL))
    world.pass_by(hours=9)
    world.put(a_job(**deployed(1), round=2))
    assert status(world.reconcile(MODEL)) == before


def test_what_is_known_stays_when_the_job_is_deleted() -> None:
    world = a_world(a_job(**deployed(1)))
    before = status(world.reconcile(MODEL))
    world.drop(a_job())
    after = world.reconcile(MODEL)
    assert status(after)["digest"] == before["digest"]
    assert condition(after) == ("Unknown", "NotDeployed")


def test_of_several_jobs_the_one_that_deployed_last_counts() -> None:
    older, newer = deployed(1, at="2026-03-01T10:00:00Z"), deployed(2, at="2026-03-01T11:00:00Z")
    for jobs in ((a_job("a", **older), a_job("b", **newer)), (a_job("a", **newer), a_job("b", **older))):
        assert status(a_world(*jobs).reconcile(MODEL))["digest"] == a_digest(2)


def test_a_job_that_deploys_another_model_does_not_count() -> None:
    assert "digest" not in status(a_world(a_job(deploys="other", **deployed(1))).reconcile(MODEL))


MISSED: dict[str, str] = {
    "as the worker sees it": "/home/data/models/served.onnx does not exist",
    "as Python says it": "[Errno 2] No such file or directory: '/home/data/models/served.onnx'",
    "as it is on the node": "the model /models/served.onnx of MODEL_URLS does not exist",
}


@pytest.mark.parametrize("told", MISSED.values(), ids=MISSED.keys())
def test_a_file_that_a_worker_does_not_find_is_named(told: str) -> None:
    changes = a_world(a_job(lastError=told)).reconcile(MODEL)
    assert condition(changes) == ("False", "FileMissing")
    assert told in message(changes)
    assert "put the file" in message(changes)
    assert [notice.reason for notice in changes.notices] == ["FileMissing"]


def test_a_file_that_an_inference_worker_does_not_find_is_named() -> None:
    worker = {"revision": 1, "state": "Running", "message": MISSED["as the worker sees it"]}
    assert condition(a_world(a_job(inference=[worker])).reconcile(MODEL)) == ("False", "FileMissing")


OTHERS: dict[str, dict[str, Any]] = {
    "another file": {"lastError": "/home/data/models/served.onnx.old does not exist"},
    "a file of that name elsewhere": {"lastError": "/home/data/old/models/served.onnx does not exist"},
    "another complaint": {"lastError": "/home/data/models/served.onnx has too many classes"},
    "another job's model": {"lastError": "/home/data/models/served.onnx does not exist", "deploys": "other"},
}


@pytest.mark.parametrize("job", OTHERS.values(), ids=OTHERS.keys())
def test_what_workers_say_of_something_else_does_not_count(job: dict[str, Any]) -> None:
    assert condition(a_world(a_job(**job)).reconcile(MODEL)) == ("Unknown", "NotDeployed")


def test_a_file_that_was_put_there_is_missed_no_longer() -> None:
    world = a_world(a_job(lastError=MISSED["as the worker sees it"]))
    world.reconcile(MODEL)
    world.put(a_job(lastError=""))
    assert world.related(a_job(lastError="")) == {"served"}
    assert condition(world.reconcile(MODEL)) == ("Unknown", "NotDeployed")


def test_a_model_is_looked_at_again_only_when_a_job_has_something_to_say_of_it() -> None:
    world = a_world()
    assert world.related(a_job()) == set()
    assert world.related(a_job(**deployed(1))) == {"served", "first", "second"}
    assert world.related(MODEL) == set()


@pytest.mark.parametrize("url", ["models/served.onnx", "/models/../served.onnx", ""])
def test_a_url_that_is_no_file_is_refused(url: str) -> None:
    world = a_world()
    world.put({**MODEL, "spec": {"url": url, "format": "onnx"}})
    changes = world.reconcile(MODEL)
    assert condition(changes) == ("False", "Invalid")
    assert "spec.url" in message(changes)
