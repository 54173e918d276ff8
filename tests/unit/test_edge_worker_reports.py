"""What the Local Controller on board keeps of workers' reports, and what it answers."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orbitloop.adapters.model_versions import ModelVersions
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.node_messages import LARGEST_VALUE
from orbitloop.wire.update_files import HOT_UPDATES
from orbitloop.wire.worker_messages import WorkerInfo
from orbitloop_edge.adapters.host import Patience
from orbitloop_edge.adapters.model_files import AnnouncedUpdates
from orbitloop_edge.http.local_controller import LARGEST_BODY
from orbitloop_edge.node import LocalNode
from orbitloop_edge.satellite_file import LocalControllerTable
from orbitloop_edge.usecases.node_events import Value
from orbitloop_edge.usecases.worker_reports import Mode, WorkerReports

DIGEST = "sha256:" + "ab" * 32
REPORT: dict[str, Any] = {
    "name": "eval-1",
    "namespace": "ns",
    "ownerName": "helmets",
    "ownerKind": "incrementallearningjob",
    "kind": "eval",
    "status": "completed",
    "results": [{"format": "pb", "url": "/m.pb", "metrics": {"precision": [0.75], "recall": 0.5}, "digest": DIGEST}],
}
SEDNA, STRICT = "/sedna/workers/eval-1/info", "/v1/workers/ns/eval-1/info"


def node_in(folder: Path, **more: Any) -> LocalNode:
    return LocalNode(folder, LocalControllerTable(port=0, **more), WallClock(), Patience())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LocalNode]:
    with node_in(tmp_path) as made:
        yield made


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[LocalNode]:
    with node_in(tmp_path, mode=Mode.STRICT) as made:
        yield made


def ask(node: LocalNode, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def post(node: LocalNode, path: str = SEDNA, /, **changes: object) -> tuple[int, str]:
    status, said = ask(node, "POST", path, json.dumps(REPORT | changes).encode())
    assert said["Status"] == status
    return status, said["Message"]


def kept(node: LocalNode, name: str = "eval-1") -> dict[str, Any]:
    return dict(node.events.last(f"worker/ns/{name}") or {})


@pytest.mark.parametrize("path", [SEDNA, STRICT], ids=["in Sedna's words", "strictly"])
def test_a_report_is_kept_as_the_operators_read_it(node: LocalNode, path: str) -> None:
    assert post(node, path) == (200, "OK")
    assert kept(node) == {
        "kind": "eval",
        "status": "completed",
        "ownerName": "helmets",
        "ownerKind": "incrementallearningjob",
        "results": REPORT["results"],
        "ownerInfo": {},
        "message": "",
    }
    (event,) = node.events.pending(0)
    assert post(node, path) == (200, "OK")
    assert node.events.pending(0) == [event]


def test_statistics_and_the_outcome_of_a_hot_update_do_not_drive_each_other_out(node: LocalNode) -> None:
    post(node, kind="inference", status="", results=None, ownerInfo={"inferenceNumber": 1})
    post(node, kind="deploy", status="failed", results=None, reason="ValueError: broken")
    assert (kept(node)["kind"], kept(node)["ownerInfo"]) == ("deploy", {"inferenceNumber": 1})
    post(node, kind="inference", status="", results=None, ownerInfo={"inferenceNumber": 9})
    said = kept(node)
    assert (said["kind"], said["status"], said["message"]) == ("deploy", "failed", "ValueError: broken")
    assert said["ownerInfo"] == {"inferenceNumber": 9}
    post(node, kind="deploy", status="completed", results=None)
    assert (kept(node)["status"], kept(node)["message"]) == ("completed", "")


class SharedEvents:
    """Events of one subject, whose reader waits a moment for another one to read the same."""

    def __init__(self) -> None:
        self.value: Value | None = None
        self._both = threading.Barrier(2)

    def record(self, subject: str, value: Value) -> None:
        self.value = value

    def last(self, subject: str) -> Value | None:
        value = self.value
        with suppress(threading.BrokenBarrierError):
            self._both.wait(0.2)
        return value


def test_two_threads_of_one_worker_do_not_drive_each_other_out(tmp_path: Path) -> None:
    events = SharedEvents()
    reports = WorkerReports(events=events, answers=AnnouncedUpdates(tmp_path))
    kinds: list[dict[str, Any]] = [{"kind": "inference", "ownerInfo": {"inferenceNumber": 7}}, {"kind": "deploy"}]
    infos = [WorkerInfo.model_validate(REPORT | kind) for kind in kinds]
    threads = [threading.Thread(target=reports.take, args=(info,)) for info in infos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert events.value is not None
    assert (events.value["kind"], events.value["ownerInfo"]) == ("deploy", {"inferenceNumber": 7})


def test_what_json_does_not_have_is_left_out(node: LocalNode) -> None:
    body = json.dumps(REPORT | {"ownerInfo": {"loss": [1.0, float("nan")]}})
    body = body.replace("0.5", "Infinity")
    assert ask(node, "POST", SEDNA, body.encode())[0] == 200
    assert kept(node)["results"][0]["metrics"] == {"precision": [0.75]}
    assert kept(node)["ownerInfo"] == {"loss": [1.0, None]}
    node.events.pending(0)[0].model_dump_json()


def test_a_report_that_is_too_large_for_the_link_loses_metrics_and_says_so(node: LocalNode) -> None:
    each = [number / 7 for number in range(3_000)]
    result = {"format": "pb", "url": "/m.pb", "metrics": {"precision": 0.75, "each": each}}
    assert post(node, results=[result])[0] == 200
    assert kept(node)["results"][0]["metrics"] == {"precision": 0.75}
    assert kept(node)["message"].endswith("each")
    (event,) = node.events.pending(0)
    assert len(event.model_dump_json(include={"value"})) <= LARGEST_VALUE


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"ownerKind": "rocket"}, 404, "ownerKind 'rocket' is unknown; use one of dataset, "),
        ({"kind": "warm-up"}, 400, "kind"),
        ({"status": "tired"}, 400, "status"),
        ({"name": "a b"}, 400, "name"),
        ({"namespace": "n/s"}, 400, "namespace"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [SEDNA, STRICT], ids=["in Sedna's words", "strictly"])
def test_strictly_what_nobody_can_use_is_refused(
    strict: LocalNode, path: str, changes: dict[str, str], status: int, message: str
) -> None:
    given = REPORT | changes
    place = path.replace("eval-1", given["name"].replace(" ", "%20"))
    place = place.replace("/ns/", f"/{given['namespace'].replace('/', '%2F')}/")
    found, said = post(strict, place, **changes)
    assert (found, strict.events.pending(0)) == (status, [])
    assert message in said


@pytest.mark.parametrize("name", ["a b", "-a", "a/b", "ä"])
def test_a_name_that_no_worker_can_have_is_dropped_as_the_original_would(node: LocalNode, name: str) -> None:
    quoted = name.replace(" ", "%20").replace("/", "%2F").replace("ä", "%C3%A4")
    assert post(node, f"/sedna/workers/{quoted}/info", name=name) == (200, "OK")
    assert node.events.pending(0) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "extra"),
        ({"reason": "why"}, "only a failed report has a reason"),
        ({"ownerName": ""}, "ownerName"),
        ({"namespace": "other"}, "namespace 'other' of the body is not 'ns' of the path"),
        ({"results": [{"format": "pb", "url": "/m", "metrics": {"a": "high"}}]}, "results.0.metrics.a"),
    ],
    ids=str,
)
def test_the_strict_path_names_what_is_wrong(node: LocalNode, changes: dict[str, object], message: str) -> None:
    status, said = post(node, STRICT, **changes)
    assert (status, node.events.pending(0)) == (400, [])
    assert message in said


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Length": "many"}, b"", 411),
        ({"Transfer-Encoding": "chunked"}, b"", 411),
        ({}, b"x" * (LARGEST_BODY + 1), 413),
        ({}, b"[" * 100_000, 400),
    ],
    ids=["no length", "chunked", "too long", "too deep"],
)
def test_bodies_are_bounded(node: LocalNode, headers: dict[str, str], body: bytes, status: int) -> None:
    found, said = ask(node, "POST", SEDNA, body, **headers)
    assert (found, said["Status"]) == (status, status)


@pytest.mark.parametrize(("method", "status"), [("PUT", 501), ("GET", 404), ("DELETE", 501)])
def test_other_methods_are_refused_in_the_same_form(node: LocalNode, method: str, status: int) -> None:
    found, said = ask(node, method, SEDNA)
    assert (found, said["Status"]) == (status, status)


def test_a_worker_that_goes_away_in_the_middle_harms_nobody(node: LocalNode) -> None:
    for sent in (
        b"",
        b"POST",
        b"POST /sedna/workers/eval-1/info HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
        b"\0\xff\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", node.port)) as gone:
            gone.sendall(sent)
    assert post(node) == (200, "OK")


def test_workers_that_hang_do_not_keep_out_the_others_for_long(node: LocalNode) -> None:
    hanging = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(20)]
    assert post(node) == (200, "OK")
    for one in hanging:
        one.close()


def test_many_workers_report_at_once(node: LocalNode) -> None:
    answers: list[tuple[int, str]] = []

    def report(number: int) -> None:
        answers.extend(post(node, f"/sedna/workers/w{number}/info", name=f"w{number}") for _ in range(5))

    threads = [threading.Thread(target=report, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(200, "OK")] * 40
    assert {event.subject for event in node.events.pending(0)} == {f"worker/ns/w{number}" for number in range(8)}


def test_people_can_look(node: LocalNode) -> None:
    post(node)
    assert ask(node, "GET", "/healthz") == (200, {"Status": 200, "Message": "OK"})
    assert ask(node, "GET", "/v1/state") == (200, {"datasets": {}, "models": {}, "eventsWaiting": 1})


def test_a_port_that_is_taken_is_one_clear_error(node: LocalNode, tmp_path: Path) -> None:
    table = LocalControllerTable(port=node.port)
    with pytest.raises(BadInput, match=f"cannot listen at 127.0.0.1:{node.port}: Address already in use; name another"):
        LocalNode(tmp_path / "other", table, WallClock(), Patience())


@pytest.fixture
def announced(tmp_path: Path) -> ModelVersions:
    """The folder of a job's hot updates on a node whose files are below a folder, with one announced."""
    folder = tmp_path / "node" / Path(HOT_UPDATES).relative_to("/") / "ns" / "incrementallearningjob" / "helmets"
    versions = ModelVersions(folder)
    versions.announce(Digest(DIGEST), "model.pb", "round 1")
    return versions


