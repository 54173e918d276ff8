"""The gateway's composition root: settings become adapters, adapters an application, the application a server."""

from __future__ import annotations

import itertools
import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import ASGIApp

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.log_lines import log_to_stderr
from orbitloop.adapters.model_files import read_model
from orbitloop.adapters.shaping.choice import choose_shaper
from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.adapters.threads import ending_with_any_thread
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.errors import BadInput, OrbitloopError, Refused
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.node_ledger import Export
from orbitloop.ports.sample_store import Blobs
from orbitloop.ports.shaper import Peer, Shaper
from orbitloop.ports.uploads import Uploads
from orbitloop.wire.bundle import Limits
from orbitloop.wire.messages import LogicOnBoard
from orbitloop_ground.adapters.artifacts import Artifacts
from orbitloop_ground.adapters.authority import Authority
from orbitloop_ground.adapters.blobs import FolderBlobs
from orbitloop_ground.adapters.bucket_blobs import BucketBlobs
from orbitloop_ground.adapters.coco import read_coco
from orbitloop_ground.adapters.datagram_answers import DatagramAnswers
from orbitloop_ground.adapters.datagrams import DatagramServer, DatagramSettings
from orbitloop_ground.adapters.dataset_folder import IndexedFolder
from orbitloop_ground.adapters.labels import TileLabels
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.metrics import Metrics
from orbitloop_ground.adapters.model_chunks import ModelChunks
from orbitloop_ground.adapters.operator_token import OperatorToken
from orbitloop_ground.adapters.pictures import pixels_of, png_of
from orbitloop_ground.adapters.registry import ModelRegistry
from orbitloop_ground.adapters.restorable import RestorableLedger
from orbitloop_ground.adapters.review_formats import FORMATS
from orbitloop_ground.adapters.review_formats.files import FilesOfReviews
from orbitloop_ground.adapters.reviewers import Reviewers
from orbitloop_ground.adapters.revocations import LinkKeys, RevocationList
from orbitloop_ground.adapters.selections import FolderSelections, read_selection
from orbitloop_ground.adapters.tls import gateway_context
from orbitloop_ground.adapters.trained_weights import read_model_file, trained_weights
from orbitloop_ground.adapters.uploads import FolderUploads
from orbitloop_ground.http import faults
from orbitloop_ground.http.admin import admin
from orbitloop_ground.http.arrivals import Arrivals
from orbitloop_ground.http.artifacts import ArtifactRoutes
from orbitloop_ground.http.connections import Doors
from orbitloop_ground.http.identity import Identities
from orbitloop_ground.http.messages import MessageRoutes
from orbitloop_ground.http.operator import Deploying, OperatorRoutes
from orbitloop_ground.http.reviews import ReviewRoutes
from orbitloop_ground.http.server import DoorServer, ServerThread, listen
from orbitloop_ground.http.uploads import BundleRoutes
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.converse import Reception
from orbitloop_ground.usecases.deploy import Deployer, Terms, Yard
from orbitloop_ground.usecases.exports import Exporter, canaries
from orbitloop_ground.usecases.labelling import Teaching, TileLabeller, Tiles
from orbitloop_ground.usecases.nodes import Nodes
from orbitloop_ground.usecases.receive import Receiver
from orbitloop_ground.usecases.review_files import ReviewFolder, ReviewFormat
from orbitloop_ground.usecases.reviews import Reviewing
from orbitloop_ground.usecases.selections import OfferSelections

SELECTIONS = "selections"
"""Where in the gateway's folder the selection logics are that satellites are offered."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependencies:
    """What the gateway is made of."""

    settings: GroundSettings
    clock: Clock
    ledger: Ledger
    blobs: Blobs
    uploads: Uploads
    artifacts: Artifacts
    chunks: ModelChunks
    selections: FolderSelections
    revoked: RevocationList
    link_keys: LinkKeys
    metrics: Metrics

    @property
    def receiver(self) -> Receiver:
        """Takes in bundles, whichever layer carries them."""
        limits = Limits(packed=self.settings.max_bundle_bytes, unpacked=self.settings.max_unpacked_bytes)
        return Receiver(self.uploads, self.blobs, self.ledger, self.clock, limits)

    @property
    def reception(self) -> Reception:
        """Answers messages, whichever layer carries them."""
        return Reception(self.ledger, self.clock, self.metrics, self.chunks.lay_out, selection=self.selections.offered)


def offer_selection(settings: GroundSettings, satellite: str, file: Path) -> Digest:
    """Offer a selection logic to a satellite; errors as :meth:`FolderSelections.offer`."""
    verify = VerifyingKey(signing_key(settings).public).verify
    return FolderSelections(settings.folder / SELECTIONS).offer(satellite, file, verify)


def compose(settings: GroundSettings, clock: Clock | None = None) -> Dependencies:
    """The adapters that ``settings`` ask for; folders are made, the ledger's tables too."""
    clock = clock or WallClock()
    settings.folder.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings)
    chunks = ModelChunks(open_models(settings), settings.folder / "chunks")
    selections = FolderSelections(settings.folder / SELECTIONS)
    return Dependencies(
        settings=settings,
        clock=clock,
        ledger=ledger,
        blobs=open_blobs(settings),
        uploads=FolderUploads(
            settings.folder / "uploads", clock, most=settings.max_open_uploads, idle=settings.upload_expiry
        ),
        artifacts=Artifacts(ledger, settings.folder / "desired", chunks.find, selections.find),
        chunks=chunks,
        selections=selections,
        revoked=RevocationList(settings.keys / "revoked.json"),
        link_keys=LinkKeys(settings.keys / "links"),
        metrics=Metrics(ledger.summaries),
    )


