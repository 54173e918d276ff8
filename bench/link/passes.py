"""A model of 30 MB at 1 Mbit/s: as many passes as it takes, and how much of it crossed more than once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bench.link.mission import Call, Mission
from bench.live import Stage, until

from orbitloop.wire.datagrams import symbol_size

_PASS_S, _GAP_S = 50.0, 3.0
_DATAGRAM = 980
"""Bytes; fills one frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What it took.

    Args:
        passes: passes in which bytes of it came up.
        sent: bytes of all datagrams that the ground gave to its modem, those without a signal among them.
        unheard: datagrams of them that no signal carried: sent while the ground had not noticed the end of a pass.
        carried: bytes of the model that so many bytes of datagrams hold at most.
        resent: what of that is more than the model, over its size; never less than what was really sent twice, since
            answers and probes count as if they held bytes of it.
    """

    passes: int
    sent: int
    unheard: int
    carried: int
    resent: float


def measure(folder: Path, *, size: int = 30_000_000) -> Carried:
    """Let a satellite fetch ``size`` bytes by datagrams over passes of 50 s, each ended in mid-transfer."""
    mission = Mission(folder, layer="datagrams", datagram=_DATAGRAM)
    artifact = mission.offer(size)
    needed = int(size * 8 / 1e6 / _PASS_S) + 3
    with Stage(mission.folder / "logs") as stage:
        said = mission.serve(stage).said
        mission.windows(*[_PASS_S] * needed, after=5.0, gap=_GAP_S)
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
        mission.fly(stage, call, planned=True)
        until(
            lambda: mission.fetched(artifact) == size,
            seconds=needed * (_PASS_S + _GAP_S) + 10,
            what=f"{size} bytes on board",
            every=1.0,
        )
        until(lambda: mission.told("session_ended")[-1]["bytes_up"] > 0, seconds=_PASS_S + 5, what="the session's end")
        brought = [int(session["bytes_up"]) for session in mission.told("session_ended")]
        time.sleep(2.0)  # the link tells once a second
        upward = link.last["upward"]
    sent = int(upward["bytes"])
    carried = sent * symbol_size(_DATAGRAM) // _DATAGRAM
    return Carried(
        passes=sum(each > 0 for each in brought),
        sent=sent,
        unheard=int(upward["unheard"]),
        carried=carried,
        resent=(carried - size) / size,
    )
