"""What every review queue promises, in memory and in a ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.postgresql import PostgreSQL

from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Overtaken, Proposal, Review, ReviewQueue, Verdict
from orbitloop.testing.reviews import MemoryReviews, a_proposal, a_truth
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.restorable import RestorableLedger
from orbitloop_ground.usecases.labelling import Desk

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WINDOW = Window(x0=416, y0=0, width=416, height=320)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A queue, and another process's view of it."""

    queue: Desk
    again: Callable[[], Desk]


@pytest.fixture(params=["memory", "SQLite", "PostgreSQL", "SQLite with a journal"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        queue = MemoryReviews()
        yield Store(queue=queue, again=lambda: queue)
        return
    if request.param == "SQLite":
        opens: Callable[[], Ledger] = partial(Ledger, f"sqlite:///{tmp_path / 'ledger.db'}")
    elif request.param == "PostgreSQL":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        opens = partial(Ledger, server.database())
    else:
        opens = partial(RestorableLedger, tmp_path / "ledger.db")
    with ExitStack() as stack:

        def opened() -> Ledger:
            ledger = opens()
            stack.callback(ledger.close)
            return ledger

        yield Store(queue=opened(), again=opened)


def a_name(number: int) -> Digest:
    return digest_of(str(number).encode())


def a_verdict(truth: Truth | None, *, after: int | None = None) -> Verdict:
    return Verdict(truth=truth, who="ana", at=NOON, after=after)


def propose(queue: ReviewQueue, *numbers: int, proposal: Proposal | None = None) -> None:
    for number in numbers:
        queue.propose(a_name(number), f"frames/{number}.png", WINDOW, proposal or a_proposal())


def names(reviews: list[Review]) -> list[Digest]:
    return [review.sample for review in reviews]


def rows(truth: Truth | None) -> list[list[float]] | None:
    return None if truth is None else np.column_stack([truth.boxes, truth.labels]).tolist()


def test_what_was_proposed_waits_in_its_order_bit_for_bit(store: Store) -> None:
    propose(store.queue, 3, 1, 2)
    waits = store.again().pending()
    assert names(waits) == [a_name(3), a_name(1), a_name(2)]
    assert names(store.queue.pending(2)) == [a_name(3), a_name(1)]
    assert (waits[0].frame, waits[0].window, waits[0].verdict, waits[0].revision) == ("frames/3.png", WINDOW, None, 0)
    sent = a_proposal()
    for field in ("boxes", "labels", "confidence", "doubtful"):
        found = getattr(waits[0].proposal, field)
        assert found.dtype == getattr(sent, field).dtype
        np.testing.assert_array_equal(found, getattr(sent, field))


def test_a_tile_without_boxes_may_be_proposed_and_decided(store: Store) -> None:
    propose(store.queue, 1, proposal=a_proposal(0))
    assert store.queue.pending()[0].proposal.boxes.shape == (0, 4)
    store.queue.decide(a_name(1), a_truth(), "ana", NOON)
    assert rows(store.again().decided()[a_name(1)]) == []


def test_proposing_again_keeps_the_place_and_takes_the_last_opinion(store: Store) -> None:
    propose(store.queue, 1, 2)
    propose(store.queue, 1)
    propose(store.queue, 1, proposal=a_proposal(1))
    waits = store.queue.pending()
    assert names(waits) == [a_name(1), a_name(2)]
    assert [len(review.proposal.boxes) for review in waits] == [1, 2]


def test_a_decision_leaves_the_queue_and_is_kept_with_who_and_when(store: Store) -> None:
    propose(store.queue, 1, 2, 3)
    truth = a_truth((1.5, 2, 30.25, 40, 0), (50, 60, 70, 80, 1))
    store.queue.decide(a_name(1), truth, "ana", NOON)
    store.queue.decide(a_name(2), None, "ben", NOON + timedelta(seconds=1, microseconds=3))
    seen = store.again()
    assert names(seen.pending()) == [a_name(3)]
    assert {name: rows(found) for name, found in seen.decided().items()} == {a_name(1): rows(truth), a_name(2): None}
    first, second = seen.reviews(pending=False)
    assert first.verdict is not None
    assert second.verdict is not None
    assert (first.verdict.who, first.verdict.at, first.revision) == ("ana", NOON, 1)
    assert (second.verdict.who, second.verdict.at) == ("ben", NOON + timedelta(seconds=1, microseconds=3))
    assert names(seen.reviews()) == [a_name(1), a_name(2), a_name(3)]


@pytest.mark.parametrize("truth", [a_truth((1, 2, 3, 4, 0)), None], ids=["labelled", "rejected"])
def test_a_late_proposal_opens_nothing_again(store: Store, truth: Truth | None) -> None:
    propose(store.queue, 1)
    store.queue.decide(a_name(1), truth, "ana", NOON)
    propose(store.queue, 1, proposal=a_proposal(3))
    assert store.queue.pending() == []
    assert rows(store.queue.decided()[a_name(1)]) == rows(truth)
    found = store.queue.review(a_name(1))
    assert found is not None
    assert len(found.proposal.boxes) == 2


def test_the_same_decision_again_changes_nothing_and_another_one_counts(store: Store) -> None:
    propose(store.queue, 1)
    boxes = (1, 2, 3, 4, 0), (5, 6, 7, 8, 1)
    store.queue.decide(a_name(1), a_truth(*boxes), "ana", NOON)
    store.queue.decide(a_name(1), a_truth(*reversed(boxes)), "ben", NOON + timedelta(hours=1))
    same = store.queue.review(a_name(1))
    assert same is not None
    assert same.verdict is not None
    assert (same.verdict.who, same.verdict.at, same.revision) == ("ana", NOON, 1)
    store.queue.decide(a_name(1), None, "ben", NOON + timedelta(hours=2))
    other = store.again().review(a_name(1))
    assert other is not None
    assert other.verdict is not None
    assert (other.verdict.who, other.verdict.truth, other.revision) == ("ben", None, 2)


@pytest.mark.parametrize(
    ("wrong", "truth", "why"),
    [
        (7, a_truth(), "not in the review queue"),
        (2, a_truth((400, 0, 420, 20, 0)), "leaves its tile of 416x320"),
        (2, a_truth((-5, 0, 20, 20, 0)), "leaves its tile"),
    ],
    ids=["unknown", "right of the tile", "left of the tile"],
)
def test_all_are_decided_or_none(store: Store, wrong: int, truth: Truth, why: str) -> None:
    propose(store.queue, 1, 2)
    with pytest.raises(BadInput, match=why):
        store.queue.decide_all(
            {
                a_name(1): Verdict(truth=None, who="ana", at=NOON),
                a_name(wrong): Verdict(truth=truth, who="ana", at=NOON),
            }
        )
    assert names(store.again().pending()) == [a_name(1), a_name(2)]
    assert store.queue.decided() == {}


def test_how_many_decisions_were_new_is_told(store: Store) -> None:
    propose(store.queue, 1, 2)
    verdicts = {a_name(1): a_verdict(a_truth((1, 2, 3, 4, 0)))}
    assert store.queue.decide_all(verdicts) == 1
    assert store.queue.decide_all(verdicts | {a_name(2): a_verdict(None)}) == 1
    assert store.queue.decide_all({}) == 0


def test_who_decides_on_what_another_has_decided_since_is_told(store: Store) -> None:
    propose(store.queue, 1, 2)
    assert store.queue.decide_all({a_name(1): a_verdict(a_truth((1, 2, 3, 4, 0)), after=0)}) == 1
    assert store.queue.decide_all({a_name(1): a_verdict(a_truth((1, 2.04, 3, 4, 0)), after=0)}) == 0, "the same"
    with pytest.raises(Overtaken, match="ana has decided otherwise since"):
        store.queue.decide_all({a_name(2): a_verdict(None, after=0), a_name(1): a_verdict(None, after=0)})
    assert names(store.again().pending()) == [a_name(2)]
    assert store.queue.decide_all({a_name(1): a_verdict(None, after=1)}) == 1
    assert store.queue.decided() == {a_name(1): None}


def test_several_may_decide_at_once_and_one_of_them_is_first(store: Store) -> None:
    propose(store.queue, *range(6))
    outcomes: list[int] = []

    def work(queue: ReviewQueue, who: str, x: float) -> None:
        for number in range(6):
            verdict = Verdict(truth=a_truth((x, 2, x + 9, 4, 0)), who=who, at=NOON, after=0)
            try:
                outcomes.append(queue.decide_all({a_name(number): verdict}))
            except Overtaken:
                outcomes.append(0)

    queues = [store.again() for _ in range(3)]
    threads = [threading.Thread(target=work, args=(queue, f"p{n}", 10.0 * n)) for n, queue in enumerate(queues)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(outcomes), sum(outcomes)) == (18, 6)
    assert {review.revision for review in store.queue.reviews()} == {1}


def test_a_tile_that_was_never_proposed_is_not_there(store: Store) -> None:
    assert store.queue.review(a_name(1)) is None
    assert store.queue.reviews() == []


def test_a_proposal_outside_its_tile_is_refused(store: Store) -> None:
    with pytest.raises(BadInput, match="leaves its tile"):
        propose(store.queue, 1, proposal=a_proposal(1, at=400))
    assert store.queue.reviews() == []


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": np.zeros((2, 4), np.float32)},
        {"boxes": np.full((2, 4), np.nan, np.float32)},
        {"boxes": np.ones((3, 4), np.float32)},
        {"labels": np.array([0, -1])},
        {"confidence": np.array([0.5, 1.5], np.float32)},
        {"confidence": np.array([0.5, np.nan], np.float32)},
        {"doubtful": np.array([True])},
    ],
    ids=["no area", "not a number", "too many", "negative class", "above one", "confidence no number", "too few"],
)
def test_what_is_no_proposal_is_refused(change: dict[str, np.ndarray]) -> None:
    good = {name: getattr(a_proposal(), name) for name in ("boxes", "labels", "confidence", "doubtful")}
    with pytest.raises(BadInput):
        Proposal(**(good | change))


