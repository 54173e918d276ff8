"""What workers post to the Local Controller beside them, and what it answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.conformance.local_controller import local_controller
from tests.conformance.options import given_for

Answer = tuple[int, dict[str, Any]]
MODEL = {"format": "pb", "url": "/output/train/1/model.pb"}
MEASURED = MODEL | {"metrics": {"precision": [0.7, 0.6], "recall": [0.8, 0.9]}}


@pytest.fixture(scope="module")
def url(
    request: pytest.FixtureRequest, foreign: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Where workers report."""
    if given := given_for(request.config, "local-controller"):
        yield given
    elif foreign is not None:
        pytest.skip("nobody said where its Local Controller is: --conformance-local-controller")
    else:
        keys: Path = request.getfixturevalue("keys")
        with local_controller(tmp_path_factory.mktemp("local-controller"), keys / "satellites" / "sat-1") as made:
            yield made


def a_report(**changes: Any) -> dict[str, Any]:
    """What a worker of a job says when it has trained."""
    report = {
        "name": "train-worker-8xk2p",
        "namespace": "lab",
        "ownerName": "helmets",
        "ownerKind": "incrementallearningjob",
        "kind": "train",
        "status": "completed",
        "ownerInfo": {},
        "results": [MEASURED],
    }
    return report | changes


def send(url: str, method: str, path: str, body: bytes, **headers: str) -> Answer:
    """One request, over a connection of its own."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def post(url: str, report: dict[str, Any], worker: str = "") -> Answer:
    """Report as Sedna's workers do."""
    return send(url, "POST", f"/sedna/workers/{worker or report['name']}/info", json.dumps(report).encode())


def post_strictly(url: str, report: dict[str, Any]) -> Answer:
    """Report on the strict path."""
    path = f"/v1/workers/{report['namespace']}/{report['name']}/info"
    return send(url, "POST", path, json.dumps(report).encode())


OK = (200, {"Status": 200, "Message": "OK"})
STATISTICS = {
    "startTime": "2026-03-01 12:00:00",
    "updateTime": "2026-03-01 12:00:30",
    "inferenceNumber": 120,
    "hardExampleNumber": 7,
    "uploadCloudRatio": 0.06,
}
REPORTS = {
    "a training that is done": a_report(),
    "a training that runs": a_report(status="running", results=[]),
    "a training that failed": a_report(status="failed", results=[]),
    "an evaluation of two models": a_report(name="eval-worker-1", kind="eval", results=[MEASURED, MEASURED]),
    "a model that was taken over": a_report(name="infer-worker-1", kind="deploy", results=[]),
    "statistics without a status": a_report(
        name="infer-worker-2",
        ownerKind="jointinferenceservice",
        kind="inference",
        status="",
        ownerInfo=STATISTICS,
        results=[],
    ),
    "a round of a federation": a_report(
        name="fl-worker-1",
        ownerKind="federatedlearningjob",
        ownerInfo={"currentRound": 2, "sampleCount": 300},
    ),
    "no results at all": a_report(results=None),
    "nothing that is not needed": {
        name: value for name, value in a_report().items() if name not in {"ownerInfo", "results"}
    },
    "a field that nobody knows": a_report(colour="red"),
    "an owner that nobody knows": a_report(ownerKind="jobofthefuture"),
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_a_report_is_taken(url: str, report: dict[str, Any]) -> None:
    assert post(url, report) == OK


def test_a_report_may_be_repeated(url: str) -> None:
    assert [post(url, a_report()) for _ in range(3)] == [OK] * 3


def test_a_worker_that_is_another_one_than_the_path_says_is_refused(url: str) -> None:
    status, answer = post(url, a_report(name="somebody"), worker="somebody-else")
    assert (status, answer["Status"]) == (400, 400)
    assert "somebody" in answer["Message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7"], ids=["nothing", "half of it", "a list", "a number"])
