"""The Local Controller's composition root: spool, outbox, inbox and contact sessions, without any inference.

Imports neither onnxruntime nor Pillow: between passes it is to weigh next to nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import ValidationError

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.errors import BadInput, NoSpace, NotYet
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.node_channel import DesiredState, EventsOutbox
from orbitloop.ports.shaper import ShaperKind
from orbitloop.ports.spool import SpoolState
from orbitloop.ports.workers import InferenceWorker, WorkerStatus
from orbitloop.wire.messages import Offer, UpdateReport
from orbitloop_edge.adapters.credentials import Credentials, read_credentials
from orbitloop_edge.adapters.desired import FileDesired, NothingDesired
from orbitloop_edge.adapters.egress import Egress, Turn, at_once
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.adapters.outbox import FolderOutbox
from orbitloop_edge.adapters.selection_shelf import FileSelectionShelf
from orbitloop_edge.adapters.sessions import FilePending, FileSessions
from orbitloop_edge.adapters.slot_state import keep_repair, read_state
from orbitloop_edge.adapters.spool import DiskSpool
from orbitloop_edge.settings import EdgeSettings, selection_path
from orbitloop_edge.usecases.beginnings import try_beginning
from orbitloop_edge.usecases.claims import bundle_size
from orbitloop_edge.usecases.contact import (
    Aboard,
    ContactSession,
    Occasion,
    OnProgress,
    prove_pending,
)
from orbitloop_edge.usecases.node_channel import DesiredIntake
from orbitloop_edge.usecases.repairs import RepairIntake
from orbitloop_edge.usecases.selection_channel import SelectionIntake
from orbitloop_edge.usecases.tally import SessionSummary

if TYPE_CHECKING:
    from orbitloop_edge.adapters.datagrams import DatagramGateway
    from orbitloop_edge.adapters.gateway import GatewayClient

_log = logging.getLogger(__name__)

CFDP_INBOX = "cfdp"
"""Where CFDP leaves updates, in the satellite's folder."""
RESERVE = Bytes(24 * 2**20)
"""Room for a bundle of the largest size, and for what is noted of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """What else the Local Controller looks after: ``events`` happen there, ``desired`` is brought about."""

    events: EventsOutbox | None = None
    desired: DesiredState = field(default_factory=NothingDesired)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a gateway is reached now: at its ``url``, or by ``datagrams`` (host and port) where an address is given.

    ``lasts`` is what is left of the pass, if that is known.
    """

    url: str
    datagrams: tuple[str, int] | None = None
    lasts: timedelta | None = None

    @property
    def host(self) -> str:
        """Name or address of the gateway."""
        return (urlsplit(self.url).hostname or "") if self.datagrams is None else self.datagrams[0]


class AbsentWorker:
    """No inference on board: for measuring, and for satellites whose worker is not there yet."""

    def status(self) -> WorkerStatus:
        """Raises ``NotYet``."""
        raise NotYet("there is no inference worker on board; name one in the configuration")

    def prove(self, path: Path, offer: Offer) -> UpdateReport:
        """Raises ``NotYet``."""
        raise NotYet(f"update {offer.digest} waits in {path} for an inference worker; name one in the configuration")

    def prove_beginning(self, path: Path, offer: Offer, here: Bytes) -> Digest | None:
        """Raises ``NotYet``."""
        raise NotYet(f"{here} bytes of update {offer.digest} wait in {path} for an inference worker; name one")


