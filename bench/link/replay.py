"""A recorded pass, replayed for us and for the peers: what share of its good frames' payload was acknowledged.

    python -m bench.link.replay WHO --trace FILE [--folder build/link]

WHO is one of ``datagrams`` and ``https`` (orbitloop's layers), ``http`` (no resume), ``tus`` (tuspy on our gateway) and
``cfdp`` (cfdp-py). Satellite and ground live in network namespaces, and every IP packet of theirs, acknowledgements and
retransmissions included, occupies one frame of the pass or is lost with it; upward there are 1 Mbit/s. Needs root.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from bench.link.mission import UP, Call, Mission
from bench.live import Stage, until

from orbitloop.domain.traffic import Direction
from orbitloop_mission.space_link.hosts import Host, two_hosts
from orbitloop_mission.space_link.packets import PacketLink
from orbitloop_mission.space_link.profile import LinkProfile
from orbitloop_mission.space_link.trace import FRAME_PAYLOAD, Trace, read_trace

FILE_BYTES = 2_000_000
"""Size of a peer's files; also about that of a bundle."""
_AFTERWARDS_S = 3.0
_PORT = 8_400

WHO = ("datagrams", "https", "http", "tus", "cfdp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of one replay.

    Args:
        acknowledged: bytes of payload that the receiver has confirmed.
        offered: payload of the pass's good frames, bytes.
        sent: bytes of packets that the satellite gave to its modem.
        delivered: of those, bytes of packets that came down.
        upward: bytes of packets that went up.
    """

    who: str
    acknowledged: int
    offered: int
    sent: int
    delivered: int
    upward: int

    @property
    def fraction(self) -> float:
        """Acknowledged over offered."""
        return self.acknowledged / self.offered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    who: str
    folder: Path
    trace: Trace
    satellite: Host
    ground: Host

    @property
    def seconds(self) -> float:
        """How long to send: the pass, and a little for what is still to be said."""
        return float(len(self.trace.frames)) + _AFTERWARDS_S


def measure(who: str, trace: Trace, folder: Path) -> Replayed:
    """Replay the pass once."""
    profile = LinkProfile(uplink=UP, delay=timedelta(milliseconds=5), trace=trace)
    with (
        two_hosts(prefix=f"orbitloop-{who}", network=f"10.77.{WHO.index(who)}", mtu=FRAME_PAYLOAD) as hosts,
        PacketLink(*hosts, profile, seed=1) as link,
    ):
        scene = _Scene(who=who, folder=folder / who, trace=trace, satellite=hosts[0], ground=hosts[1])
        acknowledged = _ours(scene) if who in ("datagrams", "https") else _peer(scene)
        return Replayed(
            who=who,
            acknowledged=acknowledged,
            offered=trace.good_payload,
            sent=link.given(Direction.DOWN),
            delivered=link.carried(Direction.DOWN),
            upward=link.carried(Direction.UP),
        )


def _ours(scene: _Scene) -> int:
    layer = "http" if scene.who == "https" else scene.who
    down = scene.trace.peak
    mission = Mission(scene.folder, layer=layer, address=scene.ground.address, down=down)
    mission.load(int(scene.trace.good_payload * 1.1))
    with Stage(scene.folder / "logs") as stage:
        said = mission.serve(stage, namespace=scene.ground.namespace).said
        at = scene.ground.address
        mission.windows(scene.seconds, after=2.0)
        call = Call(gateway=f"{at}:{said['gateway']}", datagrams=f"{at}:{said['datagrams']}")
        mission.fly(stage, call, planned=True, namespace=scene.satellite.namespace)
        time.sleep(2.0 + scene.seconds)
        return mission.acknowledged()


def _peer(scene: _Scene) -> int:
    mission = Mission(scene.folder, layer="http", address=scene.ground.address)
    receiver, sender = _commands(scene)
    with Stage(scene.folder / "logs") as stage:
        if receiver:
            stage.run("receiver", *receiver, announces=False, namespace=scene.ground.namespace)
        else:
            said = mission.serve(stage, namespace=scene.ground.namespace).said
            url = f"https://{scene.ground.address}:{said['gateway']}"
            sender = (*sender, "--url", url, "--keys", str(mission.keys))
        time.sleep(2.0)
        sending = stage.run("sender", *sender, announces=False, namespace=scene.satellite.namespace)
        until(lambda: not sending.alive(), seconds=scene.seconds + 90, what=f"{scene.who}: the sender's end", every=0.5)
        last = (scene.folder / "logs" / "sender.log").read_text().splitlines()[-1]
        return int(json.loads(last)["acknowledged_bytes"])


def _commands(scene: _Scene) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The receiver's command, if it is not our gateway, and the sender's."""
    lasting = ("--seconds", f"{scene.seconds:.0f}")
    far, near = (f"{host.address}:{_PORT}" for host in (scene.ground, scene.satellite))
    match scene.who:
        case "http":
            peer = ("python", "-m", "bench.peers.plain_http")
            return (
                (*peer, "receive", "--host", scene.ground.address, "--port", str(_PORT)),
                (*peer, "send", "--size", str(FILE_BYTES), "--url", f"http://{far}", *lasting),
            )
        case "tus":
            return (), ("python", "-m", "bench.peers.stock_tus", "--size", str(FILE_BYTES), *lasting)
        case _:
            peer = ("python", "-m", "bench.peers.cfdp_peer")
            sizes = ("--file-bytes", str(FILE_BYTES), "--segment-bytes", "940", *lasting)
            patient = ("--rate", str(scene.trace.peak), "--timer", "10", "--limit", "20")
            return (
                (*peer, "receiver", "--listen", far, "--peer", near, *sizes, "--timer", "10", "--limit", "20"),
                (*peer, "sender", "--listen", near, "--peer", far, *sizes, *patient),
            )


def main() -> None:
    """Replay once and print the outcome as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", choices=WHO)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("build/link/replay"))
    given = parser.parse_args()
    found = measure(given.who, read_trace(given.trace), given.folder)
    json.dump(asdict(found) | {"fraction": found.fraction}, sys.stdout)


if __name__ == "__main__":
    main()