def open_ledger(settings: GroundSettings) -> Ledger:
    """The database that ``settings`` name, or a file in the gateway's folder that can be made anew from its journal."""
    if settings.database is not None:
        return Ledger(settings.database)
    return RestorableLedger(settings.folder.resolve() / "ledger.db")


def open_blobs(settings: GroundSettings) -> Blobs:
    """The bucket that ``settings`` name, or a folder in the gateway's. Raises ``BadInput``, ``NotYet``, ``NoSpace``."""
    if settings.blobs is not None:
        return BucketBlobs(settings.blobs, settings.blobs_endpoint)
    return FolderBlobs(settings.folder / "blobs")


def create_app(parts: Dependencies) -> FastAPI:
    """The gateway as an ASGI application; whoever serves it names the peer of each connection."""
    silence = parts.settings.silence
    identities = Identities(parts.revoked)
    app = FastAPI(title="orbitloop gateway", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Arrivals)
    app.include_router(BundleRoutes(parts.receiver, identities, silence=silence).router())
    app.include_router(MessageRoutes(parts.reception, identities, silence=silence).router())
    app.include_router(ArtifactRoutes(parts.artifacts.find, identities).router())
    faults.register(app, parts.metrics)
    return app


def create_server(parts: Dependencies, app: ASGIApp | None = None, shaper: Shaper | None = None) -> DoorServer:
    """The server that satellites reach: mutual TLS, and doors as ``parts.settings`` say."""
    settings = parts.settings

    def pace(address: str, size: Bytes) -> timedelta:
        return timedelta(0) if shaper is None else shaper.pace(Peer(address=address), size)

    return DoorServer(
        app or create_app(parts),
        context=gateway_context(settings.keys),
        doors=Doors(
            handshake=settings.handshake,
            head=settings.head,
            most=settings.max_connections,
            most_from=settings.max_connections_from_address,
            most_of=settings.max_connections_of_satellite,
        ),
        watch=parts.metrics,
        pace=pace,
        access_log=settings.access_log,
    )


def gateway_thread(parts: Dependencies, app: ASGIApp | None = None, port: int = 0) -> ServerThread:
    """A gateway that serves in a thread for as long as the ``with`` block lasts."""
    return ServerThread(create_server(parts, app), host=parts.settings.host, port=port)


def datagram_server(parts: Dependencies) -> DatagramServer:
    """The second convergence layer, beside the first: the same bundles, messages and updates."""
    settings = parts.settings
    return DatagramServer(
        DatagramAnswers(parts.receiver, parts.reception, parts.artifacts.find, parts.metrics),
        parts.link_keys,
        DatagramSettings(host=settings.host, port=settings.datagram_port or 0, rate=settings.datagram_rate),
        parts.metrics,
    )


@contextmanager
def cfdp_entity(parts: Dependencies) -> Iterator[int]:
    """The ground's end of CCSDS File Delivery: bundles that come as files go the way of all others. Gives its UDP port.

    Raises:
        BadInput: the port is taken, the contact plan cannot be read, or nobody may send.
    """
    # Few grounds speak it: what it needs is not loaded for the others.
    from orbitloop.adapters.cfdp.entity import CfdpEntity
    from orbitloop.adapters.cfdp.values import EntityId, EntitySettings, Limits
    from orbitloop_ground.adapters.cfdp_contacts import FollowedContacts
    from orbitloop_ground.adapters.cfdp_reception import CfdpReception, CfdpRemotes

    settings = parts.settings
    remotes = CfdpRemotes.of(settings.cfdp_remotes, settings.datagram_rate)
    told = EntitySettings(
        id=EntityId(settings.cfdp_entity),
        host=settings.cfdp_host,
        port=settings.cfdp_port or 0,
        inbox=settings.folder / "cfdp" / str(settings.cfdp_entity),
        remotes=remotes.entities,
        limits=Limits(file=settings.max_bundle_bytes),
    )
    with ExitStack() as stack:
        entity = stack.enter_context(CfdpEntity(told, CfdpReception(parts.receiver, remotes.satellites, parts.metrics)))
        if settings.cfdp_plan is not None:
            satellites = set(remotes.satellites.values())
            stack.enter_context(FollowedContacts(entity, settings.cfdp_plan, satellites, parts.clock))
        yield entity.address[1]


