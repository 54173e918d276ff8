"""What a satellite needs to fly, judged from what was seen on its node: facts go in, findings come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.findings import Finding, doubtful, lacking, well
from orbitloop.wire.messages import Trust
from orbitloop_edge.usecases.passes import Itinerary

KEY_FILES = ("satellite.key", "satellite.pem", "authority.pem", "link.key", "ground.pub")
"""What a satellite's folder of keys holds."""
PRIVATE = frozenset({"satellite.key", "link.key"})
_SOON = timedelta(days=30)
_SKEW = timedelta(seconds=5)
"""A pass is begun and ended by the clock: more than this costs contact time."""
_COPY = "copy the whole folder build/keys/satellites/NAME again; see docs/howto/identities.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A file in the folder of keys; ``mode`` is ``None`` where it is not there."""

    name: str
    mode: int | None
    owner: int = 0
    readable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the satellite's certificate says; ``problem`` where it cannot be used."""

    satellite: str = ""
    begins: datetime | None = None
    ends: datetime | None = None
    vouched: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of the satellite.

    Args:
        exists: whether it is there; else what follows is about the nearest folder above it.
        owner: its user.
        writable: whether who asks may write there.
        free: bytes that its file system has left for that user.
        spooled: bytes that its spool takes, the reserve included.
        last_written: when the newest of the files was written that say what time it was.
    """

    path: str
    exists: bool
    owner: int = 0
    writable: bool = True
    free: int = 0
    spooled: int = 0
    last_written: datetime | None = None


class Step(StrEnum):
    """How far a call to a station came."""

    RESOLVES = "resolves"
    CONNECTS = "connects"
    TRUSTED = "trusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call to a station.

    Args:
        station: its name.
        address: ``host:port``.
        failed: the step that it failed in; ``None``: the gateway answered.
        problem: why.
        ground_time: what the gateway's clock said.
        at: what ours said then.
    """

    station: str
    address: str
    failed: Step | None = None
    problem: str = ""
    ground_time: datetime | None = None
    at: datetime | None = None


class Port(StrEnum):
    """Who has the Local Controller's port."""

    FREE = "free"
    OURS = "ours"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBoard:
    """What was seen of a satellite.

    Args:
        now: by the clock on board.
        user: who asked: the uid of the process.
        config: path of ``satellite.toml``.
        config_problem: why that cannot be read; then nothing else was looked at.
        satellite: its name there.
        itinerary: its windows; ``None`` where the plan cannot be read, for ``plan_problem``.
        planned: whether it has a contact plan.
        model: digest of the installed model, ``None`` where no inference worker needs one.
        trust: what the worker said last of the models on board.
        port: number, and who has it; ``None`` where no Local Controller is asked for.
    """

    now: datetime
    user: int
    config: str
    config_problem: str = ""
    satellite: str = ""
    keys_folder: str = ""
    keys: tuple[KeyFile, ...] = ()
    certificate: Certificate | None = None
    folder: Folder | None = None
    spool_budget: int = 0
    reserve: int = 0
    model: str | None = None
    model_problem: str = ""
    trust: Trust | None = None
    frames: Folder | None = None
    planned: bool = False
    itinerary: Itinerary | None = None
    plan_problem: str = ""
    calls: tuple[Call, ...] = field(default=())
    port: tuple[int, Port] | None = None


def examined(seen: OnBoard) -> tuple[Finding, ...]:
    """All findings, in the order in which one would mend things."""
    if seen.config_problem:
        remedy = f"correct {seen.config}; docs/reference/local-controller.md has all of its fields"
        return (lacking("configuration", seen.config_problem, remedy),)
    return tuple(finding for check in CHECKS for finding in check(seen))


def _configuration(seen: OnBoard) -> Iterator[Finding]:
    yield well("configuration", f"{seen.config} reads: satellite {seen.satellite}")


def _keys(seen: OnBoard) -> Iterator[Finding]:
    absent = [file.name for file in seen.keys if file.mode is None]
    if absent:
        yield lacking("keys", f"{seen.keys_folder} has no {', '.join(absent)}", _COPY)
    elif hidden := [file.name for file in seen.keys if not file.readable]:
        owner = next(file.owner for file in seen.keys if not file.readable)
        says = f"{seen.keys_folder}: user {seen.user} may not read {', '.join(hidden)}, of user {owner}"
        yield lacking("keys", says, f"run as user {owner}, or chown -R {seen.user} {seen.keys_folder}")
    elif wide := [file.name for file in seen.keys if file.name in PRIVATE and (file.mode or 0) & 0o077]:
        says = f"{seen.keys_folder}: others than its owner may use {', '.join(wide)}"
        yield lacking("keys", says, f"cd {seen.keys_folder} && chmod 600 {' '.join(wide)}")
    else:
        yield well("keys", f"{seen.keys_folder} is complete, private keys are their owner's alone")


