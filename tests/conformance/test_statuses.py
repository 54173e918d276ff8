"""What Datasets and Models say of themselves once jobs have used them."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from tests.conformance.jobs import Job
from tests.conformance.world import Document, World
from tests.global_manager import until


@pytest.fixture
def used(world: World, job: Job) -> World:
    """A job has deployed a model, which it trained on ten samples."""
    world.count("sites", 10)
    job.train()
    job.evaluate({"precision": [0.9, 0.8]}, {"precision": [0.5, 0.6]})
    job.deploy()
    job.comes_to("Train/Waiting")
    return world


def status(world: World, kind: str, name: str) -> Document:
    """What an object says; empty if nothing."""
    found = world.target.named(kind, world.namespace, name)
    return found.get("status") or {}


def test_a_dataset_says_how_many_samples_it_has(used: World) -> None:
    assert status(used, "Dataset", "sites")["numberOfSamples"] == 10


def test_a_deployed_model_says_how_good_it_is(used: World) -> None:
    def told() -> Document:
        return status(used, "Model", "served")

    until(lambda: bool(told().get("metrics")), "the Model said how good it is", lambda: json.dumps(told()))
    metrics = {one["key"]: one["value"] for one in told()["metrics"]}
    assert json.loads(metrics["precision"]) == [0.9, 0.8]
    assert datetime.fromisoformat(told()["updateTime"]).tzinfo is not None
