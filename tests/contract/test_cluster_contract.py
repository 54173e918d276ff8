"""What reconcilers may rely on in any cluster: in memory, and a real API server with the controllers of Kubernetes."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import pytest
from tests.control_plane import Cluster as Tools

from orbitloop.domain.errors import NotYet, Refused
from orbitloop.testing.clocks import VirtualClock
from orbitloop_operators.adapters.api_server import ApiServer, Request, configuration_from, path_to
from orbitloop_operators.adapters.cluster import Cluster
from orbitloop_operators.adapters.memory_cluster import MemoryCluster
from orbitloop_operators.adapters.metrics import Metrics
from orbitloop_operators.handlers.changes import Document, Key, Notice, Severity
from orbitloop_operators.usecases.errors import NameTaken, Stale

T = TypeVar("T")
CLOCK = VirtualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
NOTICE = Notice(severity=Severity.WARNING, reason="Tried", message="this is a test; do nothing")
NUMBERS = itertools.count()


class Port(Protocol):
    async def create(self, document: Document) -> Document: ...
    async def replace(self, document: Document, known: Document | None) -> Document: ...
    async def delete(self, key: Key, known: Document | None) -> None: ...
    async def patch_status(self, document: Document, patch: Mapping[str, Any]) -> Document | None: ...
    async def names(self, api_version: str, kind: str) -> Mapping[Key, str]: ...
    async def tell(self, document: Document, notice: Notice) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A cluster under test, and how the test itself looks into it."""

    port: Port
    seen: Callable[[Key], Document | None]
    namespace: str

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    def config_map(self, owner: Document | None = None, name: str = "made", **data: str) -> Document:
        metadata: dict[str, Any] = {"name": name, "namespace": self.namespace}
        if owner is not None:
            metadata["ownerReferences"] = [controlled_by(owner)]
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def dataset(self, **spec: Any) -> Document:
        return {
            "apiVersion": "sedna.io/v1alpha1",
            "kind": "Dataset",
            "metadata": {"name": "samples", "namespace": self.namespace},
            "spec": {"url": "/data/a.txt", "format": "txt", "nodeName": "here"} | spec,
        }

    def pod(self, owner: Document | None = None, **spec: Any) -> Document:
        container = {"name": "c", "image": "example.org/i:1"}
        return {
            **self.config_map(owner),
            "kind": "Pod",
            "spec": {"containers": [container], "automountServiceAccountToken": False} | spec,
        }


def controlled_by(owner: Document) -> dict[str, Any]:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }


@pytest.fixture(params=["memory", "api-server"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Tried]:
    namespace = f"contract-{next(NUMBERS)}"
    if request.param == "memory":
        memory = MemoryCluster(CLOCK, "tests", new_uid=lambda: str(uuid.uuid4()))
        yield Tried(port=memory, seen=memory.get, namespace=namespace)
        return
    tools: Tools = request.getfixturevalue("controlled")
    tools.kubectl("create", "namespace", namespace)
    server = ApiServer(configuration_from(tools.plane.kubeconfig), Metrics(lambda: 0), threads=2)

    async def seen(key: Key) -> Document | None:
        plural = await server.plural(key.api_version, key.kind)
        path = path_to(key.api_version, plural, key.namespace, key.name)
        answer = await server.ask(Request(verb="GET", path=path, resource=plural))
        return answer.document if answer.is_good else None

    yield Tried(port=Cluster(server, CLOCK, "tests"), seen=lambda key: asyncio.run(seen(key)), namespace=namespace)
    server.close()


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what other processes bring about; the test's own timeout ends it."""

    async def wait() -> None:
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.1)

    asyncio.run(wait())


def when_accounts_are_there(cluster: Tried) -> None:
    """A namespace takes pods once its account is there, which a controller makes."""

    def is_taken() -> bool:
        try:
            probe = {**cluster.pod(), "metadata": {"name": "probe", "namespace": cluster.namespace}}
            cluster.now(cluster.port.create(probe))
        except Refused:
            return False
        return True

    eventually(is_taken)


def test_what_is_there_already_is_not_made_twice(cluster: Tried) -> None:
    first = cluster.now(cluster.port.create(cluster.config_map(a="1")))
    second = cluster.now(cluster.port.create(cluster.config_map(a="2")))
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    assert second["data"] == {"a": "1"}


