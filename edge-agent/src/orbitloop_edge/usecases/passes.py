"""When to hold a contact session, and with whom: the plan followed, lost signals tried again, stations changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orbitloop.domain.contacts import ContactWindow, next_window, turns, window_at, windows_of
from orbitloop.domain.errors import BadInput

_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 8.0
_LEAST_GAP_S = 1.0
"""Between two sessions of one window, however much comes in."""
LONGEST_WAIT_S = 5.0
"""Nothing is waited for longer without looking at the clock again, since that may have been set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often sessions take place.

    Args:
        interval: between two sessions where there is no contact plan.
        poll: between two sessions of one window when nothing new waits, to ask for an offer.
    """

    interval: timedelta = timedelta(seconds=60)
    poll: timedelta = timedelta(seconds=15)

    def __post_init__(self) -> None:
        if min(self.interval, self.poll) <= timedelta(0):
            raise BadInput("the interval between sessions must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A station that can be heard: until ``los``, or nobody knows how long."""

    station: str
    los: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Itinerary:
    """Who can be heard when.

    Args:
        windows: the contact plan; ``None`` where there is none: then every station may be tried at any time.
        stations: names of the stations that can be reached, in order of preference.
    """

    windows: tuple[ContactWindow, ...] | None
    stations: tuple[str, ...]

    @staticmethod
    def of(plan: tuple[ContactWindow, ...] | None, satellite: str, stations: tuple[str, ...]) -> Itinerary:
        """The turns of ``satellite`` with those of its stations that it can reach.

        Raises:
            BadInput: the plan has no window of this satellite, or none over a station that it knows.
        """
        if plan is None:
            return Itinerary(windows=None, stations=stations)
        planned = windows_of(plan, satellite)
        reachable = [window for window in planned if window.station in stations]
        if planned and not reachable:
            names = ", ".join(sorted({window.station for window in planned}))
            raise BadInput(
                f"the contact plan is for {names}, but {satellite} knows {', '.join(stations)}; name one alike"
            )
        return Itinerary(windows=turns(reachable), stations=stations)

    def opening(self, now: datetime, attempt: int) -> Opening | None:
        """Whom to call at ``now``; without a plan, a failed attempt leads on to the next station."""
        if self.windows is None:
            return Opening(station=self.stations[attempt % len(self.stations)])
        window = window_at(self.windows, now)
        return None if window is None else Opening(station=window.station, los=window.los)

    def next(self, now: datetime) -> ContactWindow | None:
        """The first window that begins after ``now``."""
        return None if self.windows is None else next_window(self.windows, now)


@dataclass(slots=True, kw_only=True)
class Cadence:
    """Whether it is time for a session; moments are monotonic seconds.

    Args:
        rhythm: how often.
    """

    rhythm: Rhythm
    failures: int = 0
    _opening: Opening | None = None
    _due: float = field(default=0.0)
    _early: float = field(default=0.0)
    _waiting: int = field(default=0)

    def due(self, opening: Opening, moment: float, waiting: int) -> bool:
        """Whether to hold a session now: a window has begun, the pause is over, or something new waits.

        Args:
            waiting: samples and reports that wait.
        """
        if self._opening is None or (opening.los is not None and opening != self._opening):
            self._opening = opening
            self.failures = 0
            return True
        fresh = self.failures == 0 and waiting > self._waiting
        return moment >= (self._early if fresh else self._due)

    def held(self, *, complete: bool, moment: float, waiting: int) -> None:
        """A session has ended."""
        self._waiting = waiting
        self.failures = 0 if complete else self.failures + 1
        opening = self._opening
        if complete:
            pause = self.rhythm.interval if opening is None or opening.los is None else self.rhythm.poll
            self._due = moment + pause.total_seconds()
        else:
            self._due = moment + min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** min(self.failures - 1, 10))
        self._early = moment + _LEAST_GAP_S

    def put_off(self, moment: float) -> None:
        """Something on board kept a session from beginning; that says nothing of the link."""
        self._due = self._early = moment + _LEAST_GAP_S

    def closed(self) -> None:
        """No station can be heard."""
        self._opening = None
