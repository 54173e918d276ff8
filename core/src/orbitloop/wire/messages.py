"""What satellite and ground say to each other in a contact session.

Every message carries a ``version``; unknown fields are ignored, so that last month's satellite still speaks.
Sizes, digests and names are checked here, once, at the border.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from orbitloop.domain.chunks import CHUNK
from orbitloop.domain.drift import MEASURES, MOST_CLASSES, SCORE_BINS
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest

WIRE_VERSION = 1

DigestText = Annotated[Digest, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Size = Annotated[Bytes, Field(ge=0, le=2**40)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Score = Annotated[float, Field(allow_inf_nan=False)]
Factor = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1_000)]
Session = Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]

MOST_UNFINISHED = 16
"""Bundles that one hello may name."""
MOST_DESIRED = 256 * 1_000
"""Bytes of the largest desired state."""
MOST_SELECTION = 64 * 2**20
"""Bytes of the largest selection logic."""
MOST_DAMAGED = 16
"""Chunks that one hello may ask for."""
MOST_APPLICATION = 128
"""Characters of an application's name, as a hello says it."""
MOST_REASON = 500
"""Characters of why a selection logic was refused."""


class Message(BaseModel):
    """Base of everything that crosses space: frozen, tolerant of fields from the future."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = Field(default=WIRE_VERSION, ge=1)


class Receipt(Message):
    """The ground holds this bundle durably: the satellite may forget it."""

    bundle: DigestText
    samples: int = Field(ge=0)
    stored: AwareDatetime


class LedgerPosition(Message):
    """How far the satellite believes the ground's ledger to be.

    Args:
        delivered: samples that the ground has acknowledged since launch.
        last: the bundle acknowledged last.
    """

    delivered: int = Field(ge=0)
    last: DigestText | None = None


class DamagedChunk(Message):
    """A chunk of a model that the satellite cannot make good out of what it has; see :mod:`orbitloop.domain.chunks`.

    Args:
        model: digest of the model's weights.
        part: the tensor's name, or empty for the graph.
        index: which chunk of it.
        digest: of the chunk as it ought to be.
    """

    model: DigestText
    part: str = Field(max_length=512)
    index: int = Field(ge=0, lt=2**24)
    digest: DigestText


class LogicOnBoard(Message):
    """What became of selection logics on board.

    Args:
        flying: digest of the file that frames go by; ``None``: they go by none.
        flying_version: of that file, as its header says.
        application: whose logic that is.
        refused: digest of the file that was refused last; ``None`` once a good one has come after it.
        reason: why it was refused.
    """

    flying: DigestText | None = None
    flying_version: int | None = Field(default=None, ge=1, lt=2**53)
    application: str = Field(default="", max_length=MOST_APPLICATION)
    refused: DigestText | None = None
    reason: str = Field(default="", max_length=MOST_REASON)


class Hello(Message):
    """The satellite opens a session: who it is, what flies, what waits.

    Args:
        flying: digest of the weights in service; ``None`` on a node that has no model of ours, which a ground of last
            month does not let in.
        session: random name of this contact session; empty from satellites that had none yet.
        sequence: counts sessions since launch and never goes back: an older one is a replay. 0 where it is not counted.
        position: how far the ground's ledger is, as the satellite knows it.
        unfinished: bundles that were sealed and not yet acknowledged; the answer says which of them arrived after all.
        desired: digest of the desired state that is here; ``None`` where none ever came, and from satellites that
            take none.
        damaged: chunks of models that the ground is asked for.
        selection: digest of the selection logic that was fetched last, whatever became of it; ``None`` where none was,
            and from satellites that take none.
        logic: what became of selection logics on board; ``None`` where the worker has said nothing of it.
    """

    satellite: Name
    flying: DigestText | None = None
    clock: AwareDatetime
    queued_samples: int = Field(ge=0)
    queued_bytes: Size
    session: Session = ""
    sequence: int = Field(default=0, ge=0, lt=2**53)
    position: LedgerPosition | None = None
    unfinished: tuple[DigestText, ...] = Field(default=(), max_length=MOST_UNFINISHED)
    desired: DigestText | None = None
    damaged: tuple[DamagedChunk, ...] = Field(default=(), max_length=MOST_DAMAGED)
    selection: DigestText | None = None
    logic: LogicOnBoard | None = None


class Offer(Message):
    """An update that the ground has ready for this satellite."""

    digest: DigestText
    size: Size
    base: DigestText
    result: DigestText


class Desired(Message):
    """The state that the ground wants a node to be in: a JSON document, fetched as an artifact by its digest."""

    digest: DigestText
    size: Annotated[Bytes, Field(ge=2, le=MOST_DESIRED)]


class OfferedSelection(Message):
    """A selection logic for this satellite: fetched as an artifact by its digest; see :mod:`.selection_file`."""

    digest: DigestText
    size: Annotated[Bytes, Field(ge=1, le=MOST_SELECTION)]


class Repair(Message):
    """A chunk that the satellite asked for: fetched as an artifact by its digest."""

    digest: DigestText
    size: Annotated[Bytes, Field(ge=1, le=CHUNK)]


class Priorities(Message):
    """What the ground wants most: factors on the value of what waits, by reason; those it does not name count as one.

    Args:
        revision: grows with every change, so that an older one that comes late changes nothing.
        factors: by reason (``hard``, ``miss``, ``audit``, ``value``); those that the satellite does not know are
            ignored.
    """

    revision: int = Field(ge=0)
    factors: dict[Annotated[str, Field(max_length=64)], Factor] = Field(default_factory=dict, max_length=64)


class Welcome(Message):
    """The ground's answer to a hello.

    Args:
        held: receipts of those ``unfinished`` bundles that the ground holds already.
        received: samples of this satellite that the ground holds: its side of the ledger position.
        priorities: what the ground wants most; ``None`` leaves the satellite's own ranking.
        desired: the state that is wanted of the node, if it is not the one that the hello named.
        events: whether the ground takes node events; a ground of last month says nothing of it, and is sent none.
        repairs: those of the ``damaged`` chunks that the ground has; a ground of last month names none.
        selection: the logic that the satellite should go by, if it is not the one that the hello named.
    """

    clock: AwareDatetime
    offer: Offer | None = None
    held: tuple[Receipt, ...] = Field(default=(), max_length=MOST_UNFINISHED)
    received: int = Field(default=0, ge=0)
    priorities: Priorities | None = None
    desired: Desired | None = None
    events: bool = False
    repairs: tuple[Repair, ...] = Field(default=(), max_length=MOST_DAMAGED)
    selection: OfferedSelection | None = None


class Goodbye(Message):
    """The satellite ends a session before the signal does: what it thinks was said."""

    satellite: Name
    session: Session
    bundles: int = Field(ge=0)
    samples: int = Field(ge=0)
    bytes_down: Size
    bytes_up: Size
    complete: bool


class UpdateReport(Message):
    """The satellite tells what it did with an update; sent until acknowledged.

    Args:
        late: it was rolled back after it had flown, or because the worker died while it was proved: for what happened
            on board, which may have nothing to do with it. The ground may offer it again.
    """

    satellite: Name
    update: DigestText
    outcome: Outcome
    reason: str = Field(default="", max_length=2_000)
    flying: DigestText
    canary_before: Score | None = None
    canary_after: Score | None = None
    at: AwareDatetime
    late: bool = False


class SketchText(Message):
    """What the latest frames were like, see :class:`orbitloop.domain.drift.Sketch`: some 300 bytes.

    Args:
        model: digest of the weights that looked at them.
    """

    model: DigestText
    frames: int = Field(ge=1)
    tiles: int = Field(ge=1)
    scores: tuple[Count, ...] = Field(min_length=SCORE_BINS, max_length=SCORE_BINS)
    classes: tuple[Count, ...] = Field(max_length=MOST_CLASSES)
    sums: tuple[Score, ...] = Field(min_length=MEASURES, max_length=MEASURES)
    squares: tuple[Score, ...] = Field(min_length=MEASURES, max_length=MEASURES)


class Trust(Message):
    """How the models on board are, in memory and on disk; counts since launch.

    Args:
        scrubbed: bytes whose digest was looked at.
        rounds: how often everything was looked at once.
        found: damages: chunks, files and answers that were not what they had been.
        repaired: those of them that were made good.
        missing: chunks that wait for the ground.
        fallen_back: how often the last good model took over for good.
        last: when damage was found last.
        serving: digest of the weights that look at frames; ``None``: nothing does.
        reason: why that is not what ought to fly, if so.
    """

    scrubbed: int = Field(default=0, ge=0)
    rounds: int = Field(default=0, ge=0)
    found: int = Field(default=0, ge=0)
    repaired: int = Field(default=0, ge=0)
    missing: int = Field(default=0, ge=0)
    fallen_back: int = Field(default=0, ge=0)
    last: AwareDatetime | None = None
    serving: DigestText | None = None
    reason: str = Field(default="", max_length=500)


class Telemetry(Message):
    """Frames and results since launch, sent with every contact.

    Args:
        sketch: of the latest frames that the flying model looked at; ``None`` from satellites that make none.
        trust: how the models on board are; ``None`` from satellites that do not look.
    """

    satellite: Name
    frames_captured: int = Field(ge=0)
    frames_processed: int = Field(ge=0)
    captured_bytes: Size
    samples_spooled: int = Field(ge=0)
    sketch: SketchText | None = None
    trust: Trust | None = None