def test_what_is_anothers_is_left_alone(cluster: Tried) -> None:
    theirs = cluster.now(cluster.port.create(cluster.config_map(name="theirs")))
    ours = cluster.now(cluster.port.create(cluster.config_map(name="ours")))
    cluster.now(cluster.port.create(cluster.config_map(theirs, a="1")))
    with pytest.raises(NameTaken, match="belongs to another owner; delete it"):
        cluster.now(cluster.port.create(cluster.config_map(ours, a="2")))
    with pytest.raises(NameTaken, match="belongs to another owner; delete it"):
        cluster.now(cluster.port.replace(cluster.config_map(ours, a="2"), None))


def test_the_same_is_written_once_and_another_one_replaces_it(cluster: Tried) -> None:
    first = cluster.now(cluster.port.replace(cluster.config_map(a="1"), None))
    again = cluster.now(cluster.port.replace(cluster.config_map(a="1"), first))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    second = cluster.now(cluster.port.replace(cluster.config_map(b="2"), first))
    assert second["data"] == {"b": "2"}
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    with pytest.raises(Stale):
        cluster.now(cluster.port.replace(cluster.config_map(c="3"), first))


def test_a_deletion_may_be_repeated_and_spares_a_successor(cluster: Tried) -> None:
    document = cluster.config_map()
    key = Key.of(document)
    old = cluster.now(cluster.port.create(document))
    for _ in range(2):
        cluster.now(cluster.port.delete(key, old))
    new = cluster.now(cluster.port.create(document))
    cluster.now(cluster.port.delete(key, old))
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert cluster.seen(key) == new


def test_a_status_is_kept_from_what_makes_an_object(cluster: Tried) -> None:
    made = cluster.now(cluster.port.create({**cluster.dataset(), "status": {"numberOfSamples": 5}}))
    assert "status" not in made
    assert made["metadata"]["generation"] == 1


def test_a_status_is_written_to_the_version_that_was_looked_at(cluster: Tried) -> None:
    made = cluster.now(cluster.port.create(cluster.dataset()))
    written = cluster.now(cluster.port.patch_status(made, {"numberOfSamples": 5, "observedGeneration": 1}))
    assert written is not None
    assert written["status"] == {"numberOfSamples": 5, "observedGeneration": 1}
    assert written["metadata"]["generation"] == 1
    with pytest.raises(Stale):
        cluster.now(cluster.port.patch_status(made, {"numberOfSamples": 6}))
    cleared = cluster.now(cluster.port.patch_status(written, {"numberOfSamples": None}))
    assert cleared is not None
    assert cleared["status"] == {"observedGeneration": 1}


def test_a_status_that_is_the_same_makes_no_version(cluster: Tried) -> None:
    made = cluster.now(cluster.port.create(cluster.dataset()))
    first = cluster.now(cluster.port.patch_status(made, {"numberOfSamples": 5}))
    assert first is not None
    assert cluster.now(cluster.port.patch_status(first, {"numberOfSamples": 5})) == first


def test_a_new_spec_is_a_new_generation_and_keeps_the_status(cluster: Tried) -> None:
    made = cluster.now(cluster.port.create(cluster.dataset()))
    written = cluster.now(cluster.port.patch_status(made, {"numberOfSamples": 5}))
    replaced = cluster.now(cluster.port.replace(cluster.dataset(url="/data/b.txt"), written))
    assert replaced["metadata"]["generation"] == 2
    assert replaced["spec"]["url"] == "/data/b.txt"
    assert replaced["status"] == {"numberOfSamples": 5}


