"""The last words of a worker: always whole JSON that fits into a termination message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orbitloop.wire.worker_messages import WorkerKind, WorkerStatus
from orbitloop.worker.last_words import LONGEST, LastWords

MODEL = {"format": "onnx", "url": "/out/model.onnx", "digest": f"sha256:{'a' * 64}"}


def words(*results: dict[str, Any], message: str = "") -> dict[str, Any]:
    status = WorkerStatus.FAILED if message else WorkerStatus.COMPLETED
    body = LastWords(kind=WorkerKind.EVAL, status=status, results=results, message=message).body()
    assert len(body) <= LONGEST
    read = json.loads(body)
    assert isinstance(read, dict)
    return read


def test_everything_is_said_where_there_is_room() -> None:
    model = MODEL | {"metrics": {"precision": [0.5, 0.25], "recall": 1.0}}
    assert words(model, MODEL) == {"kind": "eval", "status": "completed", "results": [model, MODEL], "message": ""}


def test_the_longest_metrics_are_left_out_first_and_in_all_results_and_that_is_said() -> None:
    each = [number / 7 for number in range(200)]
    new = MODEL | {"metrics": {"precision": [0.5], "each": each, "loss": 0.1}}
    old = MODEL | {"metrics": {"precision": [0.25], "each": each}}
    said = words(new, old)
    assert [result["metrics"] for result in said["results"]] == [
        {"precision": [0.5], "loss": 0.1},
        {"precision": [0.25]},
    ]
    assert said["message"] == "metrics left out, because a result takes at most 4096 bytes: each"


def test_a_reason_without_end_is_shortened_at_its_end() -> None:
    said = words(message="ValueError: wrong shape " + "x" * 10_000)
    assert said["message"].startswith("ValueError: wrong shape x")
    assert said["message"].endswith("…")


def test_names_without_end_cost_the_last_models() -> None:
    said = words(*({"format": "onnx", "url": f"/{name * 1500}"} for name in "abc"))
    assert [result["url"][1] for result in said["results"]] == ["a", "b"]
    assert said["message"].startswith("models were left out for lack of room")


@given(
    results=st.lists(
        st.fixed_dictionaries(
            {"format": st.text(max_size=9), "url": st.text(max_size=3_000)},
            optional={"metrics": st.dictionaries(st.text(), st.floats(0, 1) | st.lists(st.floats(0, 1)), max_size=40)},
        ),
        max_size=4,
    ),
    message=st.text() | st.text(min_size=3_000, max_size=6_000),
)
def test_last_words_are_always_whole_and_never_too_long(results: list[dict[str, Any]], message: str) -> None:
    said = words(*results, message=message)
    assert set(said) == {"kind", "status", "results", "message"}


def test_a_place_that_cannot_be_written_to_does_not_end_the_worker(tmp_path: Path) -> None:
    LastWords(kind=WorkerKind.TRAIN, status=WorkerStatus.COMPLETED).leave(str(tmp_path / "none" / "log"))
    LastWords(kind=WorkerKind.TRAIN, status=WorkerStatus.COMPLETED).leave("")
    assert not list(tmp_path.iterdir())


def test_last_words_replace_what_was_said_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 9_000)
    LastWords(kind=WorkerKind.TRAIN, status=WorkerStatus.COMPLETED).leave(str(log))
    assert json.loads(log.read_bytes())["status"] == "completed"