def test_a_verdict_needs_a_name() -> None:
    with pytest.raises(BadInput, match="who decided"):
        Verdict(truth=None, who="  ", at=NOON)


def test_the_last_opinion_on_a_tile_is_kept_as_it_was_said(store: Store) -> None:
    said = replace(a_proposal(3), agreement=np.array([1.0, 0.5, 0.25], np.float32))
    store.queue.record_opinions("small", {a_name(0): a_proposal(1), a_name(1): a_proposal(0)})
    store.queue.record_opinions("large", {a_name(0): said})
    found = store.again().opinions([a_name(0), a_name(1), a_name(2)])
    assert found.keys() == {a_name(0), a_name(1)}
    for name in ("boxes", "labels", "confidence", "doubtful", "agreement"):
        np.testing.assert_array_equal(getattr(found[a_name(0)], name), getattr(said, name))
    assert found[a_name(1)].boxes.shape == (0, 4)
    assert found[a_name(1)].agreement is None
    assert store.queue.opinions([a_name(0), a_name(1)], "small").keys() == {a_name(1)}
    assert store.queue.opinions([]) == {}


def test_more_opinions_than_one_statement_may_ask_for_are_all_found(store: Store) -> None:
    thought = {a_name(number): a_proposal(1) for number in range(1_200)}
    store.queue.record_opinions("large", thought)
    assert store.again().opinions(list(thought)).keys() == thought.keys()
