"""The best selection logic is the best: against every choice there is."""

from __future__ import annotations

from itertools import product as every

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbitloop.domain.density import Downlink, Product, carried, density
from orbitloop.domain.errors import BadInput
from orbitloop.domain.optimum import Point, best_at, best_of, best_within, products_of, sweep, undominated, worth
from orbitloop.domain.selection import Discard, Grade, Option, Raw, Run, SelectionLogic, Tiling

SHARES = st.integers(0, 12).map(lambda part: part / 12)
TIMES = st.integers(0, 8).map(lambda part: part / 4)


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    contexts = draw(st.integers(1, 3))
    options = {}
    for index in range(contexts):
        size = draw(SHARES)
        value = size * draw(SHARES)
        found = [
            Option(action=Discard(), seconds=0.0, products=()),
            Option(action=Raw(), seconds=0.0, products=(Product(size=size, value=value),)),
        ]
        for model in range(draw(st.integers(0, 4))):
            sizes = draw(st.lists(SHARES, min_size=1, max_size=3))
            made = tuple(Product(size=sent / len(sizes), value=sent / len(sizes) * draw(SHARES)) for sent in sizes)
            found.append(Option(action=Run(model=f"m{model}", threshold=0.5), seconds=draw(TIMES), products=made))
        options[f"c{index}"] = found
    return Tiling(tiles=2, overhead=draw(TIMES), options=options)


def by_hand(tiling: Tiling, link: Downlink) -> tuple[float, float]:
    """The most value of all choices within the deadline, and the least time that it takes."""
    choices = [
        (
            round(worth(products_of(choice), link.capacity), 12),
            -round(tiling.overhead + sum(option.seconds for option in choice), 9),
        )
        for choice in every(*tiling.options.values())
        if tiling.overhead + sum(option.seconds for option in choice) <= link.deadline
    ]
    value, seconds = max(choices)
    return value, -seconds


@settings(max_examples=120, deadline=None)
@given(tilings(), st.integers(1, 12), st.integers(1, 16))
def test_no_choice_within_the_deadline_is_better(tiling: Tiling, capacity: int, quarters: int) -> None:
    link = Downlink(capacity=capacity / 12, deadline=quarters / 4)
    point = best_within(tiling, 0.3, link)
    if point is None:
        assert tiling.overhead > link.deadline
        return
    assert point.meets
    value, seconds = by_hand(tiling, link)
    assert worth(products_of(option for _, option in point.choice), link.capacity) == pytest.approx(value, abs=1e-9)
    assert point.seconds == pytest.approx(seconds, abs=1e-9)
    sent = carried(products_of(option for _, option in point.choice), link.capacity)
    assert point.density == pytest.approx(sent / link.capacity, abs=1e-9)
    assert list(point.actions) == list(tiling.options)


@settings(max_examples=25, deadline=None)
@given(tilings(), st.integers(1, 12))
def test_the_same_question_has_the_same_answer(tiling: Tiling, capacity: int) -> None:
    link = Downlink(capacity=capacity / 12, deadline=1.5)
    assert best_at(tiling, 0.3, link) == best_at(tiling, 0.3, link)


@settings(max_examples=25, deadline=None)
@given(tilings(), st.integers(1, 12), st.integers(1, 8))
def test_more_time_is_worth_no_less(tiling: Tiling, capacity: int, quarters: int) -> None:
    short = best_within(tiling, 0.3, Downlink(capacity=capacity / 12, deadline=quarters / 4))
    long = best_within(tiling, 0.3, Downlink(capacity=capacity / 12, deadline=quarters / 2))
    if short is not None:
        assert long is not None
        values = [worth(products_of(option for _, option in each.choice), capacity / 12) for each in (short, long)]
        assert values[1] >= values[0] - 1e-9


def option(name: str, seconds: float, size: float, value: float) -> Option:
    made = (Product(size=size, value=value),)
    return Option(action=Run(model=name, threshold=0.5), seconds=seconds, products=made)


