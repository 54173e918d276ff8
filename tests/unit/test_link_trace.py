"""Recorded passes: read strictly, replayed frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Bytes
from orbitloop_mission.space_link.gates import TraceGate
from orbitloop_mission.space_link.trace import FRAME_PAYLOAD, FrameClock, Trace, read_trace

A_SECOND = 1_000_000_000
FADING = Trace(frames=(10, 0, 0, 4), bad=(2, 0, 0, 4))

seconds = st.integers(0, 50).flatmap(lambda frames: st.tuples(st.just(frames), st.integers(0, frames)))
traces = (
    st.lists(seconds, min_size=1, max_size=8)
    .filter(lambda rows: any(frames for frames, _ in rows))
    .map(lambda rows: Trace(frames=tuple(frames for frames, _ in rows), bad=tuple(bad for _, bad in rows)))
)


def clock(trace: Trace, seed: int = 0) -> FrameClock:
    return FrameClock(trace, np.random.default_rng(seed))


def gate(trace: Trace, slack: int = 0) -> TraceGate:
    return TraceGate(trace, slack, np.random.default_rng(0))


def test_a_trace_is_read_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "pass.csv"
    file.write_text("second,frames,bad_frames\n0,10,2\n1,0,0\n2,0,0\n3,4,4\n")
    assert read_trace(file) == FADING
    assert FADING.good_payload == 8 * FRAME_PAYLOAD
    assert FADING.peak == 10 * FRAME_PAYLOAD * 8


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: the columns must be second,frames,bad_frames"),
        ("second,frames\n0,1\n", "line 1: the columns must be"),
        ("second,frames,bad_frames\n", "no seconds"),
        ("second,frames,bad_frames\n0,5,1\n1,5\n", "line 3: 2 cells"),
        ("second,frames,bad_frames\n0,5,1\n\n1,5,0\n", "line 3: 0 cells"),
        ("second,frames,bad_frames\n0,5,1\n2,5,1\n", "line 3: second 2 where 1 is due"),
        ("second,frames,bad_frames\n0,5,1\n0,5,1\n", "line 3: second 0 where 1 is due"),
        ("second,frames,bad_frames\n0,5,6\n", "line 2: 6 bad frames of 5"),
        ("second,frames,bad_frames\n0,-5,0\n", "line 2: frames '-5' is no whole number"),
        ("second,frames,bad_frames\n0,5.0,0\n", "line 2: frames '5.0' is no whole number"),
        ("second,frames,bad_frames\n0, 5,0\n", "line 2: frames ' 5' is no whole number"),
        ("second,frames,bad_frames\n0,99999999999,0\n", "line 2: frames '99999999999'"),
        ("second,frames,bad_frames\n0,999999999,0\n", "frames; this one has 999,999,999"),
        ("second,frames,bad_frames\n0,0,0\n", "this one has 0"),
        ('second,frames,bad_frames\n0,"5,0\n', "no CSV text"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "pass.csv"
    file.write_text(text)
    with pytest.raises(BadInput, match=complaint) as refused:
        read_trace(file)
    assert str(refused.value).startswith(str(file))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pass.csv"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="no CSV text"):
        read_trace(file)


@given(trace=traces, seed=st.integers(0, 1_000))
def test_every_second_has_its_frames_and_its_bad_ones(trace: Trace, seed: int) -> None:
    frames = clock(trace, seed)
    assert frames.total == sum(trace.frames)
    for second, (count, bad) in enumerate(zip(trace.frames, trace.bad, strict=True)):
        first, end = frames.first_after(second * A_SECOND), frames.first_after((second + 1) * A_SECOND)
        assert end - first == count
        assert frames.bad_between(first, end) == bad


@given(trace=traces)
def test_frames_end_one_after_another_and_are_found_by_their_end(trace: Trace) -> None:
    frames = clock(trace)
    ends = [frames.end(number) for number in range(frames.total)]
    assert ends == sorted(set(ends))
    for number, end in enumerate(ends):
        assert frames.first_after(end - 1) == number
        assert frames.first_after(end) == number + 1


def test_the_seed_says_which_frames_are_bad() -> None:
    trace = Trace(frames=(1_000,), bad=(100,))

    def bad(seed: int) -> list[int]:
        frames = clock(trace, seed)
        return [number for number in range(1_000) if frames.bad_between(number, number + 1)]

    assert bad(1) == bad(1)
    assert bad(1) != bad(2)


def test_bytes_take_whole_frames_and_wait_through_a_fade() -> None:
    replay = gate(FADING)
    first = replay.reserve(Bytes(FRAME_PAYLOAD + 1), 0)
    assert first is not None
    assert first.at == 2 * A_SECOND // 10
    rest = replay.reserve(Bytes(9 * FRAME_PAYLOAD), 0)  # eight before the fade, one behind it
    assert rest is not None
    assert rest.at == 3 * A_SECOND + A_SECOND // 4
    assert first.bad + rest.bad == 2 + 1


def test_the_pass_begins_with_the_first_bytes() -> None:
    replay = gate(FADING)
    leave = replay.reserve(FRAME_PAYLOAD, 77 * A_SECOND)
    assert leave is not None
    assert leave.at == 77 * A_SECOND + A_SECOND // 10


@pytest.mark.parametrize(
    ("slack", "frames", "end"),
    [
        pytest.param(0, 2, 6, id="none: the fifth and the sixth"),
        pytest.param(A_SECOND // 5, 3, 5, id="two frames' worth: from the third on"),
    ],
)
def test_frames_that_nobody_used_are_gone_but_for_the_slack(slack: int, frames: int, end: int) -> None:
    replay = gate(FADING, slack)
    replay.reserve(FRAME_PAYLOAD, 0)
    leave = replay.reserve(Bytes(frames * FRAME_PAYLOAD), A_SECOND // 2 - 1)
    assert leave is not None
    assert leave.at == end * A_SECOND // 10


def test_after_the_last_frame_nothing_leaves_any_more() -> None:
    replay = gate(FADING)
    assert replay.reserve(Bytes(14 * FRAME_PAYLOAD), 0) is not None
    assert replay.reserve(Bytes(1), 0) is None


@given(trace=traces, moments=st.lists(st.integers(0, 9 * A_SECOND), min_size=1, max_size=9).map(sorted))
def test_no_more_is_carried_than_was_offered(trace: Trace, moments: list[int]) -> None:
    replay = gate(trace)
    carried = 0
    for moment in moments:
        leave = replay.reserve(FRAME_PAYLOAD, moment)
        if leave is None:
            break
        carried += FRAME_PAYLOAD * (leave.bad == 0)
        assert leave.at > moment
        assert replay.offered(leave.at) >= carried
    assert replay.offered(10**12) == trace.good_payload


def test_a_lost_signal_frees_the_frames_that_were_taken_ahead() -> None:
    replay = gate(FADING)
    replay.reserve(Bytes(9 * FRAME_PAYLOAD), 0)
    replay.clear(0)
    again = replay.reserve(FRAME_PAYLOAD, 0)
    assert again is not None
    assert again.at == A_SECOND // 10


def test_each_pass_replays_the_trace_and_what_was_offered_adds_up() -> None:
    replay = gate(FADING)
    replay.reserve(Bytes(1), 0)
    replay.restart(4 * A_SECOND)
    assert replay.offered(5 * A_SECOND) == FADING.good_payload
    replay.reserve(Bytes(1), 5 * A_SECOND)
    assert replay.offered(9 * A_SECOND) == 2 * FADING.good_payload
