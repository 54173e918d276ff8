"""A CFDP entity that rests between passes."""

from __future__ import annotations

import threading
from collections.abc import Collection
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from orbitloop.adapters.plans import WatchedPlan
from orbitloop.domain.contacts import ContactWindow, window_at
from orbitloop.domain.errors import BadInput
from orbitloop.ports.clock import Clock
from orbitloop.ports.signal import FollowsSignal

_LOOK_S = 0.5


class FollowedContacts:
    """Suspends and resumes an entity by a contact plan, for as long as the ``with`` block lasts.

    An entity is suspended as a whole: it is resumed while any of its satellites can be heard.

    Args:
        entity: the entity.
        plan: the contact plan as CSV; read again when it changes.
        satellites: whose windows count; those that name no satellite always do.
        clock: the time.

    Raises:
        BadInput: the plan cannot be read, or names none of the satellites.
    """

    def __init__(self, entity: FollowsSignal, plan: Path, satellites: Collection[str], clock: Clock) -> None:
        self._entity = entity
        self._plan = WatchedPlan(plan, partial(_windows_of, satellites))
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cfdp-contacts", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            self._look()

    def _look(self) -> None:
        if window_at(self._plan.current(), self._clock.now()) is None:
            self._entity.suspend()
        else:
            self._entity.resume()


def _windows_of(satellites: Collection[str], plan: tuple[ContactWindow, ...]) -> tuple[ContactWindow, ...]:
    found = tuple(window for window in plan if window.satellite in ("", *satellites))
    if not found:
        named = ", ".join(sorted(satellites))
        raise BadInput(f"the contact plan has no window of {named}: CFDP would never speak; plan their passes too")
    return found
