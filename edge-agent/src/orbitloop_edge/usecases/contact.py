"""One contact session: what waits goes down, an update comes up, and a lost signal costs nothing twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from orbitloop.domain.errors import LinkClosed, NotYet, OrbitloopError, Refused, Untrusted
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.gateway import Gateway, Outbox, Transfer
from orbitloop.ports.spool import Spool
from orbitloop.wire.messages import Hello, Offer, Outcome, Telemetry, UpdateReport, Welcome
from orbitloop_edge.usecases.fetch import fetch_update

_log = logging.getLogger(__name__)

_PIECE = 16 * 2**10
"""Bytes between two looks at the progress: a tenth of a second at 1 Mbit/s."""


class Direction(StrEnum):
    """Which way bytes cross."""

    DOWN = "down"
    UP = "up"


OnUpdate = Callable[[Path, Offer], UpdateReport]
"""Proves and swaps the fetched update; its file is removed afterwards."""
OnProgress = Callable[[Direction, Bytes], None]
"""Called from two threads with the bytes that have just crossed."""


def _silent(_: Direction, __: Bytes) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What one contact is about.

    Args:
        flying: digest of the weights in service.
        budget: most bytes of bundles that may go down.
        telemetry: counters since launch.
    """

    flying: Digest
    budget: Bytes
    telemetry: Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """What one contact achieved.

    Args:
        bundles: bundles that the ground acknowledged.
        samples: samples in them.
        bytes_down: bytes of bundles that were sent, acknowledged or not.
        bytes_up: bytes of the update that arrived.
        update: what became of the update, if one was fetched or turned down.
        complete: nothing was left to do but for the budget: the signal held and nothing was refused.
        problems: why it is not complete.
    """

    bundles: int
    samples: int
    bytes_down: Bytes
    bytes_up: Bytes
    update: Outcome | None
    complete: bool
    problems: tuple[str, ...]
