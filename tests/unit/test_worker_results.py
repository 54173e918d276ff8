"""What workers say they made is read, or refused with a complaint; nothing else can come of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.job_world import evaluated, trained

from orbitloop.domain.errors import BadInput
from orbitloop.testing.builders import a_digest
from orbitloop.wire.worker_messages import WorkerKind
from orbitloop_operators.handlers.node_reports import WorkerReport
from orbitloop_operators.handlers.worker_results import (
    Result,
    measured,
    metrics_in,
    metrics_text,
    read_last_words,
    read_report,
    trained_model,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
MODELS = st.fixed_dictionaries(
    {}, optional={"url": st.text(max_size=40) | VALUES, "format": VALUES, "digest": VALUES, "metrics": VALUES}
)
WORDS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["train", "eval"]) | VALUES, "status": st.just("completed") | VALUES},
    optional={"results": st.lists(MODELS, max_size=3) | VALUES, "message": VALUES},
)


@given(said=st.text(max_size=60) | WORDS.map(json.dumps) | VALUES.map(json.dumps))
def test_whatever_a_worker_says_is_read_or_refused(said: str) -> None:
    for kind in (WorkerKind.TRAIN, WorkerKind.EVAL):
        with contextlib.suppress(BadInput):
            result = read_last_words([said], kind)
            assert isinstance(result, Result)
            if result.well:
                _use(result)


def _use(result: Result) -> None:
    with contextlib.suppress(BadInput):
        assert trained_model(result.models, "/output").url.startswith("/output/")
    with contextlib.suppress(BadInput):
        new, _ = measured(result.models, "")
        assert metrics_in(metrics_text(new)) == dict(new)


def test_words_that_nest_too_deep_are_refused() -> None:
    said = "[" * 5_000 + "]" * 5_000
    with pytest.raises(BadInput, match="cannot be read"):
        read_last_words([said], WorkerKind.TRAIN)


@pytest.mark.parametrize(
    "value",
    [10**400, [0.5, -(10**400)], True, "0.5", None],
    ids=["too large for any", "one of a list", "a truth", "a text", "nothing"],
)
def test_a_metric_that_is_no_number_is_refused(value: Any) -> None:
    said = json.dumps({"kind": "eval", "status": "completed", "results": [{"url": "/x", "metrics": {"recall": value}}]})
    result = read_last_words([said], WorkerKind.EVAL)
    assert result is not None
    with pytest.raises(BadInput, match="recall of the evaluation is neither a number nor a list of numbers"):
        measured(result.models, "")


def test_no_words_are_no_result() -> None:
    assert read_last_words([], WorkerKind.TRAIN) is None


def test_of_several_containers_the_one_that_can_be_read_counts() -> None:
    result = read_last_words(["bye", trained()], WorkerKind.TRAIN)
    assert result is not None
    assert result.well


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (None, None),
        ({"kind": "train"}, None),
        ({"kind": "train", "status": "running"}, None),
        ({"kind": "train", "status": "failed", "message": "no space"}, "no space"),
        ({"kind": "train", "status": "failed"}, "says that it is failed"),
    ],
    ids=["nothing", "no status", "running", "failed", "failed without a word"],
)
def test_a_report_counts_when_it_says_how_the_work_ended(report: dict[str, Any] | None, said: str | None) -> None:
    result = read_report(None if report is None else WorkerReport.model_validate(report), WorkerKind.TRAIN)
    if said is None:
        assert result is None
    else:
        assert result is not None
        assert not result.well
        assert said in result.why


def test_a_report_about_other_work_is_refused() -> None:
    report = WorkerReport.model_validate({"kind": "inference", "status": "completed"})
    with pytest.raises(BadInput, match="is about inference, and its work was train"):
        read_report(report, WorkerKind.TRAIN)


def test_more_models_than_anybody_compares_are_refused() -> None:
    said = json.loads(evaluated())
    said["results"] = said["results"] * 5
    with pytest.raises(BadInput, match="names 10 models; at most 8 are read"):
        read_last_words([json.dumps(said)], WorkerKind.EVAL)


def measurements(*models: tuple[object, float]) -> str:
    results = [{"url": "/x", "digest": a_digest(name), "metrics": {"recall": value}} for name, value in models]
    return json.dumps({"kind": "eval", "status": "completed", "results": results})


@pytest.mark.parametrize(
    "models",
    [[("new", 0.9), ("old", 0.5)], [("old", 0.5), ("new", 0.9)]],
    ids=["as Sedna has it", "the other way round"],
)
def test_digests_say_which_of_two_models_is_the_new_one(models: list[tuple[object, float]]) -> None:
    result = read_last_words([measurements(*models)], WorkerKind.EVAL)
    assert result is not None
    assert measured(result.models, a_digest("new")) == ({"recall": 0.9}, {"recall": 0.5})


def test_the_evaluation_of_another_file_than_was_trained_is_refused() -> None:
    result = read_last_words([measurements(("other", 0.9), ("old", 0.5))], WorkerKind.EVAL)
    assert result is not None
    with pytest.raises(BadInput, match="and the one that was trained"):
        measured(result.models, a_digest("new"))
