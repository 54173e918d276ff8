"""Who passes whom, and when: the roster of a ContactPlan and its passes ahead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from orbitloop.api.orbitloop_v1alpha1.contact_plan import MOST_WINDOWS, ContactPlan
from orbitloop.api.orbitloop_v1alpha1.ground_station import GroundStation
from orbitloop.api.orbitloop_v1alpha1.satellite import Satellite
from orbitloop.api.parts import Resource
from orbitloop.api.rules import checked
from orbitloop.domain.contacts import ContactWindow, Station, resolve
from orbitloop.domain.digests import digest_of
from orbitloop.domain.elements import TwoLine
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import View

MOST_PAIRS = 400
"""Satellites times stations in one plan."""
_MOST_PAIR_DAYS = 200
"""Satellites times stations times days that are computed at once: about a second, in which nothing else is done."""
_API_VERSION = "orbitloop.io/v1alpha1"

_Kind = TypeVar("_Kind", bound=Resource)


class Predictor(Protocol):
    """Passes of one satellite over one station."""

    def __call__(self, orbit: TwoLine, station: Station, start: datetime, days: float, /) -> tuple[ContactWindow, ...]:
        """Every pass within ``days`` from ``start``, in order; the windows name satellite, station and antenna.

        Raises:
            BadInput: the elements are too old.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Whose passes a plan is about.

    Args:
        satellites: elements of those that have some.
        stations: where they can be heard.
        hours: how far ahead.
        missing: what is named and not there, as ``Kind name``.
        complaints: what is there and cannot be used, each with the remedy.
        known_satellites: names of all in the namespace.
        known_stations: names of all in the namespace.
    """

    satellites: tuple[TwoLine, ...]
    stations: tuple[Station, ...]
    hours: int
    missing: tuple[str, ...]
    complaints: tuple[str, ...]
    known_satellites: frozenset[str]
    known_stations: frozenset[str]

    @classmethod
    def of(cls, plan: ContactPlan, view: View) -> Roster:
        """Everything that the plan names, or all of its namespace."""
        satellites, orbits = _named(plan, view, Satellite, plan.spec.satellites)
        stations, places = _named(plan, view, GroundStation, plan.spec.stations)
        without = [one.name for one in satellites if not one.spec.elements]
        grounded = [f"Satellite {name} has no elements: give it some, or give windows" for name in without]
        return cls(
            satellites=tuple(_elements(one) for one in satellites if one.spec.elements),
            stations=tuple(one.spec.to_domain(one.name) for one in stations),
            hours=plan.spec.horizon_hours,
            missing=(*orbits.missing, *places.missing),
            complaints=(*orbits.complaints, *grounded, *places.complaints),
            known_satellites=orbits.known,
            known_stations=places.known,
        )

    def digest(self) -> str:
        """What all windows depend on, the time apart."""
        said = {
            "satellites": [asdict(one) for one in self.satellites],
            "stations": [asdict(one) for one in self.stations],
            "hours": self.hours,
            "lacks": [*self.missing, *self.complaints],
        }
        return digest_of(json.dumps(said, sort_keys=True).encode())

    def unknown_in(self, windows: Iterable[ContactWindow]) -> tuple[str, ...]:
        """What given windows name and is not there, as ``Kind name``."""
        satellites = {
            f"Satellite {one.satellite}" for one in windows if one.satellite not in {"", *self.known_satellites}
        }
        stations = {f"GroundStation {one.station}" for one in windows if one.station not in self.known_stations}
        return (*sorted(satellites), *sorted(stations))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Passes ahead.

    Args:
        windows: in order of acquisition; of one antenna, one at a time.
        until: they are all up to here.
        complaints: why there are none of some satellites.
    """

    windows: tuple[ContactWindow, ...]
    until: datetime
    complaints: tuple[str, ...]


def predicted(roster: Roster, predict: Predictor, start: datetime) -> Ahead:
    """The passes from ``start`` on: the first :data:`MOST_WINDOWS`, or all to the horizon, or as far as is bearable.

    Raises:
        BadInput: there are too many pairs.
    """
    pairs = len(roster.satellites) * len(roster.stations)
    if pairs > MOST_PAIRS:
        raise BadInput(
            f"{len(roster.satellites)} satellites and {len(roster.stations)} stations are {pairs} pairs, and a plan "
            f"takes {MOST_PAIRS}; name fewer in spec.satellites and spec.stations, and make several plans"
        )
    ahead = _within(roster, predict, start, min(roster.hours / 24, _MOST_PAIR_DAYS / max(pairs, 1)))
    if len(ahead.windows) <= MOST_WINDOWS:
        return ahead
    until = ahead.windows[MOST_WINDOWS].aos
    return Ahead(windows=ahead.windows[:MOST_WINDOWS], until=until, complaints=ahead.complaints)


def _within(roster: Roster, predict: Predictor, start: datetime, days: float) -> Ahead:
    found: list[ContactWindow] = []
    complaints = list(roster.complaints)
    for satellite in roster.satellites:
        try:
            for station in roster.stations:
                found += predict(satellite, station, start, days)
        except BadInput as error:
            complaints.append(str(error))
    windows, _ = resolve(found)
    return Ahead(windows=windows, until=start + timedelta(days=days), complaints=tuple(complaints))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gaps:
    """What of a kind is named and cannot be used, and the names of all of that kind."""

    missing: tuple[str, ...]
    complaints: tuple[str, ...]
    known: frozenset[str]


def _named(plan: ContactPlan, view: View, kind: type[_Kind], names: Sequence[str]) -> tuple[list[_Kind], _Gaps]:
    """The resources of a kind that a plan is about, by name."""
    known = {str(one["metadata"]["name"]): one for one in view.all(_API_VERSION, kind.kind_name, plan.namespace)}
    wanted = tuple(dict.fromkeys(names)) or tuple(known)
    found: list[_Kind] = []
    complaints: list[str] = []
    for name in wanted:
        if name not in known:
            continue
        try:
            resource = checked(known[name])
        except BadInput as error:
            complaints.append(str(error))
        else:
            assert isinstance(resource, kind)
            found.append(resource)
    if not known and not names:
        complaints.append(f"namespace {plan.namespace} has no {kind.kind_name}: create one, or give windows")
    missing = tuple(f"{kind.kind_name} {name}" for name in wanted if name not in known)
    return found, _Gaps(missing=missing, complaints=tuple(complaints), known=frozenset(known))


def _elements(satellite: Satellite) -> TwoLine:
    first, second = satellite.spec.elements
    return TwoLine(name=satellite.name, first=first, second=second)
