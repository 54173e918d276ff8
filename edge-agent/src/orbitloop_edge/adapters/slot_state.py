"""What flies, as ``slots/state.json`` says: light, for those who load no model.

There are two copies, each with a digest of itself: one that the disk has damaged is told, and made good by the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import DigestText, UpdateReport

SlotName = Literal["a", "b", "c"]
STATE, SECOND, REPAIRS = "state.json", "state.copy.json", "repairs"


class Checked(BaseModel):
    """A small file that carries the digest of its own content. Without one, it is of last month, and believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    check: DigestText | None = None

    @property
    def sound(self) -> bool:
        """Whether it is what was written."""
        return self.check is None or self.check == self._digest()

    def sealed(self) -> Self:
        """The same, with the digest of what it is now."""
        return self.model_copy(update={"check": self._digest()})

    def text(self) -> bytes:
        """Its JSON, sealed."""
        return self.sealed().model_dump_json(indent=2).encode()

    @classmethod
    def of(cls, path: Path) -> Self:
        """The content of ``path``. Raises ``BadInput`` if it cannot be read or is not what was written."""
        try:
            read = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise BadInput(f"{path}: unreadable ({first_complaint(error)})") from error
        except OSError as error:
            raise BadInput(f"{path}: unreadable ({error.strerror})") from error
        if not read.sound:
            raise BadInput(f"{path}: damaged: its digest is not the one that it carries")
        return read

    def _digest(self) -> Digest:
        return digest_of(self.model_dump_json(exclude={"check"}).encode())


class Kept(BaseModel):
    """A slot, and the digest of the weights in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    slot: SlotName
    digest: DigestText


class Answer(BaseModel):
    """What a model answers to the known question: digest of its outputs, as ``engine`` computes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    engine: str
    outputs: DigestText


class SlotState(Checked):
    """``state.json``: the slot that flies, the digests of all that it is made of, and the last update's report.

    Attributes:
        kept: the last good model, to which the satellite falls back; after an installation the same once more.
        answers: known answers, by the digest of the weights.
    """

    active: SlotName
    flying: DigestText
    spec: DigestText
    graph: DigestText
    last: UpdateReport | None = None
    kept: Kept | None = None
    answers: dict[DigestText, Answer] = Field(default_factory=dict)

    @property
    def occupied(self) -> tuple[Kept, ...]:
        """The slots whose content counts, what flies first."""
        flying = Kept(slot=self.active, digest=self.flying)
        return (flying,) if self.kept is None else (flying, self.kept)


def read_state(folder: Path) -> SlotState:
    """What flies out of the slots in ``folder``, read without touching anything; errors as :meth:`Slots.state`."""
    first, second = folder / STATE, folder / SECOND
    if not first.exists() and not second.exists():
        raise BadInput(f"{folder}: no model is installed; run orbitloop-edge install with a model folder")
    try:
        return SlotState.of(first)
    except BadInput as error:
        try:
            return SlotState.of(second)
        except BadInput:
            raise BadInput(f"{error}; install the model again") from error


def write_state(folder: Path, state: SlotState) -> None:
    """Replace both copies, one after the other: whenever it is cut short, one of them is whole. Raises ``NoSpace``."""
    text = state.text()
    write_durably(folder / STATE, text)
    write_durably(folder / SECOND, text)


def mend_state(folder: Path) -> int:
    """Make both copies say what the first says, or the second where the first is damaged.

    Returns:
        How many of them were damaged; one that a killed write left behind is none.

    Raises:
        BadInput: both are damaged, or there are none.
    """
    state = read_state(folder)
    found, text = 0, state.text()
    for path in (folder / STATE, folder / SECOND):
        try:
            stored = SlotState.of(path)
        except BadInput:
            found += path.exists()
            stored = None
        if stored != state.sealed():
            write_durably(path, text)
    return found


def keep_repair(folder: Path, chunk: Digest, path: Path) -> None:
    """Keep a chunk that the ground has sent, for the worker. Raises ``NoSpace``."""
    (folder / REPAIRS).mkdir(parents=True, exist_ok=True)
    write_durably(folder / REPAIRS / hexadecimal(chunk), path.read_bytes())
