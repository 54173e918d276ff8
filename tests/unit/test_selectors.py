"""Ways to choose tiles, behind one interface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.mining import MiningRule, mining_rule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.selectors import Selection, entropy_of, selection_named, selector
from orbitloop.domain.units import Bytes
from orbitloop.domain.value import Candidate, Choice, Seen, Worth
from orbitloop.testing.builders import a_candidate

EASY, DOUBTFUL, EMPTY = [0.97], [0.5, 0.55], list[float]()


def chosen(
    selection: Selection,
    tiles: list[Candidate],
    budget: int = 10**6,
    *,
    rule: MiningRule | None = None,
    seen: Seen | None = None,
    seed: int = 0,
) -> list[Choice]:
    chance = np.random.default_rng(seed)
    choose = selector(selection, rule or mining_rule("CloudOnly"), Worth())
    return choose(tiles, Bytes(budget), seen or Seen(), lambda: float(chance.random()))


def numbers(choices: Sequence[Choice]) -> list[int]:
    return [choice.candidate.window.x0 // 320 for choice in choices]


@given(
    selection=st.sampled_from(Selection),
    sizes=st.lists(st.integers(100, 4_000), max_size=10),
    budget=st.integers(0, 15_000),
)
def test_no_selector_exceeds_its_bytes_or_sends_a_tile_twice(
    selection: Selection, sizes: list[int], budget: int
) -> None:
    tiles = [a_candidate(number, scores=[0.4], size=size) for number, size in enumerate(sizes)]
    choices = chosen(selection, tiles, budget)
    assert sum(choice.candidate.size for choice in choices) <= budget
    assert len(set(numbers(choices))) == len(choices)


@pytest.mark.parametrize("selection", Selection)
def test_the_same_chance_gives_the_same_choice(selection: Selection) -> None:
    tiles = [a_candidate(number, scores=[0.1 * number]) for number in range(8)]
    assert numbers(chosen(selection, tiles, 4_000)) == numbers(chosen(selection, tiles, 4_000))
    assert chosen(selection, []) == []


@pytest.mark.parametrize(("rule", "order"), [("IBT", [1, 2]), ("CrossEntropy", [1, 2])])
def test_hard_tiles_go_by_degree_and_those_without_boxes_last(rule: str, order: list[int]) -> None:
    tiles = [a_candidate(number, scores=scores) for number, scores in enumerate((EASY, DOUBTFUL, EMPTY))]
    assert (
        numbers(chosen(Selection.HARD, tiles, rule=mining_rule(rule, {"threshold_box": 0.6} if rule == "IBT" else {})))
        == order
    )


def test_entropy_is_that_of_every_detection() -> None:
    assert entropy_of(a_candidate(scores=[0.5, 0.5])) == pytest.approx(2 * np.log(2))
    assert entropy_of(a_candidate(scores=[1.0])) == pytest.approx(0, abs=1e-6)
    tiles = [a_candidate(number, scores=scores) for number, scores in enumerate((EASY, DOUBTFUL, EMPTY))]
    assert numbers(chosen(Selection.ENTROPY, tiles)) == [1, 0, 2]


def test_a_core_set_takes_what_is_farthest_from_all_before_it() -> None:
    tiles = [a_candidate(number, signature=look) for number, look in enumerate((1, 1, 2, 3))]
    seen = Seen()
    seen.add(tiles[2].signature)
    first = numbers(chosen(Selection.CORE_SET, tiles, 2_000, seen=seen))
    assert 2 not in first
    assert 3 in first
    assert len({0, 1} & set(first)) == 1


def test_chance_sends_other_tiles_each_time_and_everything_all_in_order() -> None:
    tiles = [a_candidate(number) for number in range(20)]
    assert numbers(chosen(Selection.RANDOM, tiles, 5_000)) != numbers(chosen(Selection.RANDOM, tiles, 5_000, seed=1))
    assert numbers(chosen(Selection.EVERYTHING, tiles)) == list(range(20))


def test_an_unknown_selection_is_refused_with_those_there_are() -> None:
    assert selection_named(str(LinkPolicy().selection)) is LinkPolicy().selection
    with pytest.raises(BadInput, match=r"'Best' is unknown; use one of Value.*CoreSet"):
        selection_named("Best")
