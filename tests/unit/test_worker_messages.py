"""What workers tell the Local Controller: tolerant in Sedna's form, strict beside it."""

import json

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop.wire.worker_messages import (
    OWNER_KINDS,
    Reply,
    WorkerInfo,
    WorkerKind,
    WorkerStatus,
    read_strict_worker_info,
    read_worker_info,
)

DIGEST = "sha256:" + "ab" * 32
REPORT = {
    "name": "train-worker-abcde",
    "namespace": "ns",
    "ownerName": "helmets",
    "ownerKind": "incrementallearningjob",
    "kind": "train",
    "status": "completed",
    "ownerInfo": {"sampleCount": 3},
    "results": [{"format": "pb", "url": "/output/train/1/model.pb", "metrics": {"precision": [0.7], "recall": 0.8}}],
}


def body(**changes: object) -> bytes:
    return json.dumps(REPORT | changes).encode()


def test_a_report_in_sednas_words_is_read() -> None:
    info = read_worker_info(body())
    assert (info.name, info.owner_name, info.kind, info.status) == (
        "train-worker-abcde",
        "helmets",
        WorkerKind.TRAIN,
        WorkerStatus.COMPLETED,
    )
    assert info.results[0].numbers() == {"precision": (0.7,), "recall": 0.8}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": None},
        {"results": None},
        {"ownerInfo": None},
        {"ownerKind": "somethingelse"},
        {"kind": "warm-up"},
        {"aFieldFromTheFuture": 1},
        {"results": [{"format": "pb", "url": "/m.pb", "metrics": None}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_compatible_form_takes_what_the_original_takes(changes: dict[str, object]) -> None:
    assert read_worker_info(body(**changes)).name == "train-worker-abcde"


@pytest.mark.parametrize(
    ("metric", "readable"),
    [
        (1, True),
        (0.5, True),
        ([0.1, 0.2], True),
        ([], True),
        ("0.5", False),
        ([[0.1]], False),
        (True, False),
        (None, False),
        ({}, False),
    ],
)
def test_a_metric_that_is_no_number_is_named_and_the_rest_is_kept(metric: object, readable: bool) -> None:
    results = [{"format": "pb", "url": "/m.pb", "metrics": {"it": metric, "recall": 0.5}}]
    model = read_worker_info(body(results=results)).results[0]
    assert ("it" in model.numbers()) is readable
    assert model.unreadable() == (() if readable else ("it",))
    assert model.numbers()["recall"] == 0.5


def test_what_is_sent_reads_back_the_same() -> None:
    info = read_worker_info(body())
    assert read_worker_info(info.body()) == info
    assert json.loads(info.body())["ownerKind"] == "incrementallearningjob"


@pytest.mark.parametrize("given", [b"", b"[]", b"{}", b'{"name": ""}', b"\xff", b'{"name": "w", "results": 3}'])
def test_what_is_no_report_is_refused(given: bytes) -> None:
    with pytest.raises(BadInput, match="worker info: "):
        read_worker_info(given)


def test_the_strict_form_reads_the_additions() -> None:
    results = [{"format": "onnx", "url": "/m.onnx", "digest": DIGEST}]
    strict = read_strict_worker_info(body(status="failed", reason="out of memory", results=results))
    assert (strict.reason, strict.results[0].digest) == ("out of memory", DIGEST)
    info = strict.as_info()
    assert isinstance(info, WorkerInfo)
    assert (info.reason, info.results[0].digest, info.owner_info) == ("out of memory", DIGEST, {"sampleCount": 3})


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"aFieldFromTheFuture": 1}, "aFieldFromTheFuture"),
        ({"kind": "warm-up"}, "kind"),
        ({"status": "perhaps"}, "status"),
        ({"ownerName": ""}, "ownerName"),
        ({"reason": "none was needed"}, "reason"),
        ({"results": [{"format": "pb", "url": "/m", "digest": "md5:0"}]}, "results.0.digest"),
        ({"results": [{"format": "pb", "url": "/m", "metrics": {"p": "high"}}]}, "results.0.metrics.p"),
        ({"results": [{"format": "pb", "url": "/m", "size": 3}]}, "results.0.size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_strict_form_names_the_field_that_does_not_fit(changes: dict[str, object], names: str) -> None:
    with pytest.raises(BadInput, match=rf"worker info: {names}"):
        read_strict_worker_info(body(**changes))


def test_a_number_that_is_none_is_refused_by_the_strict_form() -> None:
    text = body(results=[{"format": "pb", "url": "/m", "metrics": {"p": float("nan")}}])
    with pytest.raises(BadInput, match=r"metrics"):
        read_strict_worker_info(text)


def test_the_reply_is_capitalised() -> None:
    assert json.loads(Reply().body()) == {"Status": 200, "Message": "OK"}
    assert json.loads(Reply(status=400, message="no").body()) == {"Status": 400, "Message": "no"}


def test_kinds_are_spelt_in_lower_case() -> None:
    assert all(kind == kind.lower() for kind in OWNER_KINDS)
