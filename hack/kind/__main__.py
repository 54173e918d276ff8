"""``python -m hack.kind``: what `make kind-up` and `make kind-down` do."""

from __future__ import annotations

import argparse
import logging
import re
import shlex
import sys
from datetime import timedelta
from pathlib import Path

from hack import helm
from hack.images.docker import Failed
from hack.kind import cluster, link
from hack.kind.bring_up import Wanted, bring_up, programs_for, take_down
from hack.kind.footprint import footprint
from hack.kind.site import Folder, Rhythm
from hack.kind.sky import Sky, cut_file

from orbitloop.domain.errors import OrbitloopError

FOLDER = Path("build/kind")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hack.kind", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for keys and settings (%(default)s)")
    parser.add_argument("--offline", action="store_true", help="build what no registry is needed for; Debian, as root")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make it, or bring what is there to what is wanted")
    up.add_argument("--satellites", type=int, default=1, metavar="N", help="nodes that fly (%(default)s)")
    up.add_argument("--node-image", help="of the nodes; kind's own, or the one that is built with --offline")
    up.add_argument("--settings", type=Path, metavar="TOML", help="more of the satellites' satellite.toml")
    up.add_argument("--kubeedge", action="store_true", help="satellites run KubeEdge's edgecore, and no kubelet")
    _add_sky(up)
    commands.add_parser("down", help="take all of it away, images apart")
    commands.add_parser("footprint", help="memory of our pods")
    for name, does in (("cut", "let no packet pass to and from a satellite"), ("restore", "follow the plan again")):
        commands.add_parser(name, help=does).add_argument("satellite")
    sky = commands.add_parser("sky", help="keep contact windows and take pictures; `up` starts it")
    sky.add_argument("satellites", nargs="+")
    _add_sky(sky)
    return parser


def _add_sky(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passes",
        type=_rhythm,
        default=_rhythm("120/60"),
        metavar="S/S",
        help="seconds in contact / seconds without; 1/0: always in contact (120/60)",
    )
    parser.add_argument("--picture-every", type=float, default=20.0, metavar="S", help="seconds; 0: none (%(default)s)")
    parser.add_argument("--pictures", type=int, default=1_000, metavar="N", help="most of each satellite")


def _rhythm(text: str) -> Rhythm:
    found = re.fullmatch(r"([1-9]\d*)/(\d+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: write seconds in contact / seconds without, as 120/60")
    contact, away = (timedelta(seconds=int(part)) for part in found.groups())
    return Rhythm(contact=contact, away=away)


def _run(told: argparse.Namespace) -> None:
    folder = Folder(told.folder)
    if told.command == "up":
        wanted = Wanted(
            satellites=told.satellites,
            offline=told.offline,
            node_image=told.node_image,
            kubeedge=told.kubeedge,
            rhythm=told.passes,
            settings=told.settings.read_text(encoding="utf-8") if told.settings else "",
            camera=("--picture-every", str(told.picture_every), "--pictures", str(told.pictures)),
        )
        bring_up(wanted, folder)
        return
    programs = programs_for(offline=told.offline, folder=folder)
    match told.command:
        case "down":
            take_down(programs, folder)
        case "footprint":
            for one in footprint(programs, cluster.satellites(programs)):
                print(f"{one.node}  {one.pod}  {one.size / 1e6:.0f} MB")
        case "cut":
            cut_file(folder, told.satellite).touch()
            link.cut(programs, told.satellite)
        case "restore":
            cut_file(folder, told.satellite).unlink(missing_ok=True)
        case _:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
            Sky(
                programs=programs,
                folder=folder,
                satellites=told.satellites,
                picture_every=told.picture_every,
                pictures=told.pictures,
            ).run()


def main() -> int:
    """Run one command; returns the exit status."""
    told = _parser().parse_args()
    try:
        _run(told)
    except (Failed, helm.Missing, OrbitloopError) as error:
        print(f"kind-{told.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"kind-{told.command}: stopped; `{shlex.join(sys.orig_argv)}` goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
