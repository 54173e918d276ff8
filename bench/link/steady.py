"""A clean pass at the nominal rates, both ways at once: what share of them becomes acknowledged payload."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.link.mission import DOWN, UP, Call, Mission
from bench.live import Running, Stage

_ARTIFACT = 30_000_000
_DATAGRAM = 8_000
"""Bytes; a clean link loses none of them, and the headers, which are charged, weigh less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """One clean pass.

    Args:
        down, up: acknowledged payload over rate times the pass.
        satellite_cpu, ground_cpu, link_cpu: processor seconds over the pass, of one core.
    """

    down: float
    up: float
    satellite_cpu: float
    ground_cpu: float
    link_cpu: float


def measure(folder: Path, *, layer: str, seconds: float) -> Steady:
    """Fly one pass of ``seconds`` through the emulator, from a full spool and with a large artifact to fetch."""
    mission = Mission(folder, layer=layer, datagram=_DATAGRAM)
    mission.load(int(DOWN / 8 * seconds * 1.05))
    artifact = mission.offer(_ARTIFACT)
    with Stage(mission.folder / "logs") as stage:
        said = mission.serve(stage).said
        windows = mission.windows(seconds, after=6.0)
        link = stage.run(
            "link",
            *(
                "python",
                "-m",
                "orbitloop_mission.space_link",
                "--json",
                "--down",
                "100Mbit",
                "--up",
                "1Mbit",
                "--delay",
                "4ms",
            ),
            *("--plan", str(mission.plan), "--ground", f"127.0.0.1:{said['gateway']}"),
            *("--ground-datagrams", f"127.0.0.1:{said['datagrams']}"),
        )
        call = Call(gateway=f"127.0.0.1:{link.said['port']}", datagrams=f"127.0.0.1:{link.said['datagrams']}")
        satellite = mission.fly(stage, call, planned=True)
        processes: tuple[Running, ...] = (satellite, stage["ground"], link)
        _sleep_until(windows[0].aos)
        before = [process.cpu_seconds() for process in processes]
        _sleep_until(windows[0].los)
        spent = [process.cpu_seconds() - was for process, was in zip(processes, before, strict=True)]
        time.sleep(2.0)
        return Steady(
            down=mission.acknowledged() * 8 / (DOWN * seconds),
            up=mission.fetched(artifact) * 8 / (UP * seconds),
            satellite_cpu=spent[0] / seconds,
            ground_cpu=spent[1] / seconds,
            link_cpu=spent[2] / seconds,
        )


def _sleep_until(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def last_status(log: Path) -> dict[str, object]:
    """The last line of a link's status."""
    return dict(json.loads(log.read_text().splitlines()[-1]))
