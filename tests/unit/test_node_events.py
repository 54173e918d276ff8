"""What happens at a node waits for the ground: the last word about each subject, in order, across crashes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput, NoSpace
from orbitloop.testing.clocks import VirtualClock
from orbitloop_edge.adapters.node_events import NodeEventsFile

START = datetime(2026, 1, 1, tzinfo=UTC)


def opened(folder: Path, **more: int) -> NodeEventsFile:
    return NodeEventsFile(folder / "node" / "events.db", VirtualClock(START), **more)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[NodeEventsFile]:
    made = opened(tmp_path)
    yield made
    made.close()


def waiting(outbox: NodeEventsFile, after: int = 0) -> list[tuple[int, str, object]]:
    return [(event.sequence, event.subject, event.value["n"]) for event in outbox.pending(after)]


def test_the_last_word_of_each_subject_waits_in_the_order_of_what_happened(outbox: NodeEventsFile) -> None:
    outbox.record("dataset/ns/a", {"n": 1})
    outbox.record("dataset/ns/b", {"n": 1})
    outbox.record("dataset/ns/a", {"n": 2})
    assert waiting(outbox) == [(2, "dataset/ns/b", 1), (3, "dataset/ns/a", 2)]
    assert waiting(outbox, after=2) == [(3, "dataset/ns/a", 2)]
    assert outbox.last("dataset/ns/a") == {"n": 2}
    assert outbox.last("dataset/ns/c") is None


def test_the_same_word_again_is_no_news_whether_the_ground_holds_it_or_not(outbox: NodeEventsFile) -> None:
    for _ in range(2):
        outbox.record("worker/ns/a", {"n": 1})
        assert waiting(outbox) == [(1, "worker/ns/a", 1)]
    outbox.acknowledge(1)
    outbox.record("worker/ns/a", {"n": 1})
    assert waiting(outbox) == []


def test_what_happens_while_it_is_sent_waits_on(outbox: NodeEventsFile) -> None:
    outbox.record("worker/ns/a", {"n": 1})
    (sent,) = outbox.pending(0)
    outbox.record("worker/ns/a", {"n": 2})
    outbox.acknowledge(sent.sequence)
    outbox.acknowledge(sent.sequence)
    assert waiting(outbox) == [(2, "worker/ns/a", 2)]


def test_everything_is_there_after_a_restart_and_numbers_are_never_used_twice(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    origin = outbox.origin
    outbox.record("worker/ns/a", {"n": 1})
    outbox.record("worker/ns/a", {"n": 2})
    outbox.acknowledge(2)
    outbox.close()
    again = opened(tmp_path)
    assert (again.origin, waiting(again), again.last("worker/ns/a")) == (origin, [], {"n": 2})
    again.record("worker/ns/a", {"n": 3})
    assert waiting(again) == [(3, "worker/ns/a", 3)]
    again.close()


@pytest.mark.parametrize("bytes_of_it", [b"no database at all" * 100, b""], ids=["damaged", "empty"])
def test_an_outbox_that_is_made_anew_has_another_origin(tmp_path: Path, bytes_of_it: bytes) -> None:
    before = opened(tmp_path)
    origin = before.origin
    before.close()
    (tmp_path / "node" / "events.db").write_bytes(bytes_of_it)
    outbox = opened(tmp_path)
    assert outbox.origin != origin
    assert len(outbox.origin) == 32
    outbox.record("worker/ns/a", {"n": 1})
    assert waiting(outbox) == [(1, "worker/ns/a", 1)]
    outbox.close()


def test_it_forgets_the_oldest_that_the_ground_holds_and_never_what_waits(tmp_path: Path) -> None:
    outbox = opened(tmp_path, most=3)
    for name in "abc":
        outbox.record(f"worker/ns/{name}", {"n": 1})
    with pytest.raises(NoSpace, match="3 subjects wait for the ground"):
        outbox.record("worker/ns/d", {"n": 1})
    outbox.record("worker/ns/a", {"n": 2})  # one that is known takes no more room
    outbox.acknowledge(2)  # b
    outbox.record("worker/ns/d", {"n": 1})
    assert outbox.last("worker/ns/b") is None
    assert [subject for _, subject, _ in waiting(outbox)] == ["worker/ns/c", "worker/ns/a", "worker/ns/d"]
    outbox.close()


@pytest.mark.parametrize(
    ("subject", "value", "message"),
    [
        ("Worker", {"n": 1}, "subject"),
        ("worker/a b", {"n": 1}, "subject"),
        ("worker/ns/a", {"n": "x" * 9_000}, "over the limit of 8000"),
    ],
)
def test_what_could_not_be_sent_is_refused_when_it_happens(
    outbox: NodeEventsFile, subject: str, value: dict[str, int | str], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        outbox.record(subject, dict(value))
    assert outbox.pending(0) == []


def test_more_than_one_batch_is_fetched_piece_by_piece(outbox: NodeEventsFile) -> None:
    for number in range(300):
        outbox.record(f"worker/ns/{number}", {"n": number})
    first = outbox.pending(0)
    assert len(first) < 300
    outbox.acknowledge(first[-1].sequence)
    assert [*first, *outbox.pending(0)][-1].value == {"n": 299}


def test_events_bear_the_time_at_which_they_happened(tmp_path: Path) -> None:
    clock = VirtualClock(START)
    outbox = NodeEventsFile(tmp_path / "events.db", clock)
    outbox.record("worker/ns/a", {"n": 1})
    clock.advance(timedelta(hours=13))
    assert outbox.pending(0)[0].at == START
    outbox.close()


@given(steps=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)) | st.integers(0, 12), max_size=30))
def test_the_ground_that_takes_events_in_any_rhythm_ends_with_the_last_words(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int] | int]
) -> None:
    outbox = opened(tmp_path_factory.mktemp("events"))
    happened: dict[str, int] = {}
    ground: dict[str, object] = {}
    for step in [*steps, 99]:
        if isinstance(step, tuple):
            name, number = step
            outbox.record(f"worker/ns/{name}", {"n": number})
            happened[f"worker/ns/{name}"] = number
            continue
        for event in outbox.pending(0)[:step]:
            ground[event.subject] = event.value["n"]
            outbox.acknowledge(event.sequence)
    assert ground == happened
    outbox.close()


def _record_without_end(folder: Path, told: Connection) -> None:
    outbox = opened(folder)
    for number in range(100_000):
        outbox.record("worker/ns/a", {"n": number})
        told.send(number)


def test_what_was_recorded_survives_a_kill(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    hears, tells = context.Pipe(duplex=False)
    process = context.Process(target=_record_without_end, args=(tmp_path, tells))
    process.start()
    tells.close()
    told = [int(hears.recv()) for _ in range(20)]
    process.kill()
    process.join()
    outbox = opened(tmp_path)
    last = outbox.last("worker/ns/a")
    assert last is not None
    assert int(str(last["n"])) >= told[-1]
    assert len(outbox.pending(0)) == 1
    outbox.close()
