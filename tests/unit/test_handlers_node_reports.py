"""What nodes say of themselves, as reconcilers read it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import Outcome
from orbitloop.wire.worker_messages import WorkerKind, WorkerStatus
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.node_reports import NodeReport, report_document, report_of, reporting_node

DIGEST = "sha256:" + "a" * 64
OBSERVED = {
    "lastContact": "2026-01-01T02:00:00Z",
    "datasets": {"ns/frames": {"numberOfSamples": 12, "updateTime": "2026-01-01T01:00:00Z", "later": True}},
    "workers": {"ns/w": {"kind": "inference", "status": "", "ownerInfo": {"inferenceNumber": 3}}},
    "satellite": {"flying": DIGEST, "queuedSamples": 4, "outcomes": {DIGEST: "rolled_back"}},
}


def said(observed: dict[str, Any]) -> NodeReport:
    store = Store()
    store.put(report_document("sat-1", 1, observed))
    report = report_of(store, "sat-1")
    assert report is not None
    return report


def test_what_a_node_said_is_read_by_subject_and_what_another_version_adds_is_passed_over() -> None:
    report = said(OBSERVED)
    dataset, worker, satellite = report.dataset("ns", "frames"), report.worker("ns", "w"), report.satellite()
    assert report.last_contact() == datetime(2026, 1, 1, 2, tzinfo=UTC)
    assert dataset is not None
    assert dataset.number_of_samples == 12
    assert worker is not None
    assert (worker.kind, worker.status) == (WorkerKind.INFERENCE, None)
    assert satellite is not None
    assert satellite.outcomes == {DIGEST: Outcome.ROLLED_BACK}


def test_what_was_not_said_is_none() -> None:
    report = said({})
    found = (report.last_contact(), report.dataset("ns", "x"), report.worker("ns", "x"), report.satellite())
    assert found == (None, None, None, None)
    assert report_of(Store(), "sat-1") is None


MALFORMED: dict[str, tuple[dict[str, Any], Callable[[NodeReport], object], str]] = {
    "a contact at no time": ({"lastContact": "noon"}, lambda report: report.last_contact(), "contact"),
    "a dataset of text": ({"datasets": {"ns/x": "many"}}, lambda report: report.dataset("ns", "x"), "Dataset ns/x"),
    "datasets in a list": ({"datasets": ["ns/x"]}, lambda report: report.dataset("ns", "x"), "Dataset ns/x"),
    "fewer than no samples": (
        {"datasets": {"ns/x": {"numberOfSamples": -1}}},
        lambda report: report.dataset("ns", "x"),
        "numberOfSamples",
    ),
    "a count as text": (
        {"datasets": {"ns/x": {"numberOfSamples": "12"}}},
        lambda report: report.dataset("ns", "x"),
        "numberOfSamples",
    ),
    "work that there is not": (
        {"workers": {"ns/x": {"kind": "guess"}}},
        lambda report: report.worker("ns", "x"),
        "kind",
    ),
    "an outcome that there is not": (
        {"satellite": {"outcomes": {DIGEST: "lost"}}},
        lambda report: report.satellite(),
        "outcomes",
    ),
}


@pytest.mark.parametrize(("observed", "read", "names"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_cannot_be_read_is_refused_and_names_the_node_and_the_subject(
    observed: dict[str, Any], read: Callable[[NodeReport], object], names: str
) -> None:
    with pytest.raises(BadInput, match=f"(?s)node sat-1.*{names}.*versions"):
        read(said(observed))


def test_one_malformed_subject_leaves_the_others_readable() -> None:
    report = said({"datasets": {"ns/bad": 1, "ns/good": {"numberOfSamples": 1}}})
    good = report.dataset("ns", "good")
    assert good is not None
    assert good.number_of_samples == 1


def test_a_completed_worker_shows_what_it_made() -> None:
    results = [{"format": "onnx", "url": "/out/model.onnx", "digest": DIGEST, "metrics": {"precision": [0.5, 0.7]}}]
    worker = said({"workers": {"ns/w": {"kind": "eval", "status": "completed", "results": results}}}).worker("ns", "w")
    assert worker is not None
    assert worker.status is WorkerStatus.COMPLETED
    assert worker.results[0].numbers() == {"precision": (0.5, 0.7)}


def test_only_reports_say_which_node_reported() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sat-1"}}
    assert [reporting_node(one) for one in (report_document("sat-1", 1, {}), pod)] == ["sat-1", None]