def tile_labels(settings: GroundSettings) -> TileLabels | None:
    """Who labels what came down, if annotations are there. Raises ``BadInput`` for some that cannot be read."""
    return None if settings.labels is None else TileLabels(read_coco(settings.labels))


def teaching(settings: GroundSettings, blobs: Blobs) -> Teaching | None:
    """The teacher at work, if there is one. Raises ``BadInput`` where its folder is missing or not calibrated."""
    if settings.teacher is None:
        return None
    # Torch takes its time, and the gateway, which does not look, reads what the exports' teacher thought.
    from orbitloop_ground.adapters.pseudo_labels import PseudoLabels
    from orbitloop_ground.adapters.teacher_files import read_teacher
    from orbitloop_ground.adapters.yolo.compute import Compute

    classes = named_classes(settings) or open_models(settings).classes() or None
    teacher = read_teacher(settings.teacher, classes, Compute.best(), calibrated=True)
    return Teaching(
        name=teacher.name, labeler=PseudoLabels(lambda: [teacher]), tiles=Tiles(blobs=blobs, decode=pixels_of)
    )


def named_classes(settings: GroundSettings) -> tuple[str, ...]:
    """Names of the classes; empty where nobody says any."""
    return settings.classes or (() if settings.labels is None else read_coco(settings.labels).classes)


def deployer(parts: Dependencies) -> Deployer:
    """What makes updates of model files that were trained elsewhere. Raises ``BadInput`` for labels that are none."""
    settings = parts.settings
    label = TileLabeller(desk=parts.ledger, archive=tile_labels(settings), believed=settings.teacher is not None).label
    outbox = settings.folder / "updates"
    outbox.mkdir(exist_ok=True)
    yard = Yard(
        ledger=parts.ledger,
        models=open_models(settings),
        read=trained_weights,
        canaries=lambda satellite: canaries(parts.ledger.received(satellite), label),
        sign=partial(sign, settings),
        outbox=outbox,
        write=write_durably,
    )
    return Deployer(yard, Terms(budget=settings.max_update_bytes, least_carried=settings.update_least_carried))


def fitter(parts: Dependencies) -> OfferSelections:
    """What signs selection logics at the operators' behest, and offers them."""

    def said(satellite: str) -> LogicOnBoard | None:
        heard = parts.ledger.last_hello(satellite)
        return None if heard is None else heard[1].logic

    return OfferSelections(parts.selections, read_selection, partial(sign, parts.settings), said)


def sign(settings: GroundSettings, message: bytes) -> bytes:
    """The ground's signature. Raises ``BadInput`` where its key is missing."""
    return signing_key(settings).sign(message)


def signing_key(settings: GroundSettings) -> SigningKey:
    """What satellites believe. Raises ``BadInput`` where it is missing."""
    key = settings.keys / "signing.key"
    if not key.exists():
        raise BadInput(f"{key} is missing; copy the ground's keys here: no satellite takes what is not signed")
    return SigningKey(key)


def open_models(settings: GroundSettings) -> ModelRegistry:
    """The models that the ground knows."""
    return ModelRegistry(settings.folder / "models")


def reviewing(settings: GroundSettings, ledger: Ledger, blobs: Blobs, clock: Clock) -> Reviewing:
    """What people do with labels that are in doubt. Raises ``BadInput`` for annotations that cannot be read."""
    known, models = named_classes(settings), open_models(settings)
    return Reviewing(queue=ledger, blobs=blobs, clock=clock, classes=lambda: known or models.classes(), to_png=png_of)


def create_admin(parts: Dependencies) -> Starlette:
    """Health, metrics, the operators' API and reviews. Raises ``BadInput`` for a token that cannot be used."""
    settings, token = parts.settings, parts.settings.operator_token
    nodes = Nodes(parts.ledger, lambda node: parts.link_keys(node) is not None)
    deploying = Deploying(deploy=deployer(parts).deploy, read=read_model_file)
    is_shown = None if token is None else OperatorToken(token).is_shown
    routes = OperatorRoutes(nodes, deploying, fitter(parts), parts.selections.commissioned, is_shown)
    reviews = ReviewRoutes(
        reviewing=reviewing(settings, parts.ledger, parts.blobs, parts.clock),
        who_is=None if settings.reviewers is None else Reviewers(settings.reviewers).name_of,
        silence=settings.silence,
    )
    app = admin(parts.metrics.text, [*routes.routes(), *reviews.routes()])
    faults.register(app, parts.metrics)
    return app


