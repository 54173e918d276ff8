"""What the Local Controller costs while nobody hears it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bench.link.mission import Call, Mission
from bench.live import Stage, until

_SETTLE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Between passes, after one in which samples went down, without an inference worker.

    Args:
        resident_mb: resident memory, MB.
        cpu: share of one core.
    """

    resident_mb: float
    cpu: float


def measure(folder: Path, *, layer: str, seconds: float = 30.0) -> Idle:
    """Hold one contact in a pass of 8 s, then watch for ``seconds``."""
    mission = Mission(folder, layer=layer)
    mission.load(5_000_000)
    with Stage(mission.folder / "logs") as stage:
        said = mission.serve(stage).said
        mission.windows(8.0, 8.0, after=3.0, gap=3_600.0)
        call = Call(gateway=f"127.0.0.1:{said['gateway']}", datagrams=f"127.0.0.1:{said['datagrams']}")
        satellite = mission.fly(stage, call, planned=True)
        until(
            lambda: any(session["bundles"] for session in mission.told("session_ended")), seconds=30, what="a contact"
        )
        time.sleep(8.0 + _SETTLE_S)
        before = satellite.cpu_seconds()
        time.sleep(seconds)
        return Idle(resident_mb=satellite.resident_mb(), cpu=(satellite.cpu_seconds() - before) / seconds)
