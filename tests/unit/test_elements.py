"""Two-line elements: read as published, refused with the line at fault."""

from __future__ import annotations

import pytest

from orbitloop.domain.elements import TwoLine, checksum, choose_satellites, read_elements
from orbitloop.domain.errors import BadInput

FIRST = "1 99001U 24001A   24089.00000000  .00000000  00000-0  20000-4 0    08"
SECOND = "2 99001  97.3710  40.0000 0012000  90.0000   0.0000 15.24928548    02"
OTHER_FIRST = "1 99002U 24001A   24089.00000000  .00000000  00000-0  20000-4 0    09"
OTHER_SECOND = "2 99002  97.3710  40.0000 0012000  90.0000  12.0000 15.24928548    06"
FAR_FIRST = "1 99003U 24001A   24089.00000000  .00000000  00000-0  20000-4 0    00"
FAR_SECOND = "2 99003   0.1000   0.0000 0012000  90.0000   0.0000  1.00273907    05"


def text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def summed(line: str) -> str:
    """``line`` with the checksum that it should have."""
    return line[:-1] + str(checksum(line))


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (text(FIRST, SECOND), ["99001"]),
        (text("BUPT-1  ", FIRST, SECOND), ["BUPT-1"]),
        (text("0 BUPT-1", FIRST, SECOND, "", "TWO", OTHER_FIRST, OTHER_SECOND), ["BUPT-1", "TWO"]),
        (text("BUPT-1", FIRST, SECOND).replace("\n", "\r\n"), ["BUPT-1"]),
    ],
    ids=["two lines", "three lines", "several", "line ends of Windows"],
)
def test_elements_are_read_as_they_are_published(given: str, names: list[str]) -> None:
    sets = read_elements(given)
    assert [one.name for one in sets] == names
    assert (sets[0].first, sets[0].second) == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("", "no two-line elements in it"),
        (text("BUPT-1", FIRST), "the last set, of BUPT-1, is not complete"),
        (text("BUPT-1", "and", FIRST), "line 2: 'and' is not line 1 of a set"),
        (text(FIRST[:-1], SECOND), "line 1: .* is not line 1 of a set of 69 characters"),
        (text(FIRST, FIRST), "lines 1 and 2: .* is not line 2"),
        (text(FIRST[:-1] + "7", SECOND), "lines 1 and 2: elements of 99001: line 1 ends in 7, its checksum is 8"),
        (text(FIRST, SECOND.replace("97.3710", "97.3711")), "line 2 ends in 2, its checksum is 3"),
        (text(FIRST, OTHER_SECOND), "lines of two satellites, 99001 and 99002"),
        (text(FAR_FIRST, FAR_SECOND), "is not a low Earth orbit"),
        (
            text(FIRST, summed(SECOND.replace("15.24928548", "1x.24928548"))),
            "mean motion '1x.24928548' is not a number",
        ),
        (text(FIRST, summed(SECOND.replace("15.24928548", " 0.00000000"))), "mean motion 0.0 revolutions"),
        (text(summed(FIRST.replace("24089.0", "2408x.0")), SECOND), "epoch '2408x.00000000' is not a number"),
    ],
    ids=[
        "nothing",
        "cut short",
        "two titles",
        "no checksum",
        "no second line",
        "wrong checksum",
        "a digit changed",
        "mixed up",
        "geostationary",
        "letters",
        "at rest",
        "no epoch",
    ],
)
def test_elements_that_are_damaged_are_refused(given: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        read_elements(given)


def test_satellites_are_chosen_by_name() -> None:
    sets = read_elements(text("ONE", FIRST, SECOND, "TWO", OTHER_FIRST, OTHER_SECOND))
    assert [one.name for one in choose_satellites(sets, ())] == ["ONE", "TWO"]
    assert [one.name for one in choose_satellites(sets, ("TWO", "TWO"))] == ["TWO"]
    with pytest.raises(BadInput, match="satellite 'THREE' is not among ONE, TWO"):
        choose_satellites(sets, ("THREE",))


def test_two_sets_of_one_satellite_are_refused() -> None:
    one = TwoLine(name="ONE", first=FIRST, second=SECOND)
    with pytest.raises(BadInput, match="satellite ONE has two sets"):
        choose_satellites((one, one), ())
