"""The operators' API of a gateway, by HTTP: who is let in, what is taken, and that nothing is missed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import Outcome
from orbitloop.ports.node_ledger import Export
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import MOST_DESIRED, Hello, UpdateReport
from orbitloop.wire.node_messages import NodeEvent, NodeEvents
from orbitloop_ground.app import Dependencies, admin_thread, compose
from orbitloop_ground.settings import GroundSettings

TOKEN = "a token of more than sixteen characters"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
FLYING = digest_of(b"weights")
DOCUMENT = b'{"datasets": {}}'


@dataclass(kw_only=True)
class Station:
    parts: Dependencies
    client: httpx.Client

    def want(self, document: bytes = DOCUMENT, *, node: str = "sat-1") -> httpx.Response:
        return self.client.put(f"/v1/operator/nodes/{node}/desired", content=document)

    def moved(self, **query: object) -> dict[str, Any]:
        answer = self.client.get("/v1/operator/nodes", params={name: str(value) for name, value in query.items()})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextmanager
def station(folder: Path, keys: Path, **changes: object) -> Iterator[Station]:
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    told = {"folder": folder / "ground", "keys": keys / "ground", "admin_port": 0, "operator_token": token}
    parts = compose(GroundSettings.model_validate(told | changes), VirtualClock(LAUNCH))
    with admin_thread(parts) as server, httpx.Client(base_url=server.url, headers=SHOWN, trust_env=False) as client:
        yield Station(parts=parts, client=client)
    parts.ledger.close()


@pytest.fixture
def ground(tmp_path: Path, keys: Path) -> Iterator[Station]:
    with station(tmp_path, keys) as made:
        yield made


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xff"],
    ids=["none", "an empty one", "another", "another scheme", "no scheme", "no ASCII"],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_who_does_not_show_the_token_is_not_let_in(ground: Station, method: str, header: str) -> None:
    path = "/v1/operator/nodes" + ("" if method == "GET" else "/sat-1/desired")
    answer = ground.client.request(method, path, content=DOCUMENT, headers={b"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "operator_token" in answer.json()["detail"]
    assert ground.parts.ledger.desired("sat-1") is None


def test_without_a_token_there_is_nothing_and_the_log_says_why(
    tmp_path: Path, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with station(tmp_path, keys, operator_token=None) as closed, caplog.at_level(logging.WARNING):
        assert closed.want().status_code == 404
        assert closed.client.get("/v1/operator/nodes").status_code == 404
        assert closed.client.get("/healthz").status_code == 200
    assert {record.message for record in caplog.records} == {"operator_not_let_in"}


@pytest.mark.parametrize("text", [None, "", "short"], ids=["missing", "empty", "short"])
def test_a_token_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path, keys: Path, text: str | None) -> None:
    bad = tmp_path / "bad"
    if text is not None:
        bad.write_text(text)
    with pytest.raises(BadInput, match="operator_token"), station(tmp_path, keys, operator_token=bad):
        pass


def test_a_token_that_was_replaced_counts_at_once(ground: Station, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the next token, as long")
    assert ground.want().status_code == 401
    header = {"Authorization": "bearer the next token, as long"}
    assert ground.client.get("/v1/operator/nodes", headers=header).status_code == 200


def test_a_desired_state_is_kept_with_its_digest_and_the_same_again_changes_nothing(ground: Station) -> None:
    answers = [ground.want(), ground.want()]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json() == {"digest": digest_of(DOCUMENT), "size": len(DOCUMENT)}
    assert ground.moved()["sequence"] == 1


@pytest.mark.parametrize(
    ("document", "status", "why"),
    [
        (b'{"x": "' + b"x" * MOST_DESIRED + b'"}', 413, "256000 bytes"),
        (b"", 422, "no JSON"),
        (b"{", 422, "no JSON"),
        (b'{"x": NaN}', 422, "no JSON"),
        (b"[" * 200_000, 422, "no JSON"),
        (b"\xff", 422, "no JSON"),
        (b"[]", 422, "write a JSON object"),
    ],
    ids=["too large", "empty", "cut short", "no number", "too deep", "no text", "a list"],
)
def test_a_desired_state_that_cannot_be_is_refused(ground: Station, document: bytes, status: int, why: str) -> None:
    answer = ground.want(document)
    assert (answer.status_code, why in answer.json()["detail"]) == (status, True)
    assert ground.parts.ledger.desired("sat-1") is None


@pytest.mark.parametrize("node", ["sat-99", "..", "%2e%2e%2fgateway", "sat 1"])
def test_a_node_without_keys_is_unknown(ground: Station, node: str) -> None:
    answer = ground.want(node=node)
    assert answer.status_code in (404, 405)
    assert ground.moved()["nodes"] == []


def test_a_report_says_what_a_node_said(ground: Station) -> None:
    ledger = ground.parts.ledger
    told = {"satellite": "sat-1", "flying": FLYING, "clock": LAUNCH, "queued_samples": 7, "queued_bytes": 700}
    ledger.record_hello(Hello.model_validate(told | {"desired": digest_of(DOCUMENT)}), LAUNCH)
    report = UpdateReport(satellite="sat-1", update=digest_of(b"u"), outcome=Outcome.REFUSED, flying=FLYING, at=LAUNCH)
    ledger.record_report(report, LAUNCH)
    event = NodeEvent(sequence=3, subject="dataset/default/images", at=LAUNCH, value={"numberOfSamples": 12})
    ledger.record_events(NodeEvents(satellite="sat-1", origin="0" * 32, events=(event,)), LAUNCH)
    ledger.record_export("sat-1", Export(path="/data/index.txt", lines=3, at=LAUNCH))
    ground.want()
    assert ground.moved()["nodes"] == [
        {
            "node": "sat-1",
            "sequence": 5,
            "lastContact": LAUNCH.isoformat(),
            "flying": FLYING,
            "model": None,
            "queuedSamples": 7,
            "queuedBytes": 700,
            "samples": 0,
            "waiting": 0,
            "drift": None,
            "wanted": digest_of(DOCUMENT),
            "taken": digest_of(DOCUMENT),
            "selection": {"fetched": None, "onBoard": None, "offered": None},
            "outcomes": {digest_of(b"u"): "refused"},
            "events": [
                {
                    "subject": "dataset/default/images",
                    "sequence": 3,
                    "at": LAUNCH.isoformat(),
                    "value": {"numberOfSamples": 12},
                }
            ],
            "exports": [{"path": "/data/index.txt", "lines": 3, "at": LAUNCH.isoformat()}],
        }
    ]


def test_who_waits_is_told_once_something_moves(ground: Station) -> None:
    ground.want()
    after = ground.moved()["sequence"]
    with ThreadPoolExecutor() as threads:
        told = threads.submit(ground.moved, after=after, wait=50)
        other = threading.Timer(0.3, lambda: ground.parts.ledger.set_desired("sat-1", b"{}"))
        other.start()
        assert [report["wanted"] for report in told.result()["nodes"]] == [digest_of(b"{}")]
        other.join()


def test_who_waits_in_vain_is_told_that_nothing_moved(ground: Station) -> None:
    ground.want()
    before = ground.moved()
    assert ground.moved(after=before["sequence"], ledger=before["ledger"], wait=0.5) == before | {"nodes": []}


@pytest.mark.parametrize("query", [{"after": 10**6}, {"after": 1, "ledger": "another"}], ids=["too far", "by name"])
def test_who_followed_another_ledger_reads_all_again(ground: Station, query: dict[str, object]) -> None:
    ground.want()
    assert [report["node"] for report in ground.moved(**query, wait=50)["nodes"]] == ["sat-1"]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "wait=3600", "wait=nan", "after=1.5"])
def test_a_question_that_makes_no_sense_is_refused(ground: Station, query: str) -> None:
    assert ground.client.get(f"/v1/operator/nodes?{query}").status_code == 422


def test_what_is_wanted_survives_a_restart_and_a_lost_database(tmp_path: Path, keys: Path) -> None:
    with station(tmp_path, keys) as before:
        before.want()
    (tmp_path / "ground" / "ledger.db").unlink()
    with station(tmp_path, keys) as after:
        (report,) = after.moved()["nodes"]
    assert report["wanted"] == digest_of(DOCUMENT)
