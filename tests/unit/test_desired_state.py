from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.wire.desired_state import read_desired_state
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Document
from orbitloop_operators.handlers.desired_state import desired_state, desired_states, encoded

nodes = st.sampled_from(["sat-1", "sat-2", "ground"])
names = st.text("abc", min_size=1, max_size=3)


def a_document(kind: str, name: str, spec: dict[str, Any], *, namespace: str = "default") -> Document:
    group = "orbitloop.io" if kind == "Satellite" else "sedna.io"
    metadata = {"name": name, "namespace": namespace, "uid": f"{kind}/{namespace}/{name}", "resourceVersion": "1"}
    return {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def a_dataset(name: str, node: str, *, namespace: str = "default") -> Document:
    spec = {"url": f"/data/{name}.txt", "format": "txt", "nodeName": node, "credentialName": "secret"}
    return a_document("Dataset", name, spec, namespace=namespace)


def a_view(*documents: Document) -> Store:
    store = Store()
    for document in documents:
        store.put(document)
    return store


def test_a_node_is_to_watch_its_own_datasets_of_all_namespaces() -> None:
    view = a_view(a_dataset("one", "sat-1"), a_dataset("one", "sat-1", namespace="other"), a_dataset("two", "sat-2"))
    assert desired_state("sat-1", view) == {
        "version": 1,
        "node": "sat-1",
        "datasets": {
            "default/one": {"url": "/data/one.txt", "format": "txt"},
            "other/one": {"url": "/data/one.txt", "format": "txt"},
        },
    }


def test_a_satellite_without_datasets_is_to_watch_nothing() -> None:
    view = a_view(a_document("Satellite", "bupt-1", {"nodeName": "sat-1"}))
    assert desired_states(view) == {"sat-1": {"version": 1, "node": "sat-1", "datasets": {}}}


@pytest.mark.parametrize(
    "spec", [{}, {"nodeName": None}, {"nodeName": ""}, None], ids=["none", "null", "empty", "no spec"]
)
def test_what_names_no_node_is_nobodys(spec: dict[str, Any] | None) -> None:
    document = a_document("Dataset", "lost", spec or {})
    assert desired_states(a_view(document if spec is not None else {**document, "spec": None})) == {}


@given(st.dictionaries(names, nodes), st.randoms(use_true_random=False))
def test_the_order_in_which_objects_were_seen_changes_nothing(datasets: dict[str, str], chance: Any) -> None:
    documents = [a_dataset(name, node) for name, node in datasets.items()]
    before = desired_states(a_view(*documents))
    chance.shuffle(documents)
    after = desired_states(a_view(*documents))
    assert {node: encoded(state) for node, state in before.items()} == {
        node: encoded(state) for node, state in after.items()
    }
    assert set(before) == set(datasets.values())
    assert all(before[node] == desired_state(node, a_view(*documents)) for node in before)


def test_a_node_reads_what_was_meant() -> None:
    state = desired_state("sat-1", a_view(a_dataset("one", "sat-1"), a_dataset("two", "sat-1")))
    read = read_desired_state(encoded(state))
    assert (read.version, read.node) == (1, "sat-1")
    assert {name: {"url": each.url, "format": each.format} for name, each in read.datasets.items()} == state["datasets"]


def a_job(name: str, /, *nodes: str, **model: Any) -> Document:
    job = a_document("IncrementalLearningJob", name, {"deploySpec": {"model": {"name": "served"} | model}})
    return {**job, "status": {"satellites": [{"name": f"at-{node}", "node": node} for node in nodes]}}


SERVED = a_document("Model", "served", {"url": "/models/served.onnx", "format": "onnx"})


def test_a_satellites_node_is_to_serve_what_flies_to_the_jobs_own_workers() -> None:
    view = a_view(SERVED, a_job("hot", "sat-1", "sat-2", hotUpdateEnabled=True), a_job("cold", "sat-1"))
    file = {"url": "/models/served.onnx", "format": "onnx"}
    folder = "/var/lib/sedna/model-hot-update/default/incrementallearningjob/hot"
    hot = file | {"hotUpdate": {"folder": folder, "seenAt": "/model-hot-update"}}
    assert desired_state("sat-1", view)["models"] == {"default/hot": hot, "default/cold": file}
    assert desired_state("sat-2", view)["models"] == {"default/hot": hot}
    assert desired_states(view)["sat-1"] == desired_state("sat-1", view)
    read = read_desired_state(encoded(desired_state("sat-1", view))).models
    assert (read["default/cold"].hot_update, read["default/cold"].url) == (None, "/models/served.onnx")
    assert read["default/hot"].hot_update is not None
    assert (read["default/hot"].hot_update.folder, read["default/hot"].hot_update.seen_at) == (
        folder,
        "/model-hot-update",
    )


@pytest.mark.parametrize(
    "job",
    [
        a_job("lost", "sat-1", name="none"),
        a_job("ground"),
        a_document("IncrementalLearningJob", "new", {}),
        {**a_document("IncrementalLearningJob", "odd", {}), "status": "?"},
        {**a_document("IncrementalLearningJob", "odder", {}), "status": {"satellites": ["sat-1", {"node": "sat-1"}]}},
    ],
    ids=lambda job: job["metadata"]["name"],
)
def test_a_job_without_satellites_or_model_asks_nothing_of_a_node(job: Document) -> None:
    states = desired_states(a_view(SERVED, job))
    assert all("models" not in state for state in states.values())


def test_its_bytes_are_small_and_are_json() -> None:
    state = desired_state("sat-1", a_view(a_dataset("größe", "sat-1")))
    assert json.loads(encoded(state)) == state
    assert b" " not in encoded(state)