def test_a_status_of_what_is_gone_is_no_error(cluster: Tried) -> None:
    made = cluster.now(cluster.port.create(cluster.dataset()))
    cluster.now(cluster.port.delete(Key.of(made), made))
    assert cluster.now(cluster.port.patch_status(made, {"numberOfSamples": 5})) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": {"a": 1}}, "cannot create ConfigMap"),
        ({"metadata": {"name": "Made", "namespace": "default"}}, "cannot create ConfigMap default/Made"),
        ({"kind": "Pod", "spec": {}}, "cannot create Pod"),
        ({"apiVersion": "sedna.io/v1alpha1", "kind": "Dataset", "spec": {"url": "x"}}, "cannot create Dataset"),
    ],
    ids=["a number as text", "a name", "a pod without containers", "a missing field"],
)
def test_what_the_schema_does_not_allow_is_refused(cluster: Tried, change: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        cluster.now(cluster.port.create({**cluster.config_map(), **change}))


def test_a_status_that_the_schema_does_not_allow_is_refused(cluster: Tried) -> None:
    made = cluster.now(cluster.port.create(cluster.dataset()))
    with pytest.raises(Refused, match="cannot write the status of Dataset"):
        cluster.now(cluster.port.patch_status(made, {"numberOfSamples": "many"}))
    assert cluster.seen(Key.of(made)) == made


def test_the_same_event_counts_one_more(cluster: Tried) -> None:
    made = cluster.now(cluster.port.create(cluster.config_map()))
    for _ in range(3):
        cluster.now(cluster.port.tell(made, NOTICE))
    names = cluster.now(cluster.port.names("v1", "Event"))
    [event] = [cluster.seen(key) for key in names if key.namespace == cluster.namespace]
    assert event is not None
    assert (event["count"], event["message"], event["type"]) == (3, NOTICE.message, "Warning")
    assert event["involvedObject"]["uid"] == made["metadata"]["uid"]


def test_names_come_without_their_objects(cluster: Tried) -> None:
    made = cluster.now(cluster.port.create(cluster.config_map()))
    assert cluster.now(cluster.port.names("v1", "ConfigMap"))[Key.of(made)] == made["metadata"]["uid"]


def test_the_server_makes_the_name_where_none_is_given(cluster: Tried) -> None:
    document = cluster.config_map()
    nameless = {**document, "metadata": {"generateName": "made-", "namespace": cluster.namespace}}
    names = {cluster.now(cluster.port.create(nameless))["metadata"]["name"] for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("made-") and len(name) == len("made-") + 5 for name in names)


def test_a_kind_that_is_not_served_may_come_later(cluster: Tried) -> None:
    unknown = {**cluster.config_map(), "apiVersion": "nobody.example/v1", "kind": "Nothing"}
    with pytest.raises(NotYet, match=r"Nothing of nobody\.example/v1 is not served by this cluster; install its CRD"):
        cluster.now(cluster.port.create(unknown))


def test_what_is_owned_goes_with_its_owner(cluster: Tried) -> None:
    owner = cluster.now(cluster.port.create(cluster.dataset()))
    child = cluster.now(cluster.port.create(cluster.config_map(owner)))
    grandchild = cluster.now(cluster.port.create(cluster.config_map(child, "small")))
    stranger = cluster.now(cluster.port.create(cluster.config_map(name="stranger")))
    cluster.now(cluster.port.delete(Key.of(owner), owner))
    eventually(lambda: cluster.seen(Key.of(child)) is None and cluster.seen(Key.of(grandchild)) is None)
    assert cluster.seen(Key.of(stranger)) == stranger


def test_what_is_made_for_an_owner_that_is_gone_goes_too(cluster: Tried) -> None:
    owner = cluster.now(cluster.port.create(cluster.dataset()))
    cluster.now(cluster.port.delete(Key.of(owner), owner))
    late = cluster.now(cluster.port.create(cluster.config_map(owner)))
    eventually(lambda: cluster.seen(Key.of(late)) is None)


def test_a_pod_on_a_node_is_there_until_its_node_has_stopped_it(cluster: Tried) -> None:
    when_accounts_are_there(cluster)
    made = cluster.now(cluster.port.create(cluster.pod(nodeName="here", terminationGracePeriodSeconds=7)))
    assert made["status"]["phase"] == "Pending"
    cluster.now(cluster.port.delete(Key.of(made), made))
    marked = cluster.seen(Key.of(made))
    assert marked is not None
    assert "deletionTimestamp" in marked["metadata"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
    with pytest.raises(Stale, match="is being deleted"):
        cluster.now(cluster.port.create(cluster.pod(nodeName="here")))


@pytest.mark.parametrize("over", ["Succeeded", "Failed"])
def test_a_pod_that_is_over_goes_at_once(cluster: Tried, over: str) -> None:
    when_accounts_are_there(cluster)
    made = cluster.now(cluster.port.create(cluster.pod(nodeName="here")))
    ended = cluster.now(cluster.port.patch_status(made, {"phase": over}))
    cluster.now(cluster.port.delete(Key.of(made), ended))
    gone = cluster.seen(Key.of(made))
    assert gone is None or gone["metadata"].get("deletionGracePeriodSeconds") == 0


def test_a_pod_on_no_node_goes_at_once(cluster: Tried) -> None:
    when_accounts_are_there(cluster)
    made = cluster.now(cluster.port.create(cluster.pod()))
    cluster.now(cluster.port.delete(Key.of(made), made))
    assert cluster.seen(Key.of(made)) is None


def test_the_spec_of_a_pod_does_not_change(cluster: Tried) -> None:
    when_accounts_are_there(cluster)
    made = cluster.now(cluster.port.replace(cluster.pod(restartPolicy="Never"), None))
    with pytest.raises(Refused, match="cannot replace Pod"):
        cluster.now(cluster.port.replace(cluster.pod(restartPolicy="Always"), made))
