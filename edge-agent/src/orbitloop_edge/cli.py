"""``orbitloop-edge``: the satellite's command line. Light: each command imports only what it needs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orbitloop.domain.errors import NotYet, OrbitloopError

_LACKING, _REFUSED, _NOT_YET = 1, 2, 75
"""Exit codes: a doctor's, wrong input, and EX_TEMPFAIL of sysexits.h."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except OrbitloopError as error:
        sys.stderr.write(f"orbitloop-edge: {error}\n")
        return _NOT_YET if isinstance(error, NotYet) else _REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orbitloop-edge", description="What flies on a satellite.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, about in (
        ("run", _run, "follow the contact plan, and look after the inference worker"),
        ("worker", _worker, "look at frames; started by 'run', ends when its standard input does"),
        ("status", _status, "say what waits, what flies and when the next pass is"),
        ("queue", _queue, "list what waits, as 'orbitloop plan --queue' reads it"),
        ("install", _install, "put the first model on board"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("--config", type=Path, required=True, help="satellite.toml")
        command.set_defaults(run=run)
        if name == "status":
            command.add_argument("--json", action="store_true", help="as JSON")
        if name == "install":
            command.add_argument("--model", type=Path, required=True, help="folder of the model")
    _add_doctor(commands)
    return parser


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "say what is missing on this node, and what to do; exits 1 if anything is"
    doctor = commands.add_parser("doctor", help=about, description=about)
    doctor.add_argument("--config", type=Path, help="satellite.toml; without it, only the node is looked at")
    doctor.add_argument("--kubeedge", action="store_true", help="there has to be a KubeEdge on this node")
    doctor.add_argument("--root", type=Path, default=Path("/"), help="where the node's files are seen, in a container")
    doctor.add_argument("--edgecore", type=Path, help="default: /etc/kubeedge/config/edgecore.yaml")
    doctor.add_argument("--cni", type=Path, help="folder of CNI configurations; default: /etc/cni/net.d")
    doctor.add_argument("--containerd", type=Path, help="default: /etc/containerd/config.toml")
    doctor.add_argument("--image", default="", help="what the Local Controller runs from; default: of this version")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(run=_doctor)


def _run(options: argparse.Namespace) -> int:
    # Where rich and click are installed, httpx loads a command line of its own: 5 MB that nobody uses on board.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # Python's way to say that there is none

    from orbitloop_edge.live import begin, run
    from orbitloop_edge.satellite_file import read_satellite_file

    file = read_satellite_file(options.config)
    run(file, options.config, begin("controller"))
    return 0


def _worker(options: argparse.Namespace) -> int:
    from orbitloop_edge.live import begin, settings_of
    from orbitloop_edge.satellite_file import read_satellite_file
    from orbitloop_edge.worker import work

    file = read_satellite_file(options.config)
    work(settings_of(file), file.worker.frames, begin("worker", until_input_ends=True))
    return 0


def _install(options: argparse.Namespace) -> int:
    from orbitloop_edge.live import install
    from orbitloop_edge.satellite_file import read_satellite_file

    digest = install(read_satellite_file(options.config), options.model)
    sys.stdout.write(f"{digest} flies from the next start on\n")
    return 0


def _status(options: argparse.Namespace) -> int:
    from orbitloop_edge.live import read_status
    from orbitloop_edge.satellite_file import read_satellite_file

    status = read_status(read_satellite_file(options.config))
    sys.stdout.write(f"{json.dumps(status, indent=2)}\n" if options.json else _in_words(status))
    return 0


def _queue(options: argparse.Namespace) -> int:
    from orbitloop_edge.live import read_waiting
    from orbitloop_edge.satellite_file import read_satellite_file

    waiting = read_waiting(read_satellite_file(options.config))
    sys.stdout.write(f"{json.dumps(waiting, indent=2)}\n")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from orbitloop.domain.findings import in_words, is_whole, told
    from orbitloop_edge.doctor import Asked, Places, examined

    given = {name: getattr(options, name) for name in ("root", "edgecore", "cni", "containerd")}
    places = Places(**{name: path for name, path in given.items() if path is not None})
    findings = examined(
        Asked(config=options.config, places=places, kubeedge=options.kubeedge, image=options.image),
    )
    sys.stdout.write(f"{json.dumps(told(findings), indent=2)}\n" if options.json else in_words(findings))
    return 0 if is_whole(findings) else _LACKING


def _in_words(status: dict[str, Any]) -> str:
    contact, window, report = status["last_contact"], status["next_window"], status["last_report"]
    lines = {
        "satellite": f"{status['satellite']}, {'running' if status['running'] else 'not running'}",
        "flying": status["flying"] or "nothing is installed",
        "waiting": f"{status['queued_samples']} samples, {status['queued_bytes']} bytes",
        "delivered": f"{status['delivered_samples']} samples",
        "shaping": {"kernel": "by the kernel's queue", "user": "in the process"}.get(status["shaping"], "not known"),
        "last contact": "none yet"
        if contact is None
        else f"{contact['ended']} over {contact['station']}: {contact['samples']} samples, "
        f"{contact['bytes_down']} bytes down, {contact['bytes_up']} up",
        "next window": "not known" if window is None else f"{window['aos']} over {window['station']}",
        "last report": "none yet" if report is None else f"{report['update']}: {report['outcome']} {report['reason']}",
    }
    if (trust := status["trust"]) is not None:
        lines["trust"] = trust["reason"] or f"{trust['found']} damages found, {trust['repaired']} made good"
    if (logic := status["selection"]) is not None and (logic["flying"] or logic["refused"]):
        flies = f"{logic['application']}, version {logic['flying_version']}" if logic["flying"] else "none"
        lines["selection"] = flies + (f"; refused {logic['refused']}: {logic['reason']}" if logic["refused"] else "")
    if status["update"] is not None:
        lines["update"] = status["update"]
    return "".join(f"{name:<14}{value}\n" for name, value in lines.items())


if __name__ == "__main__":
    sys.exit(main())