def says(tmp_path: Path, **more: Any) -> None:
    """The word of a worker of the original library: no model is named."""
    with node_in(tmp_path / "sat", root=tmp_path / "node") as node:
        assert post(node, **({"kind": "deploy", "results": []} | more))[0] == 200


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_what_came_of_a_hot_update_is_left_for_whoever_announced_it(
    tmp_path: Path, announced: ModelVersions, status: str
) -> None:
    says(tmp_path, status=status)
    current, answer = announced.current(), announced.answer()
    assert current is not None
    assert answer is not None
    assert (answer.digest, answer.status) == (DIGEST, status)
    assert answer.answers(current)


@pytest.mark.parametrize(
    "more",
    [
        {"status": "running"},
        {"kind": "eval"},
        {"results": REPORT["results"]},
        {"ownerName": "../helmets"},
        {"ownerName": "another"},
    ],
    ids=["still loading", "of another stage", "of our library, which answers by itself", "path", "job without updates"],
)
def test_no_other_report_answers_for_a_hot_update(
    tmp_path: Path, announced: ModelVersions, more: dict[str, Any]
) -> None:
    says(tmp_path, **({"status": "completed"} | more))
    assert announced.answer() is None


def test_an_answer_stays_until_another_update_is_announced(tmp_path: Path, announced: ModelVersions) -> None:
    says(tmp_path, status="failed")
    says(tmp_path, status="completed")
    answer = announced.answer()
    assert answer is not None
    assert answer.status == "failed"