def _certificate(seen: OnBoard) -> Iterator[Finding]:
    shown = seen.certificate
    if shown is None:
        return
    renew = f"orbitloop-ground keys renew FOLDER --satellite {seen.satellite}, then {_COPY}"
    if shown.problem:
        yield lacking("certificate", shown.problem, _COPY)
    elif shown.satellite != seen.satellite:
        says = f"it is {shown.satellite or 'nobody'}'s, and {seen.config} says {seen.satellite}"
        yield lacking("certificate", says, "correct the name, or bring the keys of this satellite")
    elif not shown.vouched:
        yield lacking("certificate", "authority.pem does not vouch for it", _COPY)
    elif shown.ends is not None and shown.ends <= seen.now:
        yield lacking("certificate", f"it expired on {shown.ends:%Y-%m-%d}", renew)
    elif shown.begins is not None and shown.begins > seen.now:
        says = f"it holds from {shown.begins:%Y-%m-%d %H:%M} UTC on, and it is {seen.now:%Y-%m-%d %H:%M} on board"
        yield lacking("certificate", says, "set the clock")
    elif shown.ends is not None and shown.ends - seen.now < _SOON:
        yield doubtful("certificate", f"it expires on {shown.ends:%Y-%m-%d}", renew)
    else:
        yield well("certificate", f"of {shown.satellite}" + (f", until {shown.ends:%Y-%m-%d}" if shown.ends else ""))


def _folder(seen: OnBoard) -> Iterator[Finding]:
    kept = seen.folder
    if kept is None:
        return
    where = kept.path if kept.exists else f"{kept.path} is not there yet, and"
    if not kept.writable:
        remedy = f"run as its owner, or install -d -o {seen.user} -m 0750 {kept.path}"
        yield lacking("folder", f"{where} user {seen.user} may not write there; it is user {kept.owner}'s", remedy)
        return
    keys = {file.owner for file in seen.keys if file.name in PRIVATE and file.mode is not None}
    if kept.exists and keys and kept.owner not in keys:
        says = f"{kept.path} is user {kept.owner}'s, and the private keys are user {min(keys)}'s"
        yield doubtful("folder", says, "chown one of them: the satellite's processes run as one user")
    else:
        yield well("folder", kept.path if kept.exists else f"{where} can be made")


def _space(seen: OnBoard) -> Iterator[Finding]:
    kept = seen.folder
    if kept is None:
        return
    needed = max(0, seen.spool_budget + seen.reserve - kept.spooled)
    says = f"{_size(kept.free)} are free, and the spool may still grow by {_size(needed)}"
    if kept.free < needed:
        yield doubtful("disk", says, "make room, or lower spool_budget_bytes: a full disk stops new samples")
    else:
        yield well("disk", says)


def _model(seen: OnBoard) -> Iterator[Finding]:
    if seen.model_problem:
        remedy = f"orbitloop-edge install --config {seen.config} --model FOLDER"
        yield lacking("model", seen.model_problem, remedy)
    elif seen.model is not None:
        yield well("model", f"{seen.model[:19]}… is installed")


def _trust(seen: OnBoard) -> Iterator[Finding]:
    said = seen.trust
    if said is None or seen.model is None:
        return
    counts = f"{said.found} damages were found, {said.repaired} made good"
    if said.serving is None:
        remedy = "see its log; let a contact bring the chunks or an update, or install the model again"
        yield lacking("trust", f"no model looks at frames: {said.reason or 'none is loaded'}", remedy)
    elif said.reason:
        yield doubtful("trust", said.reason, "let a contact bring the chunks that are missing")
    else:
        yield well("trust", f"{counts}; memory and disk were looked over {said.rounds} times")


def _frames(seen: OnBoard) -> Iterator[Finding]:
    camera = seen.frames
    if camera is None:
        return
    if camera.exists or camera.writable:
        yield well("frames", camera.path if camera.exists else f"{camera.path} is not there yet, and can be made")
    else:
        remedy = f"install -d -o {seen.user} {camera.path}"
        yield lacking("frames", f"{camera.path} is not there, and user {seen.user} cannot make it", remedy)


