"""What was watched: newest versions, no ghosts, and little memory."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Key


def pod(name: str = "p", *, uid: str = "u", version: int = 1, owner: str | None = None, namespace: str = "n") -> Any:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version)}
    if owner is not None:
        metadata["ownerReferences"] = [{"uid": owner, "controller": True}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


KEY = Key(api_version="v1", kind="Pod", namespace="n", name="p")


def test_an_older_version_never_replaces_a_newer_one() -> None:
    store = Store()
    assert store.put(pod(version=10))
    assert not store.put(pod(version=9))
    assert not store.put(pod(version=10))
    assert store.get(KEY) == pod(version=10)


def test_a_late_answer_does_not_bring_a_deleted_object_back() -> None:
    store = Store()
    store.put(pod(version=1))
    assert store.drop(KEY, "u")
    assert not store.put(pod(version=2))
    assert store.get(KEY) is None


def test_a_successor_of_the_same_name_outlives_its_predecessors_deletion() -> None:
    store = Store()
    store.put(pod(uid="old", version=5))
    store.put(pod(uid="new", version=6))
    assert not store.drop(KEY, "old")
    assert store.get(KEY) == pod(uid="new", version=6)


def test_objects_are_found_by_the_controller_that_they_have_now() -> None:
    store = Store()
    store.put(pod("b", uid="b", owner="job"))
    store.put(pod("a", uid="a", owner="job"))
    store.put(pod("a", uid="a", version=2, owner="other"))
    assert [found["metadata"]["name"] for found in store.owned("job", "v1", "Pod")] == ["b"]
    assert [found["metadata"]["name"] for found in store.owned("other", "v1", "Pod")] == ["a"]
    assert store.owned("job", "apps/v1", "Deployment") == []


def test_a_kind_is_listed_in_one_namespace_or_in_all() -> None:
    store = Store()
    store.put(pod("b", uid="1", namespace="y"))
    store.put(pod("a", uid="2", namespace="z"))
    assert [found["metadata"]["name"] for found in store.all("v1", "Pod")] == ["b", "a"]
    assert [found["metadata"]["name"] for found in store.all("v1", "Pod", "z")] == ["a"]


def test_bookkeeping_of_the_server_and_of_kubectl_is_left_out() -> None:
    store = Store()
    told = pod()
    told["metadata"] |= {
        "managedFields": [{}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"},
    }
    store.put(told)
    kept = store.get(KEY)
    assert kept is not None
    assert "managedFields" not in kept["metadata"]
    assert kept["metadata"]["annotations"] == {"mine": "1"}
    assert "managedFields" in told["metadata"], "what was given is not changed"


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "drop"]), st.sampled_from("ab"), st.integers(1, 9), st.sampled_from("xy")),
        max_size=40,
    )
)
def test_owners_always_know_exactly_what_is_there(steps: list[tuple[str, str, int, str]]) -> None:
    store = Store()
    for what, name, version, owner in steps:
        if what == "put":
            store.put(pod(name, uid=f"{name}{version // 3}", version=version, owner=owner))
        else:
            key = Key(api_version="v1", kind="Pod", namespace="n", name=name)
            store.drop(key, f"{name}{version // 3}")
            found = store.get(key)
            assert found is None or found["metadata"]["uid"] != f"{name}{version // 3}"
    by_owner = [found for owner in "xy" for found in store.owned(owner, "v1", "Pod")]
    listed = [Key.of(found) for found in store.all("v1", "Pod")]
    assert listed == store.keys("v1", "Pod") == sorted(set(listed))
    assert sorted(map(json.dumps, by_owner)) == sorted(map(json.dumps, store.all("v1", "Pod")))


@pytest.mark.slow
@pytest.mark.parametrize("kibibytes", [6], ids=["a job and its pod with 6 KiB of JSON each"])
def test_a_thousand_jobs_and_pods_stay_far_below_the_limit(kibibytes: int) -> None:
    entries = kibibytes * 1024 // 60
    template = [{"name": f"VARIABLE_{index}", "value": f"the value of {index:06}"} for index in range(entries)]
    store = Store()
    tracemalloc.start()
    for index in range(2000):
        job = pod(f"p{index}", uid=str(index))
        job["spec"] = {"containers": [{"name": "worker", "env": template}]}
        store.put(json.loads(json.dumps(job)))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 120 * 2**20
