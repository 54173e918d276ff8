"""Writes to a real API server: each may be repeated, and none tramples on what is another's."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.control_plane import Cluster

from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.errors import BadInput, NotYet, Refused
from orbitloop_operators.adapters.api_server import ApiServer, configuration_from
from orbitloop_operators.adapters.cluster import Cluster as Writes
from orbitloop_operators.adapters.metrics import Metrics
from orbitloop_operators.handlers.changes import Key, Notice, Severity
from orbitloop_operators.usecases.errors import NameTaken, Stale

T = TypeVar("T")

NOTICE = Notice(severity=Severity.WARNING, reason="Tried", message="this is a test; do nothing")


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    name = f"writes-{zlib.crc32(request.node.name.encode())}"
    cluster.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda: 0)


@pytest.fixture
def writes(cluster: Cluster, metrics: Metrics) -> Iterator[Writes]:
    server = ApiServer(configuration_from(cluster.plane.kubeconfig), metrics, threads=2)
    yield Writes(server, WallClock(), "tests")
    server.close()


def config_map(namespace: str, owner: str = "job", **data: str) -> Any:
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner, "controller": True}
    metadata = {"name": "made", "namespace": namespace, "ownerReferences": [owned]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def seen(cluster: Cluster, namespace: str, what: str) -> Any:
    return json.loads(cluster.kubectl("-n", namespace, "get", what, "-o", "json"))


def in_turn(*steps: Callable[[], Awaitable[T]]) -> list[T]:
    async def all_of_them() -> list[T]:
        return [await step() for step in steps]

    return asyncio.run(all_of_them())


def test_what_is_there_already_is_not_made_twice(writes: Writes, namespace: str) -> None:
    document = config_map(namespace, a="1")
    first, second = in_turn(lambda: writes.create(document), lambda: writes.create(document))
    assert first["metadata"]["uid"] == second["metadata"]["uid"]


def test_what_is_anothers_is_left_alone(writes: Writes, cluster: Cluster, namespace: str) -> None:
    in_turn(lambda: writes.create(config_map(namespace, "theirs", a="1")))
    ours = config_map(namespace, "ours", a="2")
    with pytest.raises(NameTaken, match="belongs to another owner; delete it"):
        in_turn(lambda: writes.create(ours))
    with pytest.raises(NameTaken, match="belongs to another owner; delete it"):
        in_turn(lambda: writes.replace(ours, None))
    assert seen(cluster, namespace, "configmap/made")["data"] == {"a": "1"}


def test_the_same_spec_is_written_once_and_another_one_replaces_it(
    writes: Writes, cluster: Cluster, namespace: str, metrics: Metrics
) -> None:
    first = in_turn(lambda: writes.replace(config_map(namespace, a="1"), None))[0]
    again = in_turn(lambda: writes.replace(config_map(namespace, a="1"), first))[0]
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert b'verb="PUT"' not in metrics.text()
    in_turn(lambda: writes.replace(config_map(namespace, b="2"), first))
    assert seen(cluster, namespace, "configmap/made")["data"] == {"b": "2"}
    with pytest.raises(Stale):
        in_turn(lambda: writes.replace(config_map(namespace, c="3"), first))


def test_a_deletion_may_be_repeated_and_spares_a_successor(writes: Writes, cluster: Cluster, namespace: str) -> None:
    key = Key.of(config_map(namespace))
    old = in_turn(lambda: writes.create(config_map(namespace)))[0]
    in_turn(lambda: writes.delete(key, old), lambda: writes.delete(key, old))
    in_turn(lambda: writes.create(config_map(namespace, a="new")))
    in_turn(lambda: writes.delete(key, old))
    assert seen(cluster, namespace, "configmap/made")["data"] == {"a": "new"}


def test_a_status_is_written_to_the_version_that_was_looked_at(writes: Writes, cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "with-status")
    looked_at = json.loads(cluster.kubectl("get", "namespace/with-status", "-o", "json"))
    condition = {"type": "NamespaceContentRemaining", "status": "False"}
    written = in_turn(lambda: writes.patch_status(looked_at, {"conditions": [condition]}))[0]
    assert written is not None
    assert written["status"]["conditions"][0]["type"] == "NamespaceContentRemaining"
    with pytest.raises(Stale):
        in_turn(lambda: writes.patch_status(looked_at, {"conditions": None}))


def test_a_status_of_what_is_gone_is_no_error(writes: Writes) -> None:
    gone = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "never-there", "uid": "u", "resourceVersion": "1"},
    }
    assert in_turn(lambda: writes.patch_status(gone, {"phase": "Active"})) == [None]


def test_the_same_event_counts_one_more(writes: Writes, cluster: Cluster, namespace: str) -> None:
    made = in_turn(lambda: writes.create(config_map(namespace)))[0]
    in_turn(*3 * [lambda: writes.tell(made, NOTICE)])
    told = [event for event in seen(cluster, namespace, "events")["items"] if event["reason"] == "Tried"]
    assert [(event["count"], event["message"], event["type"]) for event in told] == [(3, NOTICE.message, "Warning")]


def test_names_come_without_their_objects(writes: Writes, namespace: str) -> None:
    made = in_turn(lambda: writes.create(config_map(namespace)))[0]
    found = in_turn(lambda: writes.names("v1", "ConfigMap"))[0]
    assert found[Key.of(made)] == made["metadata"]["uid"]


def test_the_server_makes_the_name_where_none_is_given(writes: Writes, namespace: str) -> None:
    document = config_map(namespace)
    document["metadata"]["generateName"] = document["metadata"].pop("name") + "-"
    first, second = in_turn(lambda: writes.create(document), lambda: writes.create(document))
    assert first["metadata"]["name"].startswith("made-")
    assert first["metadata"]["name"] != second["metadata"]["name"]


def test_what_the_server_will_not_have_is_refused_with_its_reason(writes: Writes, namespace: str) -> None:
    wrong = config_map(namespace) | {"data": {"a": 1}}
    with pytest.raises(Refused, match=f"cannot create ConfigMap {namespace}/made: "):
        in_turn(lambda: writes.create(wrong))


def test_a_kind_that_is_not_served_may_come_later(writes: Writes, namespace: str) -> None:
    unknown = config_map(namespace) | {"apiVersion": "nobody.example/v1", "kind": "Nothing"}
    with pytest.raises(NotYet, match=r"Nothing of nobody\.example/v1 is not served by this cluster; install its CRD"):
        in_turn(lambda: writes.create(unknown))


def test_a_write_waits_while_the_server_is_away(
    writes: Writes, cluster: Cluster, namespace: str, metrics: Metrics
) -> None:
    async def away_and_back() -> Any:
        await writes.names("v1", "ConfigMap")
        await asyncio.to_thread(cluster.plane.stop_api)
        try:
            waiting = asyncio.create_task(writes.create(config_map(namespace, a="1")))
            while b'status="0"' not in metrics.text():
                await asyncio.sleep(0.05)
            assert not waiting.done()
        finally:
            await asyncio.to_thread(cluster.plane.start_api)
        return await waiting

    assert asyncio.run(away_and_back())["data"] == {"a": "1"}


def test_a_kubeconfig_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="give --kubeconfig, set KUBECONFIG, or run in a pod"):
        configuration_from(tmp_path / "none")
