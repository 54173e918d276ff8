"""What one contact session comes to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from orbitloop.domain.errors import LinkClosed, OrbitloopError
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes
from orbitloop.wire.messages import UpdateReport


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """What one contact achieved.

    Args:
        bundles: bundles that the ground acknowledged.
        samples: samples in them.
        bytes_down: bytes of bundles that were sent, acknowledged or not.
        bytes_up: bytes of the update and of the desired state that arrived.
        events: node events that the ground acknowledged.
        update: what became of an update that was fetched or turned down.
        complete: the signal held and nothing was refused; what still waits, waits for another budget.
        problems: why it is not complete.
    """

    bundles: int
    samples: int
    bytes_down: Bytes
    bytes_up: Bytes
    events: int
    update: Outcome | None
    complete: bool
    problems: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What a contact that is under way has achieved so far; its threads share it."""

    bundles: int = 0
    samples: int = 0
    events: int = 0
    crossed: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    report: UpdateReport | None = None
    linked: bool = True
    problems: list[str] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def arrived(self, samples: int) -> None:
        """The ground holds another bundle."""
        with self.guard:
            self.bundles += 1
            self.samples += samples

    def summary(self) -> SessionSummary:
        """The same as it stands now."""
        return SessionSummary(
            bundles=self.bundles,
            samples=self.samples,
            bytes_down=Bytes(self.crossed[Direction.DOWN]),
            bytes_up=Bytes(self.crossed[Direction.UP]),
            events=self.events,
            update=self.report.outcome if self.report else None,
            complete=not self.problems,
            problems=tuple(self.problems),
        )

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Let a problem end one part of the session and leave the others to go on."""
        try:
            yield
        except OrbitloopError as error:
            self.linked &= not isinstance(error, LinkClosed)
            self.problems.append(str(error))
