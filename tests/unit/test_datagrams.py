"""Parsers of datagrams: whatever arrives, a value or one refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput, NoSpace, NotYet, OrbitloopError, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.wire import datagrams as wire
from orbitloop.wire.datagram_messages import (
    MOST_SPANS,
    Purpose,
    Question,
    Reply,
    Request,
    Standing,
    bounded,
    failed,
    packed,
    raised,
    spans_of,
    unpacked,
)
from orbitloop.wire.datagrams import Accept, Kind, Open, Options, Report

PARSERS: list[Callable[[bytes], object]] = [
    wire.kind_of,
    wire.parse_open,
    wire.parse_accept,
    wire.parse_data,
    wire.parse_repair,
    wire.parse_report,
    wire.parse_fragment,
    lambda data: unpacked(data, Question),
    lambda data: unpacked(data, Reply),
    lambda data: unpacked(data, Request),
]
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", fullmatch=True)
spans = st.lists(st.integers(0, 2**32 - 1), max_size=40, unique=True).map(
    lambda cuts: Spans.of(list(zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False)))
)


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x1a" + bytes(10))
def test_arbitrary_bytes_give_a_value_or_are_refused(data: bytes) -> None:
    for parse in PARSERS:
        try:
            parse(data)
        except BadInput:
            continue


@given(spans, st.integers(0, 255), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_report_is_read_as_it_was_written(gaps: Spans, number: int, stopped: bool, highest: int) -> None:
    report = Report(object=number, stopped=stopped, highest=highest, upto=2**32 - 1, gaps=gaps)
    assert wire.parse_report(wire.pack_report(report)) == report


@given(spans, st.data())
def test_a_damaged_report_never_names_gaps_out_of_order(gaps: Spans, data: st.DataObject) -> None:
    body = bytearray(wire.pack_report(Report(object=1, stopped=False, highest=5, upto=9, gaps=gaps)))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = list(wire.parse_report(bytes(body)).gaps)
    except BadInput:
        return
    assert found == sorted(found)
    assert all(span.start < span.end for span in found)


@given(names, st.binary(min_size=16, max_size=16), st.integers(0, 3), st.integers(200, 8_972))
def test_an_opening_is_read_as_it_was_written_and_is_no_shorter_than_its_answer(
    name: str, nonce: bytes, options: int, datagram: int
) -> None:
    wanted = Open(satellite=name, nonce=nonce, options=Options(options), datagram=datagram)
    assert wire.parse_open(wanted.signed() + bytes(16)) == (wanted, bytes(16))
    accept = Accept(session=7, nonce=nonce, options=Options(options), datagram=datagram)
    assert wire.parse_accept(accept.signed() + bytes(16)) == (accept, bytes(16))
    assert len(accept.signed()) <= len(wanted.signed())
    assert len(wire.reset(1, 2)) < wire.HEADER.size + wire.TAG


@given(st.binary(max_size=20_000), st.integers(200, 8_972))
def test_fragments_make_the_message_again(message: bytes, datagram: int) -> None:
    bodies = wire.fragments(5, message, datagram)
    parts = [wire.parse_fragment(body) for body in bodies]
    assert b"".join(part[3] for part in parts) == message
    assert {part[:1] + part[2:3] for part in parts} == {(5, len(bodies))}
    assert all(len(body) + wire.HEADER.size + wire.TAG <= datagram for body in bodies)


def test_a_message_too_long_for_its_fragments_is_refused() -> None:
    with pytest.raises(BadInput, match="shorten"):
        wire.fragments(1, bytes(100_000), 200)


def test_unknown_kinds_and_versions_are_passed_over() -> None:
    assert wire.kind_of(b"\x17rest") is None
    assert wire.kind_of(b"\x28rest") is None
    assert wire.kind_of(bytes([wire.lead(Kind.DATA)])) is Kind.DATA


def test_a_default_datagram_fills_one_frame_of_the_recorded_downlink() -> None:
    assert wire.symbol_size(1_008 - wire.IP_UDP) == 952
    assert wire.symbol_size(980) + wire.OVERHEAD == 980


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=200, unique=True).map(sorted))
def test_spans_are_told_and_understood(cuts: list[int]) -> None:
    told = Spans.of(list(zip(cuts[::2], cuts[1::2], strict=False)))
    assert spans_of(bounded(told, 10**6 + 1), 10**6 + 1) == told


def test_too_many_spans_are_told_as_more_than_they_are_and_never_less() -> None:
    many = Spans.of((start, start + 1) for start in range(0, 4 * MOST_SPANS, 2))
    told = spans_of(bounded(many, 4 * MOST_SPANS), 4 * MOST_SPANS)
    assert len(told.spans) == MOST_SPANS
    assert all(told.holds(span.start, span.end) for span in many)
    assert Standing(missing=bounded(many, 4 * MOST_SPANS)).missing


@pytest.mark.parametrize("pairs", [((5, 5),), ((3, 2),), ((0, 11),), ((-1, 4),)], ids=str)
def test_impossible_spans_are_refused(pairs: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(BadInput):
        spans_of(pairs, 10)


@pytest.mark.parametrize("error", [BadInput("a"), Untrusted("b"), NotYet("c"), NoSpace("d")], ids=repr)
def test_an_error_of_the_ground_is_raised_on_board_as_the_same_kind(error: OrbitloopError) -> None:
    with pytest.raises(type(error), match=str(error)):
        raised(unpacked(packed(failed(error)), Reply))


def test_what_is_asked_is_read_as_it_was_written() -> None:
    asked = Question(purpose=Purpose.HELLO, body="{}")
    assert unpacked(packed(asked), Question) == asked


def test_a_message_that_unpacks_to_too_much_is_refused() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(10 * 2**20))
    with pytest.raises(BadInput, match="unpacks to"):
        unpacked(bomb, Question)
