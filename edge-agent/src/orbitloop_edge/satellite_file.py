"""``satellite.toml``: what a live satellite is told, as people write it. Strict: what is unknown is refused."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from orbitloop.domain.boots import BootRule
from orbitloop.domain.errors import BadInput
from orbitloop.domain.mining import MiningRule, mining_rule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.rollout import CanaryRule
from orbitloop.domain.samples import Reason
from orbitloop.domain.selectors import selection_named
from orbitloop.domain.shadow import ShadowRule
from orbitloop.domain.traffic import TrafficClass
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import Name
from orbitloop.wire.update_files import HOT_UPDATES
from orbitloop_edge.usecases.passes import Rhythm
from orbitloop_edge.usecases.scrub import ScrubRule
from orbitloop_edge.usecases.worker_reports import Mode

_Positive = Annotated[int, Field(gt=0)]
_Seconds = Annotated[float, Field(gt=0, le=86_400)]

NO_WORKER = "none"
INFERENCE = "inference"


class Layer(StrEnum):
    """Which convergence layer carries a contact."""

    HTTP = "http"
    DATAGRAMS = "datagrams"
    AUTO = "auto"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _checked_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise ValueError(f"{value!r} is no address; write host:port")
    return value


def _from_the_root_on(value: Path) -> Path:
    if not value.is_absolute() or ".." in value.parts:
        raise ValueError(f"{str(value)!r} is no absolute path")
    return value


_Absolute = Annotated[Path, AfterValidator(_from_the_root_on)]


class StationTable(_Table):
    """``[stations.NAME]``: where a ground station's gateway is reached.

    Attributes:
        gateway: its URL, ``https://host:port``.
        datagrams: where it takes datagrams, ``host:port``; leave it out where it takes none.
    """

    gateway: str
    datagrams: str | None = None

    @field_validator("gateway")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{value!r} is no gateway; write https://host:port")
        return value.rstrip("/")

    @field_validator("datagrams")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return None if value is None else _checked_address(value)


class ContactsTable(_Table):
    """``[contacts]``: when sessions take place.

    Attributes:
        plan: contact plan as CSV; read again when it changes. Without one, a session is tried every interval.
        interval_seconds: between two sessions without a plan.
        poll_seconds: between two sessions of one pass when nothing new waits.
        patience_seconds: how long a gateway may be silent before the link counts as lost.
        fade_seconds: the same in the midst of datagrams, which outlast a fade of the signal.
        senders: bundles that are under way at a time: some are sent while others are stored on the ground.
    """

    plan: Path | None = None
    interval_seconds: _Seconds = 60
    poll_seconds: _Seconds = 15
    patience_seconds: _Seconds = 20
    fade_seconds: _Seconds = 150
    senders: Annotated[int, Field(ge=1, le=8)] = 4


class LinkTable(_Table):
    """``[link]``: budgets and codec; see :class:`orbitloop.domain.policy.LinkPolicy`.

    Attributes:
        downlink_bits_per_second, uplink_bits_per_second: nominal rates.
        downlink_share: share of the captured bytes that may be sent down.
        datagram_bytes: largest UDP payload on the datagram layer; the default fills one frame of BUPT-1's downlink, and
            larger ones carry more on a clean link.
        update_budget_bytes: largest update that is fetched.
        pass_budget_bytes: the most that one pass may carry down; leave it out for what the window carries.
        interface: network interface that leads to the gateways. With it, and CAP_NET_ADMIN, the kernel holds what is
            sent to them to the downlink's rate; else the process paces its bundles itself.
        reserve_percent: share of the rate that bulk data leaves to telemetry and acknowledgements.
        priorities: factor on the value, per cent, by reason (``hard``, ``miss``, ``audit``) or kind of traffic.
        doubling_hours: after waiting so long, a sample counts twice its value.
        codec, quality: of the samples.
        selection: which tiles go first; see :class:`orbitloop.domain.selectors.Selection`.
    """

    downlink_bits_per_second: _Positive = 100_000_000
    uplink_bits_per_second: _Positive = 1_000_000
    downlink_share: float = 0.085
    datagram_bytes: Annotated[int, Field(ge=200, le=8_972)] = 980
    update_budget_bytes: _Positive = 300_000
    pass_budget_bytes: _Positive | None = None
    interface: str | None = None
    reserve_percent: int = 3
    priorities: dict[str, int] = Field(default_factory=dict)
    doubling_hours: Annotated[float, Field(gt=0)] = 24
    codec: str = "webp"
    quality: int = 30
    selection: str = "Value"

    @field_validator("interface")
    @classmethod
    def _interface(cls, value: str | None) -> str | None:
        if value is not None and re.fullmatch(r"(?!\.\.?$)[^\s/:]{1,15}", value) is None:
            raise ValueError(f"{value!r} is no network interface; `ip link` lists what there is")
        return value

    def policy(self) -> LinkPolicy:
        """The same, checked. Raises ``BadInput``."""
        known = {str(subject): subject for subject in (*Reason, *TrafficClass)}
        unknown = [subject for subject in self.priorities if subject not in known]
        if unknown:
            raise BadInput(f"link.priorities.{unknown[0]}: use one of {', '.join(known)}")
        return LinkPolicy(
            downlink=BitsPerSecond(self.downlink_bits_per_second),
            uplink=BitsPerSecond(self.uplink_bits_per_second),
            downlink_share=self.downlink_share,
            update_budget=Bytes(self.update_budget_bytes),
            pass_budget=None if self.pass_budget_bytes is None else Bytes(self.pass_budget_bytes),
            reserve_percent=self.reserve_percent,
            priorities={known[subject]: percent for subject, percent in self.priorities.items()},
            doubling=timedelta(hours=self.doubling_hours),
            codec=self.codec,
            quality=self.quality,
            selection=selection_named(self.selection),
        )


class MiningTable(_Table):
    """``[mining]``: which tiles count as hard: a rule by name, and its parameters."""

    rule: str = "CloudOnly"
    parameters: dict[str, float] = Field(default_factory=dict)


class CanaryTable(_Table):
    """``[canary]``: when an update passes; see :class:`orbitloop.domain.rollout.CanaryRule`."""

    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.03
    least: Annotated[int, Field(ge=0)] = 3
    class_tolerance: Annotated[float, Field(ge=0, le=1)] = 0.1
    class_objects: Annotated[int, Field(ge=1)] = 8


class ShadowTable(_Table):
    """``[shadow]``: a new model beside the old one; see :class:`orbitloop.domain.shadow.ShadowRule`."""

    one_in: int = 0
    frames: int = 10
    agreement: float = 0.7
    sure: float = 0.6
    faint: float = 0.25
    slower: float = 1.5


class TrustTable(_Table):
    """``[trust]``: how the models on board are looked after; see :class:`orbitloop_edge.usecases.scrub.ScrubRule`.

    Attributes:
        look_bytes: bytes of memory and disk that are looked over each second while there is nothing else to do; 0 for
            none.
        ask: whether the model is asked, after every frame, what it is known to answer.
        patience_hours: how long the last good model stands in for a damaged one, until it takes over for good.
        deaths: a model with which the worker died so often is not tried any more, while there is another.
        frames: so many frames prove that a model lives.
        again_hours: where there is no other, it is tried again after this time.
    """

    look_bytes: Annotated[int, Field(ge=0)] = 2**20
    ask: bool = True
    patience_hours: Annotated[float, Field(ge=0)] = 24
    deaths: Annotated[int, Field(ge=1)] = 3
    frames: Annotated[int, Field(ge=1)] = 3
    again_hours: Annotated[float, Field(gt=0)] = 1


class WorkerTable(_Table):
    """``[worker]``: what looks at the frames.

    Attributes:
        command: ``"inference"``, ``"none"``, or program and arguments of another worker that speaks the same sockets;
            ``{config}`` and ``{folder}`` stand for this file and the satellite's folder. It ends when its standard
            input does.
        frames: folder where the camera puts frames; made if missing.
        threads: processor threads of inference.
        seed: seed of the audit's chance.
        selection: where a selection logic (``orbitloop transform``) is put that frames go by as well, by the ground or
            by hand; ``selection/new.ols`` in the folder without it.
        selection_memory_bytes: most that its loaded networks may take.
        selection_alone: whether frames that it goes by are looked at by nothing else: no results of the detector, no
            samples to learn from, and no time for them either.
    """

    command: str | Annotated[list[str], Field(min_length=1)] = INFERENCE
    frames: Path = Path("frames")
    threads: Annotated[int, Field(ge=1, le=64)] = 2
    seed: int = 0
    selection: Path | None = None
    selection_memory_bytes: _Positive = 256 * 2**20
    selection_alone: bool = False

    @field_validator("command")
    @classmethod
    def _named(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, str) and value not in (INFERENCE, NO_WORKER):
            raise ValueError(f'{value!r}: write "{INFERENCE}", "{NO_WORKER}" or a list of program and arguments')
        return value


class CfdpTable(_Table):
    """``[cfdp]``: CCSDS File Delivery, by which updates may come. Leave it out to speak none; it authenticates nobody.

    Attributes:
        entity: the satellite's entity id.
        listen: where it listens, ``host:port`` (UDP).
        remotes: entity ids of the ground, and where answers to each go, ``host:port``; no other is heard.
    """

    entity: Annotated[int, Field(ge=0, lt=2**16)]
    listen: str
    remotes: Annotated[dict[Annotated[str, Field(pattern=r"^\d{1,5}$")], str], Field(min_length=1)]

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        return _checked_address(value)

    @field_validator("remotes")
    @classmethod
    def _addresses(cls, value: dict[str, str]) -> dict[str, str]:
        return {entity: _checked_address(address) for entity, address in value.items()}


class LocalControllerTable(_Table):
    """``[local_controller]``: workers and datasets on the satellite. Leave it out where there are none.

    Attributes:
        listen: address at which workers report; another one than this machine's own lets the network in, unasked.
        port: 9100 is where Sedna's workers look for it.
        mode: ``compat`` takes reports that nobody can use and drops them, as Sedna does; ``strict`` refuses them.
        poll_seconds: between two looks at the datasets where the kernel tells of no change.
        root: folder that holds the node's files, where this process has a root of its own.
        model_folders: folders of the node below which models are written for the user's inference workers.
    """

    listen: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, lt=2**16)] = 9100
    mode: Mode = Mode.COMPAT
    poll_seconds: _Seconds = 30
    root: _Absolute = Path("/")
    model_folders: tuple[_Absolute, ...] = (Path(HOT_UPDATES),)


class SatelliteFile(_Table):
    """All of ``satellite.toml``. Relative paths count from the file.

    Attributes:
        satellite: its name.
        folder: where everything that it keeps lives; made if missing.
        keys: folder of its keys.
        layer: ``http``, ``datagrams``, or ``auto``: datagrams where the station takes them, HTTP else.
        spool_budget_bytes: most bytes of samples that may wait.
    """

    satellite: Name
    folder: Path
    keys: Path
    layer: Layer = Layer.AUTO
    spool_budget_bytes: _Positive = 512 * 2**20
    stations: Annotated[dict[Name, StationTable], Field(min_length=1)]
    contacts: ContactsTable = ContactsTable()
    link: LinkTable = LinkTable()
    mining: MiningTable = MiningTable()
    canary: CanaryTable = CanaryTable()
    shadow: ShadowTable = ShadowTable()
    trust: TrustTable = TrustTable()
    worker: WorkerTable = WorkerTable()
    cfdp: CfdpTable | None = None
    local_controller: LocalControllerTable | None = None

    @model_validator(mode="after")
    def _reachable(self) -> SatelliteFile:
        if self.layer is Layer.DATAGRAMS and (
            without := [name for name, table in self.stations.items() if table.datagrams is None]
        ):
            raise ValueError(f"layer is datagrams, but stations.{without[0]} has no address for them; give it one")
        return self

    def rule(self) -> MiningRule:
        """The mining rule. Raises ``BadInput``."""
        return mining_rule(self.mining.rule, self.mining.parameters)

    def canary_rule(self) -> CanaryRule:
        """The canary rule."""
        return CanaryRule(**self.canary.model_dump())

    def shadow_rule(self) -> ShadowRule:
        """The shadow rule. Raises ``BadInput``."""
        return ShadowRule(**self.shadow.model_dump())

    def scrub_rule(self) -> ScrubRule:
        """How the models on board are looked after."""
        told = self.trust
        return ScrubRule(
            look=Bytes(told.look_bytes),
            ask=told.ask,
            patience=timedelta(hours=told.patience_hours),
            boots=BootRule(deaths=told.deaths, frames=told.frames, again=timedelta(hours=told.again_hours)),
        )

    def rhythm(self) -> Rhythm:
        """How often sessions take place."""
        return Rhythm(
            interval=timedelta(seconds=self.contacts.interval_seconds),
            poll=timedelta(seconds=self.contacts.poll_seconds),
        )


def read_satellite_file(path: Path) -> SatelliteFile:
    """The checked content of ``path``, its paths made absolute.

    Raises:
        BadInput: it is missing or no TOML, or a field is missing, unknown or out of range.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; write one as in docs/reference/local-controller.md") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as TOML ({error})") from error
    try:
        read = SatelliteFile.model_validate(given)
        read.link.policy()
        read.rule()
        read.shadow_rule()
    except ValidationError as error:
        raise BadInput(f"{path}: {first_complaint(error)}") from None
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    return _absolute(read, path.resolve().parent)


def _absolute(read: SatelliteFile, base: Path) -> SatelliteFile:
    plan, selection = read.contacts.plan, read.worker.selection
    worker = {"frames": base / read.worker.frames, "selection": None if selection is None else base / selection}
    return read.model_copy(
        update={
            "folder": base / read.folder,
            "keys": base / read.keys,
            "contacts": read.contacts.model_copy(update={"plan": None if plan is None else base / plan}),
            "worker": read.worker.model_copy(update=worker),
        }
    )
