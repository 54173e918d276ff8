"""``orbitloop link``: the space link as a process of its own. Options in, status out."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.status import Status

from orbitloop.adapters.plans import read_plan
from orbitloop.domain.contacts import ContactWindow, next_window, utc, window_at
from orbitloop.domain.errors import BadInput
from orbitloop.ports.clock import Clock
from orbitloop_mission.embedded.clock import MissionClock
from orbitloop_mission.rates import read_rate
from orbitloop_mission.space_link.impairments import BurstLoss, Impairments
from orbitloop_mission.space_link.link import DatagramPorts, SpaceLink
from orbitloop_mission.space_link.profile import ALWAYS, NOMINAL_DOWNLINK, NOMINAL_UPLINK, LinkProfile
from orbitloop_mission.space_link.trace import read_trace
from orbitloop_mission.space_link.traffic import Crossings, Traffic

_EVERY_S = 1.0
_STOP = {signal.SIGTERM, signal.SIGINT}
_LOSE = signal.SIGUSR1
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(us|ms|s)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_LAST_PORT = 65_535


def link(  # noqa: PLR0917 - an option is an argument
    ground: Annotated[str, typer.Option(help="HOST:PORT (IPv4, TCP) of the ground's gateway.")],
    listen: Annotated[
        str, typer.Option(help="HOST:PORT (IPv4, TCP) that satellites call; port 0 takes a free one.")
    ] = "127.0.0.1:0",
    ground_datagrams: Annotated[
        str | None, typer.Option(help="HOST:PORT (IPv4, UDP) that the ground takes datagrams on.")
    ] = None,
    datagrams: Annotated[
        int, typer.Option(help="UDP port for satellites, on --listen's host; 0 takes a free one.")
    ] = 0,
    down: Annotated[str | None, typer.Option(help="Rate towards the ground, as 100Mbit.  [default: 100Mbit]")] = None,
    up: Annotated[str | None, typer.Option(help="Rate towards the satellite.  [default: 1Mbit]")] = None,
    delay: Annotated[str, typer.Option(help="One-way delay, as 4ms.")] = "4ms",
    jitter: Annotated[str, typer.Option(help="What packets are late by at most, on top of the delay.")] = "0ms",
    queue: Annotated[str, typer.Option(help="Datagrams that would have to wait longer are dropped.")] = "100ms",
    loss: Annotated[float, typer.Option(help="Probability that a packet is lost.")] = 0.0,
    burst_loss: Annotated[
        str | None,
        typer.Option(
            help="Gilbert-Elliott loss P,R,GOOD,BAD: probabilities of going bad, of recovering, and of loss in each."
        ),
    ] = None,
    corruption: Annotated[float, typer.Option(help="Probability that a bit of a packet is flipped.")] = 0.0,
    duplication: Annotated[float, typer.Option(help="Probability that a datagram arrives twice.")] = 0.0,
    plan: Annotated[Path | None, typer.Option(help="CSV of contact windows: station,aos,los.")] = None,
    station: Annotated[str | None, typer.Option(help="Of the plan, only the windows of this station.")] = None,
    always: Annotated[
        bool, typer.Option("--always", help="The signal never ends: the default without --plan.")
    ] = False,
    start: Annotated[
        str | None, typer.Option(help="What time it is when the link opens, ISO 8601, UTC.  [default: now]")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="CSV of a recorded pass; takes the place of --down.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Status as JSON lines, one a second.")] = False,
) -> None:
    """Run one station's space link: TCP and UDP, shaped and cut like passes. SIGUSR1 loses the signal once."""
    if trace is not None and down is not None:
        raise BadInput("--trace and --down both set the downlink's rate; give one of them")
    profile = LinkProfile(
        downlink=NOMINAL_DOWNLINK if down is None else read_rate("--down", down),
        uplink=NOMINAL_UPLINK if up is None else read_rate("--up", up),
        delay=_duration("--delay", delay),
        queue=_duration("--queue", queue),
        impairments=Impairments(
            loss=loss,
            burst_loss=None if burst_loss is None else _bursts(burst_loss),
            corruption=corruption,
            duplication=duplication,
            jitter=_duration("--jitter", jitter),
        ),
        trace=None if trace is None else read_trace(trace),
    )
    if seed < 0:
        raise BadInput(f"--seed {seed} is negative; give a number from 0")
    windows = _windows(plan, station, always=always)
    host, port = _address("--listen", listen, least=0)
    clock = MissionClock(datetime.now(UTC) if start is None else _moment("--start", start))
    with (
        _Signals() as signals,
        SpaceLink(
            _address("--ground", ground),
            clock=clock,
            plan=windows,
            profile=profile,
            seed=seed,
            host=host,
            port=port,
            datagrams=_datagram_ports(ground_datagrams, datagrams),
        ) as space_link,
    ):
        opened = _Opened(space_link=space_link, host=host, clock=clock, windows=windows)
        _run(opened, signals, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A running link, and what its status is told from."""

    space_link: SpaceLink
    host: str
    clock: Clock
    windows: tuple[ContactWindow, ...]

    def told(self, *, as_json: bool) -> str:
        """Where to reach it."""
        port, datagrams = self.space_link.port, self.space_link.datagram_port
        if as_json:
            return json.dumps({"event": "open", "host": self.host, "port": port, "datagrams": datagrams})
        udp = "" if datagrams is None else f", datagrams on port {datagrams}"
        return f"space link open on {self.host}:{port}{udp}"

    def status(self, event: str) -> str:
        """What has crossed, for a program."""
        now = self.clock.now()
        window = window_at(self.windows, now)
        station = None if window is None else window.station
        counts = asdict(self.space_link.traffic())
        return json.dumps({"event": event, "time": now.isoformat(), "station": station, **counts})

    def sentence(self) -> str:
        """What has crossed, for a person."""
        return _sentence(self.space_link.traffic(), self.clock.now(), self.windows)


class _Signals:
    """Signals as they come in, one after another.

    Blocking them and waiting would not do: numpy's threads, which no mask of ours reaches, could take one and die.
    """

    def __enter__(self) -> Self:
        self._inbox, self._outbox = socket.socketpair()
        self._outbox.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._outbox.fileno())
        self._handlers = {each: signal.signal(each, lambda *_: None) for each in (*_STOP, _LOSE)}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._inbox.close()
        self._outbox.close()

    def wait(self, seconds: float) -> set[int]:
        """Those that came within ``seconds``, as soon as there are any."""
        came, _, _ = select.select([self._inbox], [], [], seconds)
        return set(self._inbox.recv(100)) if came else set()


def _run(link: _Opened, signals: _Signals, *, as_json: bool) -> None:
    """Tell what crosses until a signal ends it."""
    console = Console(stderr=True)
    spinner = console.status("waiting") if console.is_terminal and not as_json else nullcontext()
    _say(link.told(as_json=as_json))
    due = time.monotonic() + _EVERY_S
    with spinner as shown:
        while link.space_link.alive():
            came = signals.wait(max(0.0, due - time.monotonic()))
            if came & _STOP:
                break
            if _LOSE in came:
                link.space_link.lose_signal()
            if time.monotonic() < due:
                continue
            due += _EVERY_S
            if as_json:
                _say(link.status("status"))
            elif isinstance(shown, Status):
                shown.update(link.sentence())
    _say(link.status("closed") if as_json else link.sentence())


def _say(line: str) -> None:
    """Write a line, unless nobody reads and the pipe is full: whoever stops reading must not stop the link."""
    _, writable, _ = select.select([], [sys.stdout], [], 0)
    if writable:
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _sentence(traffic: Traffic, now: datetime, windows: tuple[ContactWindow, ...]) -> str:
    window, coming = window_at(windows, now), next_window(windows, now)
    if window is not None:
        where = f"in contact ({window.station})"
    elif coming is not None:
        where = f"no contact until {coming.aos:%F %T} UTC ({coming.station})"
    else:
        where = "no contact, and none to come"
    parts = [
        where,
        f"TCP ↓ {traffic.down:,} ↑ {traffic.up:,} bytes, {traffic.connections} connections, {traffic.cuts} cut",
    ]
    for arrow, crossings in (("↓", traffic.downward), ("↑", traffic.upward)):
        if crossings.datagrams:
            parts.append(f"UDP {arrow} {_told(crossings)}")
    if traffic.offered is not None:
        parts.append(f"good frames {traffic.offered:,} bytes")
    return " · ".join(parts)


def _told(crossings: Crossings) -> str:
    gone = crossings.lost + crossings.dropped + crossings.unheard + crossings.refused
    return f"{crossings.delivered:,} of {crossings.datagrams:,}, {gone:,} gone"


def _windows(plan: Path | None, station: str | None, *, always: bool) -> tuple[ContactWindow, ...]:
    if plan is None:
        if station is not None:
            raise BadInput("--station chooses from a plan; give --plan too")
        return ALWAYS
    if always:
        raise BadInput("--plan and --always contradict each other; give one of them")
    windows = read_plan(plan)
    chosen = tuple(window for window in windows if station in (None, window.station))
    stations = sorted({window.station for window in chosen})
    if not stations:
        raise BadInput(f"{plan}: no window" + ("" if station is None else f" of station {station!r}"))
    if len(stations) > 1:
        raise BadInput(f"{plan}: windows of {', '.join(stations)}; a link is one station's: choose it with --station")
    return chosen


def _datagram_ports(ground: str | None, port: int) -> DatagramPorts | None:
    if ground is None:
        if port:
            raise BadInput("--datagrams needs a place to take them to: give --ground-datagrams HOST:PORT")
        return None
    return DatagramPorts(ground=_address("--ground-datagrams", ground), port=port)


def _address(option: str, given: str, *, least: int = 1) -> tuple[str, int]:
    host, colon, port = given.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and least <= int(port) <= _LAST_PORT):
        raise BadInput(f"{option} {given!r} is no HOST:PORT, for instance 127.0.0.1:8443")
    try:
        return socket.gethostbyname(host), int(port)
    except (OSError, UnicodeError) as error:
        raise BadInput(
            f"{option} {given!r}: no IPv4 address for {host!r} ({error}); give it as four numbers"
        ) from error


def _duration(option: str, given: str) -> timedelta:
    match = _DURATION.fullmatch(given)
    if match is None or len(match[1]) > 9:
        raise BadInput(f"{option} {given!r} is no duration; give a number and us, ms or s, as 4ms")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


def _moment(option: str, given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise BadInput(f"{option} {given!r} is no time; give ISO 8601 in UTC, as 2024-03-29T06:22:49Z") from error
    return utc(moment.replace(tzinfo=moment.tzinfo or UTC))


def _bursts(given: str) -> BurstLoss:
    try:
        p, r, good, bad = (float(part) for part in given.split(","))
    except ValueError as error:
        raise BadInput(
            f"--burst-loss {given!r} is not P,R,GOOD,BAD: four probabilities, for instance 0.01,0.2,0,1"
        ) from error
    return BurstLoss(p=p, r=r, good=good, bad=bad)