def admin_thread(parts: Dependencies) -> ServerThread:
    """What :func:`create_admin` makes, on a port of its own."""
    server = DoorServer(create_admin(parts))
    return ServerThread(server, host=parts.settings.admin_host, port=parts.settings.admin_port)


def open_authority(folder: Path, lifetime: timedelta) -> Authority:
    """The mission's keys in ``folder``; certificates hold in the wall's time, whatever time the mission flies in."""
    return Authority(folder, WallClock(), lifetime=lifetime)


def register_model(settings: GroundSettings, folder: Path) -> Digest:
    """Let the ground know the model in ``folder``, as it was installed on board. Raises ``BadInput``, ``NoSpace``."""
    return open_models(settings).put(read_model(folder))


def exported_datasets(
    settings: GroundSettings, satellite: str, folder: IndexedFolder, every: timedelta | None
) -> Iterator[Export]:
    """Append what came down from ``satellite`` to the dataset in ``folder``: once, or again and again.

    Annotations are read again each time. What fails is tried again where there is a next time, unless it is refused at
    the first: annotations that were good may be being written.

    Raises:
        BadInput: the index cannot be used, the labels cannot be read, or the teacher cannot be used.
        NotYet: the disk is full, or the ledger does not answer; what was appended stays.
    """
    with opened_ledger(settings) as ledger:
        blobs = open_blobs(settings)
        teacher = teaching(settings, blobs)
        for turn in itertools.count():
            try:
                archive = tile_labels(settings)
                labeller = TileLabeller(desk=ledger, archive=archive, teacher=teacher)
                label = None if archive is None and teacher is None else labeller.label
                export = Exporter(ledger=ledger, blobs=blobs, clock=WallClock(), label=label).export(satellite, folder)
            except OrbitloopError as error:
                if every is None or (turn == 0 and isinstance(error, Refused)):
                    raise
                _log.warning("export_put_off", extra={"satellite": satellite, "why": str(error)})
            else:
                yield export
            if every is None:
                return
            time.sleep(every.total_seconds())


def dataset_folder(folder: Path, index: str) -> IndexedFolder:
    """A dataset on this machine. Raises ``BadInput`` for a folder or an index that cannot be used."""
    return IndexedFolder(folder, index)


@contextmanager
def opened_ledger(settings: GroundSettings) -> Iterator[Ledger]:
    """The ledger alone, beside the gateways that use it."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def opened_reviews(settings: GroundSettings) -> Iterator[Reviewing]:
    """What people do with labels that are in doubt, beside the gateways."""
    with opened_ledger(settings) as ledger:
        yield reviewing(settings, ledger, open_blobs(settings), WallClock())


def review_files(kind: str, path: Path) -> tuple[ReviewFormat, ReviewFolder]:
    """A tool's format, and the folder (or the file) that it shares with us."""
    return FORMATS[kind], FilesOfReviews(path)


def serve(settings: GroundSettings) -> None:
    """Run the gateway until it is told to stop (SIGINT, SIGTERM); its ports are one line of JSON on standard output.

    Raises:
        BadInput: a port is taken, or the keys are missing.
        RuntimeError: one of its threads ended by an error that nobody expected, and the gateway with it.
    """
    log_to_stderr("gateway", quiet=["uvicorn.error"])  # its servers are parts of the gateway, which says what happens
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with ExitStack() as stack:
        parts = compose(settings)
        stack.callback(parts.ledger.close)
        shaper = stack.enter_context(choose_shaper(settings.interface))
        if settings.uplink is not None:
            for address in settings.uplink_peers:
                shaper.limit(Peer(address=address), settings.uplink)
        server = create_server(parts, shaper=shaper)
        stack.enter_context(ending_with_any_thread(partial(setattr, server, "should_exit", True)))
        bound = stack.enter_context(listen(settings.host, settings.port))
        ports: dict[str, int | None] = {"gateway": bound.getsockname()[1], "datagrams": None, "cfdp": None}
        if settings.datagram_port is not None:
            ports["datagrams"] = stack.enter_context(datagram_server(parts)).port
        if settings.cfdp_port is not None:
            ports["cfdp"] = stack.enter_context(cfdp_entity(parts))
        ports["admin"] = stack.enter_context(admin_thread(parts)).port
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        server.run(sockets=[bound])


def _stop(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)