def test_what_is_no_report_is_refused(url: str, body: bytes) -> None:
    status, answer = send(url, "POST", "/sedna/workers/somebody/info", body)
    assert (status, answer["Status"]) == (400, 400)
    assert answer["Message"]


def test_reports_of_many_workers_come_at_once(url: str) -> None:
    where = urlsplit(url)
    connections = [http.client.HTTPConnection(where.hostname or "", where.port, timeout=60) for _ in range(8)]
    for number, connection in enumerate(connections):
        report = a_report(name=f"train-{number}")
        connection.request("POST", f"/sedna/workers/train-{number}/info", json.dumps(report).encode())
    answers = [connection.getresponse() for connection in reversed(connections)]
    assert [(one.status, json.loads(one.read())) for one in answers] == [OK] * 8
    for connection in connections:
        connection.close()


@pytest.mark.stricter
@pytest.mark.parametrize("metrics", [{"precision": 0.7}, {"precision": [0.7], "loss": 1}, {}, None])
def test_metrics_are_numbers_or_lists(url: str, metrics: object) -> None:
    assert post(url, a_report(results=[MODEL | {"metrics": metrics}])) == OK


@pytest.mark.stricter
def test_a_digest_and_a_reason_may_be_told(url: str) -> None:
    digest = f"sha256:{'0' * 64}"
    assert post(url, a_report(results=[MEASURED | {"digest": digest}])) == OK
    assert post(url, a_report(status="failed", results=[], reason="out of memory")) == OK


@pytest.mark.stricter
def test_the_strict_path_takes_what_is_whole(url: str) -> None:
    assert post_strictly(url, a_report()) == OK


@pytest.mark.stricter
@pytest.mark.parametrize(
    ("report", "status", "says"),
    [
        pytest.param(a_report(colour="red"), 400, "colour", id="a field that nobody knows"),
        pytest.param(a_report(kind="traning"), 400, "kind", id="a kind that nobody knows"),
        pytest.param(a_report(status="done"), 400, "status", id="a status that nobody knows"),
        pytest.param(a_report(ownerName=""), 400, "ownerName", id="no owner"),
        pytest.param(a_report(ownerKind="jobofthefuture"), 404, "jobofthefuture", id="an owner that nobody knows"),
        pytest.param(a_report(results=[MODEL | {"metrics": {"p": "good"}}]), 400, "metrics", id="a metric in words"),
    ],
)
def test_the_strict_path_names_what_is_wrong(url: str, report: dict[str, Any], status: int, says: str) -> None:
    answered, answer = post_strictly(url, report)
    assert (answered, answer["Status"]) == (status, status)
    assert says in answer["Message"]


@pytest.mark.stricter
def test_another_namespace_than_the_path_says_is_refused(url: str) -> None:
    path = "/v1/workers/elsewhere/train-worker-8xk2p/info"
    status, answer = send(url, "POST", path, json.dumps(a_report()).encode())
    assert status == 400
    assert "elsewhere" in answer["Message"]


@pytest.mark.stricter
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("POST", "/sedna/workers/somebody", 404, id="half a path"),
        pytest.param("GET", "/sedna", 404, id="no such path"),
        pytest.param("DELETE", "/sedna/workers/somebody/info", 501, id="no such method"),
    ],
)
def test_what_is_not_there_is_said_in_the_same_form(url: str, method: str, path: str, status: int) -> None:
    answered, answer = send(url, method, path, b"{}")
    assert (answered, answer["Status"]) == (status, status)
    assert answer["Message"]


@pytest.mark.stricter
def test_a_report_has_a_limit(url: str) -> None:
    padded = json.dumps(a_report()).encode() + b" " * 2**20
    status, answer = send(url, "POST", "/sedna/workers/train-worker-8xk2p/info", padded)
    assert (status, answer["Status"]) == (413, 413)


@pytest.mark.stricter
def test_it_says_whether_it_is_well(url: str) -> None:
    assert send(url, "GET", "/healthz", b"") == OK
