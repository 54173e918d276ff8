"""Sedna's worker protocol: the Local Controller on board and the stand-in of tests answer alike."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from orbitloop.adapters.wall_clock import WallClock
from orbitloop.testing.local_controller import RecordingLocalController
from orbitloop.wire.worker_messages import WorkerInfo
from orbitloop.worker.reports import HttpReporter
from orbitloop_edge.adapters.host import Patience
from orbitloop_edge.node import LocalNode
from orbitloop_edge.satellite_file import LocalControllerTable

REPORT = {
    "name": "train-1",
    "namespace": "ns",
    "ownerName": "helmets",
    "ownerKind": "incrementallearningjob",
    "kind": "train",
    "status": "completed",
    "results": [{"format": "pb", "url": "/output/train/1/model.pb", "metrics": {"precision": [0.7], "recall": 0.8}}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back."""

    status: int
    said: dict[str, object]
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A Local Controller, and how many workers it knows of."""

    url: str
    known: Callable[[], set[str]]

    def post(self, body: bytes, path: str = "/sedna/workers/train-1/info") -> Answered:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answered(
                status=answer.status, said=json.loads(answer.read()), kind=answer.headers["Content-Type"] or ""
            )
        finally:
            connection.close()


def recording(_: Path) -> Iterator[Subject]:
    with RecordingLocalController().running() as controller:
        yield Subject(url=controller.url, known=lambda: {info.name for info in controller.reports})


def on_board(folder: Path) -> Iterator[Subject]:
    with LocalNode(folder, LocalControllerTable(port=0), WallClock(), Patience()) as node:
        yield Subject(
            url=f"http://127.0.0.1:{node.port}",
            known=lambda: {event.subject.split("/")[-1] for event in node.events.pending(0)},
        )


@pytest.fixture(params=[recording, on_board], ids=["stand-in", "on board"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    yield from request.param(tmp_path)


def test_a_report_is_taken_with_sednas_answer(subject: Subject) -> None:
    for _ in range(2):
        answered = subject.post(json.dumps(REPORT).encode())
        assert answered == Answered(status=200, said={"Status": 200, "Message": "OK"}, kind="application/json")
    assert subject.known() == {"train-1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": ""},
        {"status": None, "kind": "inference", "ownerInfo": {"inferenceNumber": 7}},
        {"results": None},
        {"ownerKind": "IncrementalLearningJob"},
        {"aFieldFromTheFuture": {"deep": [1]}},
        {"results": [{"format": "pb", "url": "/m.pb", "metrics": {"precision": "high", "recall": None}}]},
    ],
    ids=str,
)
def test_what_the_original_takes_is_taken(subject: Subject, changes: dict[str, object]) -> None:
    assert subject.post(json.dumps(REPORT | changes).encode()).said == {"Status": 200, "Message": "OK"}
    assert subject.known() == {"train-1"}


@pytest.mark.parametrize(
    "changes", [{"ownerKind": "rocket"}, {"ownerKind": ""}, {"kind": "warm-up"}, {"status": "tired"}], ids=str
)
def test_what_nobody_can_use_is_answered_as_the_original_does(subject: Subject, changes: dict[str, object]) -> None:
    assert subject.post(json.dumps(REPORT | changes).encode()).said == {"Status": 200, "Message": "OK"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (json.dumps(REPORT | {"name": "train-2"}).encode(), "train-2"),
        (b"", "worker info"),
        (b"{", "worker info"),
        (b"[]", "worker info"),
        (json.dumps(REPORT | {"name": None}).encode(), "name"),
        (json.dumps(REPORT | {"results": [{"digest": "md5:0"}]}).encode(), "results.0.digest"),
    ],
    ids=["another name", "empty", "cut", "no object", "no name", "bad digest"],
)
def test_a_report_that_is_wrong_is_refused_and_changes_nothing(subject: Subject, body: bytes, message: str) -> None:
    answered = subject.post(body)
    assert (answered.status, answered.said["Status"]) == (400, 400)
    assert message in str(answered.said["Message"])
    assert subject.known() == set()


def test_another_name_is_refused_in_sednas_words(subject: Subject) -> None:
    said = subject.post(json.dumps(REPORT).encode(), "/sedna/workers/eval-1/info").said["Message"]
    assert said == "worker name(name=eval-1) in the api is different from that(name=train-1) in the message body"


@pytest.mark.parametrize(
    "path", ["/", "/sedna/workers/train-1", "/sedna/workers/train-1/info/more", "/v0/workers/x/info"]
)
def test_another_path_is_404(subject: Subject, path: str) -> None:
    assert subject.post(json.dumps(REPORT).encode(), path).status == 404


def test_the_worker_library_reports_to_it(subject: Subject) -> None:
    reporter = HttpReporter(subject.url, timeout=timedelta(seconds=60), tries=1)
    assert reporter.send(WorkerInfo.model_validate(REPORT))
    assert subject.known() == {"train-1"}
