"""What came down from a satellite, as a dataset that training on the ground reads: an index, one image a line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import Refused
from orbitloop.domain.rollout import is_canary
from orbitloop.domain.samples import Reason
from orbitloop.domain.tiling import Window
from orbitloop.ports.clock import Clock
from orbitloop.ports.node_ledger import Export, ExportLedger
from orbitloop.ports.sample_store import Blobs, ReceivedSample
from orbitloop.wire.update import CanaryTruth
from orbitloop_ground.usecases.school import MOST_CANARIES

_log = logging.getLogger(__name__)

_AT_ONCE = 200

LabelTile = Callable[[str, Window], Truth | None]
"""Objects of a tile, by the frame that it was cut from and where; ``None`` if nobody knows."""


class Received(ExportLedger, Protocol):
    """The ledger's samples."""

    def received(self, satellite: str) -> Sequence[ReceivedSample]:
        """Every sample of a satellite, in the order of arrival."""
        ...


class DatasetFolder(Protocol):
    """Where the dataset lies."""

    @property
    def index(self) -> str:
        """Path of the index, absolute."""
        ...

    def listed(self) -> Set[str]:
        """The images that the index names."""
        ...

    def append(self, images: Mapping[str, bytes], lines: Sequence[str]) -> int:
        """Keep images by their names, then lines at the end of the index, durably; returns how many lines it has."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exporter:
    """Writes datasets; what is there already stays as it is, line for line, so that positions in an index hold.

    Args:
        label: labels the tiles; samples that it cannot label wait. ``None``: all are written, without labels.
    """

    ledger: Received
    blobs: Blobs
    clock: Clock
    label: LabelTile | None

    def export(self, satellite: str, folder: DatasetFolder) -> Export:
        """Append what came down since; tiles that are held out to prove updates on are not for training, nor is what an
        application wanted for its value.

        Raises:
            NoSpace: the disk is full; what was appended stays.
        """
        known, images, lines = folder.listed(), dict[str, bytes](), list[str]()
        total = len(known)
        for name, line, entry in self._labelled(self.ledger.received(satellite), known):
            try:
                images[name] = self.blobs.get(entry.blob)
            except Refused as error:
                _log.warning("sample_not_exported", extra={"sample": entry.sample.id, "why": str(error)})
                continue
            lines.append(line)
            if len(lines) == _AT_ONCE:
                total = folder.append(images, lines)
                images, lines = {}, []
        if lines:
            total = folder.append(images, lines)
        export = Export(path=folder.index, lines=total, at=self.clock.now())
        self.ledger.record_export(satellite, export)
        return export

    def _labelled(
        self, samples: Iterable[ReceivedSample], known: Set[str]
    ) -> Iterable[tuple[str, str, ReceivedSample]]:
        for entry in samples:
            name = _name(entry)
            if name in known or is_canary(entry.sample.id) or entry.sample.reason is Reason.VALUE:
                continue
            if self.label is None:
                yield name, name, entry
            elif (truth := self.label(entry.sample.frame, entry.sample.window)) is not None:
                yield name, " ".join([name, *_objects(truth)]), entry


def canaries(samples: Iterable[ReceivedSample], label: LabelTile) -> list[CanaryTruth]:
    """What to tell a satellite of the held-out tiles that it kept: those with objects first."""
    taught = [entry.sample for entry in samples if entry.sample.reason is not Reason.VALUE]
    held_out = [sample for sample in taught if is_canary(sample.id)]
    found = [(sample.id, label(sample.frame, sample.window)) for sample in held_out]
    told = [CanaryTruth(sample=name, truth=truth) for name, truth in found if truth is not None]
    return sorted(told, key=lambda canary: -len(canary.truth.labels))[:MOST_CANARIES]


def _name(entry: ReceivedSample) -> str:
    stem = hexadecimal(entry.sample.id)
    return f"images/{stem[:2]}/{stem}.{entry.sample.codec}"


def _objects(truth: Truth) -> list[str]:
    """``x0,y0,x1,y1,class`` of each object, in whole pixels, as Sedna's examples write them."""
    return [
        ",".join(str(round(float(value))) for value in (*box, label))
        for box, label in zip(truth.boxes, truth.labels, strict=True)
    ]
