"""A Deployment on one machine has one pod, of its present template."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orbitloop.domain.errors import Refused
from orbitloop_mission.local_node.services import hosts_file, names_of
from orbitloop_mission.local_run.deployments import KIND, Deployments
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Changes, Document, Key

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 13, tzinfo=UTC)


def deployment(replicas: int = 1, image: str = "i", **status: Any) -> Document:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    metadata = {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "1", "generation": 3}
    spec = {"replicas": replicas, "template": template}
    return {"apiVersion": KIND[0], "kind": KIND[1], "metadata": metadata, "spec": spec, "status": status}


def seen(*pods: Document) -> Store:
    store = Store()
    for number, pod in enumerate(pods):
        store.put({**pod, "metadata": {**pod["metadata"], "uid": f"pod-{number}", "resourceVersion": "1"}})
    return store


def reconciled(document: Document, *pods: Document, now: datetime = NOW) -> Changes:
    return Deployments().reconcile(document, seen(*pods), now)


def the_pod(document: Document) -> dict[str, Any]:
    [pod] = reconciled(document).create
    return dict(pod)


def with_status(pod: Document, ready: str, *containers: dict[str, Any]) -> Document:
    conditions = [{"type": "Ready", "status": ready}]
    return {**pod, "status": {"phase": "Running", "conditions": conditions, "containerStatuses": list(containers)}}


def test_a_pod_is_made_once() -> None:
    pod = the_pod(deployment())
    assert pod["metadata"]["labels"] == {"app": "a"}
    assert pod["metadata"]["ownerReferences"][0] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "d",
        "uid": "u",
        "controller": True,
    }
    again = reconciled(deployment(), pod)
    assert (again.create, again.delete) == ((), ())


def test_more_replicas_are_one_pod_and_none_is_none() -> None:
    assert the_pod(deployment(5)) == the_pod(deployment())
    pod = the_pod(deployment())
    assert reconciled(deployment(0), pod).delete == (Key.of(pod),)


def test_a_pod_of_another_template_goes_before_the_new_one_comes() -> None:
    old = the_pod(deployment(image="old"))
    first = reconciled(deployment(), old)
    assert (first.create, first.delete) == ((), (Key.of(old),))
    leaving = {**old, "metadata": {**old["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}}
    second = reconciled(deployment(), leaving)
    assert (second.create, second.delete) == ((), ())
    assert reconciled(deployment()).create == (the_pod(deployment()),)


def test_the_status_says_whether_the_pod_is_ready() -> None:
    pod = the_pod(deployment())
    for ready, count in (("True", 1), ("False", 0)):
        status = reconciled(deployment(), with_status(pod, ready)).status
        assert status is not None
        assert (status["availableReplicas"], status["unavailableReplicas"]) == (count, 1 - count)
        assert status["observedGeneration"] == 3
        available, progressing = status["conditions"]
        assert (available["type"], available["status"]) == ("Available", ready)
        assert progressing["status"] == "True"


def test_a_status_without_news_is_the_same() -> None:
    pod = with_status(the_pod(deployment()), "True")
    first = reconciled(deployment(), pod).status
    assert first is not None
    assert reconciled(deployment(**first), pod, now=LATER).status == first


def crashing(restarts: int) -> dict[str, Any]:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no weights"}}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    return {"name": "c", "image": "i", "state": state, "lastState": ended, "restartCount": restarts}


def test_a_pod_that_crashes_again_and_again_has_stopped() -> None:
    pod = the_pod(deployment())
    for restarts, stopped in ((0, False), (3, True)):
        status = reconciled(deployment(), with_status(pod, "False", crashing(restarts))).status
        assert status is not None
        progressing = status["conditions"][1]
        assert progressing["status"] == ("False" if stopped else "True")
        assert ("no weights" in progressing["message"]) == stopped


def test_a_pod_that_is_refused_is_said() -> None:
    status = Deployments().refused(deployment(), Refused("no such field"), NOW).status
    assert status is not None
    [failure] = status["conditions"]
    assert (failure["type"], failure["status"], failure["message"]) == ("ReplicaFailure", "True", "no such field")


def test_a_deployment_is_looked_at_when_its_pod_changes() -> None:
    pod = the_pod(deployment())
    assert Deployments().related(pod, Store()) == [Key.of(deployment())]
    assert Deployments().related(deployment(), Store()) == [Key.of(deployment())]
    stranger = {**pod, "metadata": {"name": "p", "namespace": "n"}}
    assert Deployments().related(stranger, Store()) == []


def test_services_have_all_the_names_that_kubernetes_gives_them(tmp_path: Any) -> None:
    services = [{"metadata": {"name": name, "namespace": home}} for name, home in (("a", "n"), ("b", "m"))]
    names = names_of(services, "n")
    assert names == [
        "a",
        "a.n",
        "a.n.svc",
        "a.n.svc.cluster.local",
        "b.m",
        "b.m.svc",
        "b.m.svc.cluster.local",
    ]
    lines = hosts_file(names, tmp_path / "pod" / "hosts").read_text().splitlines()
    assert lines[-7:] == [f"127.0.0.1 {name}" for name in names]
    assert any("localhost" in line for line in lines)
