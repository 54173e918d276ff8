"""Which bytes are here and which are missing, against plain sets."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.ranges import Span, Spans

SIZE = 60
pairs = st.lists(
    st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).filter(lambda pair: pair[0] < pair[1]), max_size=8
)


def members(spans: Spans) -> set[int]:
    return {byte for span in spans for byte in range(span.start, span.end)}


@given(pairs)
def test_spans_hold_what_was_put_in_and_never_touch(given_pairs: list[tuple[int, int]]) -> None:
    spans = Spans.of(given_pairs)
    assert members(spans) == {byte for start, end in given_pairs for byte in range(start, end)}
    assert spans.count == len(members(spans))
    ordered = list(spans)
    assert all(left.end < right.start for left, right in itertools.pairwise(ordered))


@given(pairs, st.integers(0, SIZE))
def test_what_is_here_and_what_is_missing_make_the_whole(given_pairs: list[tuple[int, int]], size: int) -> None:
    spans = Spans.of(given_pairs)
    missing = members(spans.missing(size))
    assert missing == set(range(size)) - members(spans)
    assert spans.prefix == next((byte for byte in range(SIZE + 1) if byte not in members(spans)), SIZE + 1)


@given(pairs, st.integers(0, SIZE))
def test_the_first_bytes_are_the_lowest_ones(given_pairs: list[tuple[int, int]], most: int) -> None:
    spans = Spans.of(given_pairs)
    assert members(spans.first(most)) == set(sorted(members(spans))[:most])


@given(pairs, st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(sorted))
def test_adding_is_union_and_holds_says_so(given_pairs: list[tuple[int, int]], more: list[int]) -> None:
    spans = Spans.of(given_pairs).add(*more)
    assert members(spans) == members(Spans.of(given_pairs)) | set(range(*more))
    assert more[0] == more[1] or spans.holds(*more)


@pytest.mark.parametrize(("start", "end"), [(3, 3), (4, 3), (-1, 2)], ids=["empty", "backwards", "below zero"])
def test_what_is_no_span_is_refused(start: int, end: int) -> None:
    with pytest.raises(BadInput, match="no span"):
        Span(start, end)