class Controller:
    """What waits on board and the contacts in which it goes.

    Args:
        settings: see :class:`EdgeSettings`.
        clock: what time it is on board.
        patience: how long the link may be silent before it counts as lost.
        senders: bundles that are under way at a time.
        egress: holds what is sent to the downlink's rate; ``None`` where the link itself does.
        node: what else is looked after.

    Raises:
        BadInput: another process has the satellite's folder open, or a key is missing, damaged or another's.
        NoSpace: the disk is full.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        clock: Clock,
        *,
        patience: timedelta = timedelta(seconds=30),
        senders: int = 4,
        egress: Egress | None = None,
        node: Node | None = None,
    ) -> None:
        node = node or Node()
        self._settings = settings
        self._egress = egress
        self._patience = patience
        self._credentials = credentials_of(settings)
        folder = settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._known_worker = folder / "worker.json"
        self.spool = DiskSpool(
            folder / "spool",
            settings.satellite,
            clock,
            budget=settings.spool_budget,
            policy=settings.policy,
            reserve=RESERVE,
        )
        self._reported: UpdateReport | None = None
        self._called: DatagramGateway | None = None
        self._desired = FileDesired(folder / "desired", node.desired)
        self._aboard = Aboard(
            satellite=settings.satellite,
            spool=self.spool,
            outbox=FolderOutbox(folder / "outbox"),
            inbox=FolderInbox(folder / "inbox", arrivals=folder / CFDP_INBOX),
            pending=FilePending(folder / "pending" / "offer.json"),
            begun=FilePending(folder / "pending" / "begun.json"),
            sessions=FileSessions(folder / "sessions" / "last", clock),
            clock=clock,
            largest_update=settings.policy.update_budget,
            bundle=bundle_size(settings.policy.downlink),
            senders=senders,
            events=node.events,
            repairs=RepairIntake(inbox=FolderInbox(folder / "repairs"), keep=partial(keep_repair, folder / "slots")),
            selection=SelectionIntake(
                inbox=FolderInbox(folder / "selection" / "inbox"),
                shelf=FileSelectionShelf(selection_path(settings), folder / "selection" / "fetched"),
            ),
            desired=DesiredIntake(inbox=FolderInbox(folder / "desired" / "inbox"), shelf=self._desired),
        )

    @property
    def shaping(self) -> ShaperKind | None:
        """Who holds what is sent to the downlink's rate; ``None``: only the link."""
        return None if self._egress is None else self._egress.kind

    def close(self) -> None:
        """Let another process open the folder."""
        self.spool.close()

    def hang_up(self) -> None:
        """End a contact by datagrams that is under way in another thread, as a loss of signal would."""
        if self._called is not None:
            self._called.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def occasion(self, worker: InferenceWorker, budget: Bytes) -> Occasion:
        """What a contact now is about: at most ``budget`` bytes of samples go down. Raises ``BadInput`` if nobody knows
        which model flies.
        """
        status = self.status_of(worker)
        return Occasion(
            flying=self._flying(status),
            budget=budget,
            telemetry=None if status is None else status.telemetry,
            damaged=() if status is None else status.damaged,
            logic=None if status is None else status.logic,
        )

    def contact(
        self, ground: Reach, worker: InferenceWorker, occasion: Occasion, on_progress: OnProgress | None = None
    ) -> SessionSummary:
        """Use one contact with a gateway."""
        with self._shaped(ground.host) as turn, self._opened(ground, turn) as gateway:
            return ContactSession(
                self._aboard, gateway, worker.prove, on_progress, on_beginning=worker.prove_beginning
            ).run(occasion)

    def prove_pending(self, worker: InferenceWorker) -> UpdateReport | None:
        """Prove an update that an earlier contact fetched, if one waits; its report waits for the next contact. Of one
        that was fetched in part, the beginning is proved, of which there is no report.

        Raises:
            NotYet: it cannot be proved now.
        """
        offer = self._aboard.pending.offer()
        if offer is None:
            if self._aboard.begun is not None:
                try_beginning(self._aboard.begun, self._aboard.inbox, worker.prove_beginning)
            return None
        if self._aboard.inbox.held(offer.digest).missing(offer.size):
            self._aboard.pending.drop()  # a crash came between the proof and the end of it: the ground offers it again
            return None
        status = worker.status()
        path = self._aboard.inbox.take(offer.digest)
        report = prove_pending(path, offer, self._aboard, worker.prove, status.flying)
        _log.info("update_proved", extra={"update": report.update, "outcome": str(report.outcome)})
        return report

    def status_of(self, worker: InferenceWorker) -> WorkerStatus | None:
        """What the worker says, or said last; ``None`` if it never said anything.

        The report of its last update is put into the outbox: a crash may have come between a swap and its report, and
        the ground takes it twice.
        """
        try:
            status = worker.status()
        except NotYet:
            return self.last_known()
        try:
            if status.last is not None and status.last != self._reported:
                self._aboard.outbox.put(status.last)
                self._reported = status.last
            if status != self.last_known():
                write_durably(self._known_worker, status.model_dump_json().encode())
        except NoSpace as error:  # a full disk must not keep from sending what fills it
            _log.warning("worker_status_not_kept", extra={"why": str(error)})
        return status

    def queued(self) -> SpoolState:
        """What waits to be sent."""
        return self.spool.state()

    def reports(self) -> list[UpdateReport]:
        """Reports that the ground has not acknowledged, oldest first."""
        return self._aboard.outbox.waiting()

    def events(self) -> int:
        """How many node events the ground has not acknowledged."""
        return 0 if self._aboard.events is None else len(self._aboard.events.pending(0))

    def settle(self) -> None:
        """Bring the node to the desired state that is here, unless that is done."""
        self._desired.settle()

    def _flying(self, status: WorkerStatus | None) -> Digest | None:
        """What flies; ``None`` on a node that looks after workers and datasets, and has no model of ours."""
        slots = self._settings.folder / "slots"
        if status is None and self._aboard.events is not None and not slots.exists():
            return None
        try:
            return read_state(slots).flying
        except BadInput:
            if status is None:
                raise
            return status.flying

    def last_known(self) -> WorkerStatus | None:
        """What the worker said last, if it ever did."""
        if not self._known_worker.exists():
            return None
        try:
            return WorkerStatus.model_validate_json(self._known_worker.read_bytes())
        except ValidationError:
            _log.warning("worker_status_damaged", extra={"path": str(self._known_worker)})
            self._known_worker.unlink()
            return None

    @contextmanager
    def _shaped(self, host: str) -> Iterator[Turn]:
        if self._egress is None:
            yield at_once
            return
        with self._egress.towards(host) as turn:
            yield turn

    def _opened(self, ground: Reach, turn: Turn) -> GatewayClient | DatagramGateway:
        # What one layer needs is not loaded for a satellite that never uses it: each weighs about 8 MB.
        if ground.datagrams is None:
            from orbitloop_edge.adapters.gateway import GatewayClient

            return GatewayClient(ground.url, self._credentials, patience=self._patience, turn=turn)
        from orbitloop.adapters.sealing import LinkKey
        from orbitloop_edge.adapters.datagrams import DatagramGateway, DatagramLink

        settings = self._settings
        link = DatagramLink(
            rate=settings.policy.downlink,
            datagram=settings.datagram,
            patience=self._patience,
            fade=settings.fade,
            lasts=ground.lasts,
        )
        self._called = DatagramGateway(ground.datagrams, settings.satellite, LinkKey(self._credentials.link_key), link)
        return self._called


def credentials_of(settings: EdgeSettings) -> Credentials:
    """The satellite's keys. Raises ``BadInput`` if they are missing, damaged or another satellite's."""
    credentials = read_credentials(settings.keys)
    if credentials.satellite != settings.satellite:
        raise BadInput(
            f"{settings.keys}: the keys of {credentials.satellite!r}, but this is {settings.satellite!r}; "
            "copy the right folder"
        )
    return credentials
