"""Reviews that people make in a labelling tool of their own: tiles go out with their pictures, verdicts come back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np

from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Overtaken, Review, Verdict
from orbitloop_ground.usecases.reviews import Reviewing

_NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_UNEQUAL = "picture of {}x{} pixels; the tile has {}x{}: import it without resizing"


class State(StrEnum):
    """Which tiles are meant."""

    PENDING = "pending"
    DECIDED = "decided"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """A tile on its way out: its picture lies at ``path`` in the folder, ``names`` are its classes by label."""

    review: Review
    path: str
    names: tuple[str, ...]

    @property
    def rejected(self) -> bool:
        """Whether the last word is that nothing is to be learned from it."""
        return self.review.verdict is not None and self.review.verdict.truth is None

    @property
    def truth(self) -> Truth:
        """What people found in it; what was proposed, while nobody has decided or if it was rejected."""
        verdict, proposal = self.review.verdict, self.review.proposal
        if verdict is not None and verdict.truth is not None:
            return verdict.truth
        return Truth(boxes=proposal.boxes, labels=proposal.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What a tool's file says of one tile.

    Args:
        where: in the file, for errors.
        size: width and height of its picture there, in pixels, if it says so.
        objects: ``x0, y0, x1, y1`` in pixels and the class's name; ``None``: rejected.
    """

    sample: Digest
    where: str
    size: tuple[int, int] | None
    objects: tuple[tuple[tuple[float, float, float, float], str], ...] | None


class ReviewFormat(Protocol):
    """How a tool wants its files."""

    @property
    def suffix(self) -> str:
        """Of the file that comes back."""
        ...

    def write(self, tiles: Sequence[Tile], classes: Sequence[str]) -> Mapping[str, bytes]:
        """Files beside the pictures, by name."""
        ...

    def read(self, path: Path) -> list[Marked]:
        """What the file at ``path`` decides on. Raises ``BadInput`` for a file of another format, or a bad entry."""
        ...


class ReviewFolder(Protocol):
    """Where the files lie."""

    def write(self, name: str, data: bytes) -> None:
        """Keep a file. Raises ``NoSpace``."""
        ...

    def returned(self, suffix: str) -> Path:
        """The one file with that suffix that came back. Raises ``BadInput`` where there is none, or several."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """How many tiles went out, and why others did not."""

    tiles: int
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of an import: verdicts in the file, how many of them were news, and what they say."""

    verdicts: int
    news: int
    rejected: int
    boxes: int


def listed(reviewing: Reviewing, state: State) -> list[Review]:
    """The tiles that are meant, in the order in which they came."""
    return reviewing.queue.reviews(pending=state is not State.DECIDED, decided=state is not State.PENDING)


def export(reviewing: Reviewing, kind: ReviewFormat, folder: ReviewFolder, state: State) -> Exported:
    """Write tiles with their pictures; one whose pixels cannot be shown is left out.

    Raises:
        NoSpace: the disk is full.
    """
    tiles: list[Tile] = []
    left_out: list[str] = []
    for review in listed(reviewing, state):
        tile = Tile(review=review, path=f"images/{hexadecimal(review.sample)}.png", names=reviewing.names(review))
        try:
            folder.write(tile.path, reviewing.picture(review))
        except Refused as error:
            left_out.append(str(error))
            continue
        tiles.append(tile)
    classes = max((reviewing.classes(), *(tile.names for tile in tiles)), key=len)
    for name, data in kind.write(tiles, classes).items():
        folder.write(name, data)
    return Exported(tiles=len(tiles), left_out=tuple(left_out))


def take_back(reviewing: Reviewing, marked: Iterable[Marked], who: str, *, replace: bool = False) -> Imported:
    """Store what a tool's file decides on, all of it or nothing.

    Args:
        who: who decided.
        replace: whether it counts too where people have decided otherwise before.

    Raises:
        BadInput: a tile is unknown or occurs twice, a class is unknown, or a box is outside its tile.
        Overtaken: people have decided otherwise before.
    """
    now, after = reviewing.clock.now(), None if replace else 0
    verdicts: dict[Digest, Verdict] = {}
    for one in marked:
        if one.sample in verdicts:
            raise BadInput(f"{one.where}: sample {one.sample} occurs twice; leave one of them")
        verdicts[one.sample] = Verdict(truth=_truth(reviewing, one), who=who, at=now, after=after)
    try:
        news = reviewing.decide_all(verdicts)
    except Overtaken as error:
        raise Overtaken(f"{error}; nothing was imported. With --replace what the file says counts") from error
    found = [verdict.truth for verdict in verdicts.values()]
    boxes = sum(len(truth.labels) for truth in found if truth is not None)
    return Imported(verdicts=len(found), news=news, rejected=sum(truth is None for truth in found), boxes=boxes)


def sample_in(name: object, where: str) -> Digest:
    """The sample whose id is in the name of a picture, whatever a tool has put before or behind it.

    Raises:
        BadInput: there is none.
    """
    found = _NAME.findall(name) if isinstance(name, str) else []
    if not found:
        raise BadInput(
            f"{where}: {name!r} names no sample; the pictures must keep the names that they were exported by"
        )
    return Digest(f"sha256:{found[-1]}")


def _truth(reviewing: Reviewing, one: Marked) -> Truth | None:
    """Raises ``BadInput``, naming the place in the file."""
    try:
        review = reviewing.demand(one.sample)
        tile = (review.window.width, review.window.height)
        if one.size is not None and one.size != tile:
            raise BadInput(_UNEQUAL.format(*one.size, *tile))
        if one.objects is None:
            return None
        labels = {name: label for label, name in enumerate(reviewing.names(review))}
        if strange := next((name for _, name in one.objects if name not in labels), None):
            raise BadInput(f"the class {strange!r} is unknown; known are {', '.join(labels) or 'none'}")
        truth = Truth(
            boxes=np.array([box for box, _ in one.objects], np.float32).reshape(-1, 4),
            labels=np.array([labels[name] for _, name in one.objects], np.int64),
        )
        review.check(truth)
    except BadInput as error:
        raise BadInput(f"{one.where}: {error}; nothing was imported") from error
    return truth
