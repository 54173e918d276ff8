"""Every clock keeps one contract; the mission's also runs by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop.ports.clock import Clock
from orbitloop.testing.clocks import VirtualClock
from orbitloop_mission.embedded.clock import MissionClock

LAUNCH = datetime(2024, 3, 29, 12, tzinfo=UTC)

AnyClock = VirtualClock | MissionClock


@pytest.fixture(
    params=[VirtualClock, MissionClock, partial(MissionClock, realtime=True)],
    ids=["virtual", "mission", "mission in real time"],
)
def make(request: pytest.FixtureRequest) -> Callable[[datetime], AnyClock]:
    factory: Callable[[datetime], AnyClock] = request.param
    return factory


def test_a_clock_starts_where_it_is_told_and_speaks_utc(make: Callable[[datetime], AnyClock]) -> None:
    clock: Clock = make(LAUNCH.astimezone(timezone(timedelta(hours=8))))
    now = clock.now()
    assert now >= LAUNCH
    assert now.tzinfo is UTC


def test_a_clock_never_goes_back(make: Callable[[datetime], AnyClock]) -> None:
    clock = make(LAUNCH)
    seen = [clock.now() for _ in range(200)]
    clock.advance_to(LAUNCH - timedelta(days=1))
    seen.append(clock.now())
    assert seen == sorted(seen)


def test_advancing_reaches_the_moment(make: Callable[[datetime], AnyClock]) -> None:
    clock = make(LAUNCH)
    clock.advance_to(LAUNCH + timedelta(milliseconds=30))
    assert clock.now() >= LAUNCH + timedelta(milliseconds=30)


def test_a_moment_without_zone_is_refused(make: Callable[[datetime], AnyClock]) -> None:
    with pytest.raises(BadInput, match="no time zone"):
        make(LAUNCH.replace(tzinfo=None))
    with pytest.raises(BadInput, match="no time zone"):
        make(LAUNCH).advance_to(LAUNCH.replace(tzinfo=None))


def test_threads_that_advance_one_clock_never_see_it_go_back(make: Callable[[datetime], AnyClock]) -> None:
    clock = make(LAUNCH)
    backwards = threading.Event()

    def hurry() -> None:
        last = clock.now()
        for step in range(50):
            clock.advance_to(LAUNCH + timedelta(microseconds=step * 100))
            now = clock.now()
            if now < last:
                backwards.set()
            last = now

    threads = [threading.Thread(target=hurry) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not backwards.is_set()
    assert clock.now() >= LAUNCH + timedelta(microseconds=4_900)


def test_virtual_time_stands_still_until_it_is_advanced() -> None:
    clock = VirtualClock(LAUNCH)
    assert clock.now() == clock.now() == LAUNCH
    clock.advance(timedelta(days=14))
    assert clock.now() == LAUNCH + timedelta(days=14)
    with pytest.raises(BadInput, match="cannot go back"):
        clock.advance(timedelta(seconds=-1))


def test_a_mission_runs_at_wall_speed_and_jumps_between_passes() -> None:
    clock = MissionClock(LAUNCH)
    began = time.monotonic()
    clock.advance_to(LAUNCH + timedelta(hours=13))
    time.sleep(0.02)
    passed = clock.now() - LAUNCH - timedelta(hours=13)
    assert timedelta(seconds=0.019) <= passed <= timedelta(seconds=time.monotonic() - began + 0.001)


def test_a_mission_in_real_time_waits_for_the_moment() -> None:
    began = time.monotonic()
    MissionClock(LAUNCH, realtime=True).advance_to(LAUNCH + timedelta(milliseconds=50))
    assert time.monotonic() - began >= 0.049