def _plan(seen: OnBoard) -> Iterator[Finding]:
    if seen.plan_problem:
        yield lacking("contact plan", seen.plan_problem, "correct the plan, or write one with orbitloop passes --out")
    elif not seen.planned:
        yield well("contact plan", "none: stations are called at every interval")
    elif (now := _window_now(seen)) is not None:
        yield well("contact plan", f"in contact with {now.station} until {now.los:%H:%M:%S} UTC")
    elif seen.itinerary is not None and (ahead := seen.itinerary.next(seen.now)) is not None:
        yield well("contact plan", f"next pass {ahead.aos:%Y-%m-%d %H:%M:%S} UTC over {ahead.station}")
    else:
        remedy = "write a newer plan with orbitloop passes --out, and see that the clock on board is right"
        yield doubtful(
            "contact plan", f"it has no pass of {seen.satellite} after {seen.now:%Y-%m-%d %H:%M} UTC", remedy
        )


def _clock(seen: OnBoard) -> Iterator[Finding]:
    heard = [call for call in seen.calls if call.ground_time is not None and call.at is not None]
    written = None if seen.folder is None else seen.folder.last_written
    says = f"{seen.now:%Y-%m-%d %H:%M:%S} UTC"
    if heard and heard[0].ground_time is not None and heard[0].at is not None:
        ahead = heard[0].at - heard[0].ground_time
        if abs(ahead) > _SKEW:
            off = f"{abs(ahead).total_seconds():.0f} s {'ahead of' if ahead > timedelta(0) else 'behind'}"
            yield doubtful("clock", f"{off} the ground's", "set it, and keep it by NTP or GNSS: passes go by the clock")
            return
        says += ", as on the ground"
    if written is not None and written - seen.now > _SKEW:
        late = f"{says}, and files in {seen.folder.path if seen.folder else ''} are from {written:%Y-%m-%d %H:%M:%S}"
        yield doubtful("clock", late, "set it: it went back since the satellite ran last")
    else:
        yield well("clock", says)


def _stations(seen: OnBoard) -> Iterator[Finding]:
    for call in seen.calls:
        yield _station(seen, call)


def _station(seen: OnBoard, call: Call) -> Finding:
    about = f"station {call.station}"
    if call.failed is None:
        return well(about, f"{call.address} answers, trusts us and is trusted")
    if call.failed is Step.TRUSTED:
        remedy = "bring the keys of the authority that the gateway has, and check the address; docs/howto/identities.md"
        return lacking(about, f"{call.address}: {call.problem}", remedy)
    window = _window_now(seen)
    if seen.planned and (window is None or window.station != call.station):
        return well(about, f"{call.address}: not in contact ({call.problem})")
    remedy = {
        Step.RESOLVES: "write the address in its place, or in /etc/hosts: there is no name service out of contact",
        Step.CONNECTS: "see that the gateway runs, and that this port leads to it: gateway.service or hostPort",
    }[call.failed]
    if seen.planned:
        return lacking(about, f"{call.address}: in contact by the plan, and {call.problem}", remedy)
    return doubtful(
        about, f"{call.address}: {call.problem}; without a plan nobody knows whether it should answer", remedy
    )


def _port(seen: OnBoard) -> Iterator[Finding]:
    if seen.port is None:
        return
    number, holder = seen.port
    match holder:
        case Port.FREE:
            yield well("Local Controller", f"port {number} is free: it does not run")
        case Port.OURS:
            yield well("Local Controller", f"it answers on port {number}")
        case Port.TAKEN:
            remedy = (
                f"end what listens there (ss -ltnp 'sport = :{number}'), or give local_controller.port another number"
            )
            yield lacking("Local Controller", f"port {number} is taken by another program", remedy)


def _window_now(seen: OnBoard) -> ContactWindow | None:
    windows = () if seen.itinerary is None else seen.itinerary.windows or ()
    return next((window for window in windows if window.aos <= seen.now < window.los), None)


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


CHECKS: tuple[Callable[[OnBoard], Iterator[Finding]], ...] = (
    _configuration,
    _keys,
    _certificate,
    _clock,
    _folder,
    _space,
    _model,
    _trust,
    _frames,
    _plan,
    _stations,
    _port,
)
"""Every check on a satellite."""