def raw(size: float, value: float) -> Option:
    return Option(action=Raw(), seconds=0.0, products=(Product(size=size, value=value),))


RAW = (Grade(threshold=0.0, worth=0.4),)
NOTHING = Option(action=Discard(), seconds=0.0, products=())


def test_a_valuable_context_is_sent_raw_where_time_is_short() -> None:
    """The regime of the soft deadline: time goes to where filtering gains most."""
    tiling = Tiling(
        tiles=4,
        overhead=0.5,
        options={
            "city": [option("small", 1.0, 0.45, 0.45), raw(0.5, 0.48), NOTHING],
            "sea": [option("small", 1.0, 0.05, 0.05), raw(0.5, 0.05), NOTHING],
        },
    )
    short = best_within(tiling, 0.5, Downlink(capacity=0.5, deadline=1.5))
    long = best_within(tiling, 0.5, Downlink(capacity=0.5, deadline=2.5))
    assert short is not None
    assert long is not None
    assert short.actions == {"city": Raw(), "sea": Run(model="small", threshold=0.5)}
    assert long.density == pytest.approx(1.0)
    assert long.actions["city"] == Run(model="small", threshold=0.5)


def test_idle_compute_is_claimed_for_a_longer_pass() -> None:
    tiling = Tiling(
        tiles=1,
        overhead=0.0,
        options={
            "rich": [option("small", 0.1, 0.5, 0.5), raw(0.6, 0.5), NOTHING],
            "poor": [option("small", 0.1, 0.1, 0.05), raw(0.4, 0.05), NOTHING],
        },
    )
    idle = best_within(tiling, 0.55, Downlink(capacity=0.27, deadline=1.0))
    busy = best_within(tiling, 0.55, Downlink(capacity=0.27, deadline=0.1))
    assert idle is not None
    assert busy is not None
    assert idle.actions["poor"] == Run(model="small", threshold=0.5)
    assert (idle.density, busy.density) == (1.0, 1.0)
    assert busy.actions["poor"] == Raw()


def test_what_no_pass_has_room_for_is_not_even_looked_at() -> None:
    tiling = Tiling(
        tiles=1,
        overhead=0.0,
        options={
            "rich": [option("small", 0.1, 0.5, 0.5), raw(0.6, 0.5), NOTHING],
            "poor": [NOTHING, option("small", 0.1, 0.1, 0.05), raw(0.4, 0.05)],
        },
    )
    found = best_at(tiling, 0.55, Downlink(capacity=0.1, deadline=1.0))
    assert found.actions["poor"] == Discard()


def test_where_nothing_meets_the_deadline_the_densest_is_taken_and_it_is_said() -> None:
    slow = Tiling(tiles=8, overhead=4.0, options={"all": [option("small", 1.0, 0.2, 0.2), raw(1.0, 0.3)]})
    slower = Tiling(tiles=16, overhead=8.0, options=slow.options)
    link = Downlink(capacity=0.2, deadline=2.0)
    point = best_of(sweep([slow, slower], 0.3, link))
    assert not point.meets
    assert (point.tiles, point.seconds) == (8, 5.0)
    assert point.density == pytest.approx(density([Product(size=0.2, value=0.2)], 5.0, 0.3, link))


def test_frames_are_shed_only_where_that_is_clearly_denser() -> None:
    meets = Point(tiles=1, choice=(), seconds=1.0, density=0.4, meets=True)
    hardly = Point(tiles=2, choice=(), seconds=3.0, density=0.415, meets=False)
    clearly = Point(tiles=2, choice=(), seconds=3.0, density=0.45, meets=False)
    assert best_of([hardly, meets]) is meets
    assert best_of([hardly, meets, clearly]) is clearly


