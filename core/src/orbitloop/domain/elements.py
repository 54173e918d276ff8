"""Orbital elements as they are published: two-line element sets, with their checksums.

The form is that of T.S. Kelso, "Frequently Asked Questions: Two-Line Element Set Format" (CelesTrak).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from orbitloop.domain.contacts import EARTH_MU_KM3_PER_S2, EQUATORIAL_RADIUS_KM, HIGHEST_KM, LOWEST_KM
from orbitloop.domain.errors import BadInput

LINE = 69
"""Characters of a line, the checksum included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoLine:
    """A two-line element set.

    Args:
        name: of the satellite; its catalogue number where the set has no title line.
        first: line 1, 69 characters.
        second: line 2.

    Raises:
        BadInput: a line has another form or a wrong checksum, the two are of different satellites, or the orbit is
            not a low one.
    """

    name: str
    first: str
    second: str

    def __post_init__(self) -> None:
        for number, line in ((1, self.first), (2, self.second)):
            _check_line(self.name, number, line)
        if self.first[2:7] != self.second[2:7]:
            raise BadInput(
                f"elements of {self.name}: lines of two satellites, {self.first[2:7]} and {self.second[2:7]}"
            )
        _number(self.name, "epoch", self.first[18:32])
        low, high = self._heights()
        if low < LOWEST_KM or high > HIGHEST_KM:
            raise BadInput(
                f"elements of {self.name}: {low:.0f} to {high:.0f} km is not a low Earth orbit "
                f"({LOWEST_KM} to {HIGHEST_KM} km)"
            )

    def _heights(self) -> tuple[float, float]:
        """Heights of perigee and apogee over the equator, in km, by Kepler's third law."""
        revolutions = _number(self.name, "mean motion", self.second[52:63])
        eccentricity = _number(self.name, "eccentricity", "0." + self.second[26:33].strip())
        if revolutions <= 0:
            raise BadInput(f"elements of {self.name}: mean motion {revolutions} revolutions a day is none")
        radians_per_s = revolutions * math.tau / 86_400
        axis = math.cbrt(EARTH_MU_KM3_PER_S2 / radians_per_s**2)
        return axis * (1 - eccentricity) - EQUATORIAL_RADIUS_KM, axis * (1 + eccentricity) - EQUATORIAL_RADIUS_KM


def checksum(line: str) -> int:
    """The last digit of a line: the sum of its digits, a minus counted as one, modulo ten."""
    return sum(1 if sign == "-" else int(sign) for sign in line[: LINE - 1] if sign == "-" or sign in "0123456789") % 10


def read_elements(text: str) -> tuple[TwoLine, ...]:
    """The sets in ``text``, each with or without a title line (which may begin with ``0``).

    Raises:
        BadInput: a line is out of place or wrong; the message names its number.
    """
    found: list[TwoLine] = []
    title, first = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.rstrip()
        if not stripped:
            continue
        if first:
            found.append(_set(title or first[2:7].strip(), first, stripped, number))
            title = first = ""
        elif stripped.startswith("1 ") and len(stripped) == LINE:
            first = stripped
        elif title or stripped.startswith(("1 ", "2 ")):
            raise BadInput(f"line {number}: {stripped!r} is not line 1 of a set of {LINE} characters")
        else:
            title = stripped.removeprefix("0 ").strip()
    if title or first:
        raise BadInput(f"the last set, of {title or first[2:7]}, is not complete")
    if not found:
        raise BadInput("no two-line elements in it")
    return tuple(found)


def choose_satellites(sets: Iterable[TwoLine], names: Iterable[str]) -> tuple[TwoLine, ...]:
    """The sets of these satellites, in the order asked for; all if no name is given.

    Raises:
        BadInput: a name is unknown, or a satellite has two sets.
    """
    known: dict[str, TwoLine] = {}
    for one in sets:
        if one.name in known:
            raise BadInput(f"satellite {one.name} has two sets of elements; keep the newer one")
        known[one.name] = one
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in known:
            raise BadInput(f"satellite {name!r} is not among {', '.join(known)}")
    return tuple(known[name] for name in wanted) if wanted else tuple(known.values())


def _set(name: str, first: str, second: str, number: int) -> TwoLine:
    try:
        return TwoLine(name=name, first=first, second=second)
    except BadInput as error:
        raise BadInput(f"lines {number - 1} and {number}: {error}") from error


def _check_line(name: str, number: int, line: str) -> None:
    if len(line) != LINE or not line.isascii() or line[:2] != f"{number} ":
        raise BadInput(f"elements of {name}: {line!r} is not line {number} of a set of {LINE} characters")
    if line[-1] != str(checksum(line)):
        raise BadInput(f"elements of {name}: line {number} ends in {line[-1]}, its checksum is {checksum(line)}")


def _number(name: str, what: str, digits: str) -> float:
    try:
        return float(digits)
    except ValueError as error:
        raise BadInput(f"elements of {name}: {what} {digits!r} is not a number") from error