def test_a_small_link_is_filled_by_fewer_frames_that_are_looked_at_longer() -> None:
    options = {"all": [NOTHING, raw(1.0, 0.2), option("rough", 1.0, 0.2, 0.12), option("sure", 4.0, 0.2, 0.2)]}
    tiling = Tiling(tiles=1, overhead=0.0, options=options)
    small, large = Downlink(capacity=0.05, deadline=1.0), Downlink(capacity=0.2, deadline=1.0)
    shed = best_at(tiling, 0.2, small)
    assert (shed.meets, shed.density) == (False, 1.0)
    assert best_at(tiling, 0.2, large).meets


@settings(max_examples=40, deadline=None)
@given(tilings(), st.integers(1, 12), st.integers(1, 16))
def test_shedding_is_never_worse_than_what_meets_the_deadline(tiling: Tiling, capacity: int, quarters: int) -> None:
    link = Downlink(capacity=capacity / 12, deadline=quarters / 4)
    within, best = best_within(tiling, 0.3, link), best_at(tiling, 0.3, link)
    assert within is None or best.density >= within.density - 1e-9


def test_the_search_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    tiling = Tiling(tiles=1, overhead=0.0, options={"all": [NOTHING]})
    sweep([tiling, tiling], 0.5, Downlink(capacity=0.5, deadline=1.0), lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_half_a_dozen_contexts_with_a_dozen_models_are_no_matter() -> None:
    options = {
        f"c{context}": [
            NOTHING,
            raw(1 / 6, (context + 1) / 6 / 7),
            *(
                option(f"m{model}", (model + 1) * 0.01, size := 0.12 * (model + 3) / 13, size * (context + 20) / 34)
                for model in range(12)
            ),
        ]
        for context in range(6)
    }
    point = best_at(Tiling(tiles=4, overhead=0.1, options=options), 0.5, Downlink(capacity=0.4, deadline=0.4))
    assert point.meets
    assert point.density > 0.5


def test_a_context_without_an_action_is_refused() -> None:
    with pytest.raises(BadInput, match="no action to choose from"):
        Tiling(tiles=1, overhead=0.0, options={"all": []})


def test_nothing_to_choose_from_is_refused() -> None:
    with pytest.raises(BadInput, match="no number of tiles"):
        best_of([])


def test_a_logic_has_an_answer_for_contexts_that_it_does_not_know() -> None:
    logic = SelectionLogic(
        tiles=2,
        cells=8,
        table={"sea": Discard(), "unknown": Run(model="reference", threshold=0.5)},
        grades={"sea": (), "unknown": (Grade(threshold=0.5, worth=0.4),)},
    )
    assert logic.action("sea") == Discard()
    assert logic.action("moon") == Run(model="reference", threshold=0.5)
    assert logic.models == ("reference",)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"table": {"sea": Discard()}, "grades": {"sea": ()}}, "unlike all contexts"),
        ({"grades": {}}, "what that is worth"),
        ({"grades": {"unknown": ()}}, "do not begin where its action does"),
        ({"grades": {"unknown": (Grade(threshold=0.5, worth=0.4),)}}, "do not begin where its action does"),
        ({"cells": 9}, "cannot be dealt out"),
    ],
)
def test_a_logic_that_cannot_be_followed_is_refused(changes: dict[str, object], complaint: str) -> None:
    given: dict[str, object] = {"tiles": 2, "cells": 8, "table": {"unknown": Raw()}, "grades": {"unknown": RAW}}
    with pytest.raises(BadInput, match=complaint):
        SelectionLogic(**(given | changes))  # type: ignore[arg-type]  # a table of a constructor's arguments


def test_a_grade_is_made_of_shares() -> None:
    with pytest.raises(BadInput, match=r"in \[0, 1\]"):
        Grade(threshold=0.5, worth=2.0)


def test_an_option_that_is_worth_no_more_at_any_price_goes() -> None:
    sharp, blunt, slow = option("sharp", 1.0, 0.2, 0.2), option("blunt", 1.0, 0.3, 0.2), option("slow", 2.0, 0.2, 0.2)
    rich = option("rich", 1.0, 0.6, 0.4)
    assert undominated([blunt, sharp, slow, rich, sharp, NOTHING]) == [sharp, rich, NOTHING]
