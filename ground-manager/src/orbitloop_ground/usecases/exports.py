"""What came down from a satellite, as a dataset that training on the ground reads: an index, one image a line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.errors import Refused
from orbitloop.domain.rollout import is_canary
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.units import Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.node_ledger import Export, ExportLedger
from orbitloop.ports.sample_store import Blobs, ReceivedSample
from orbitloop.wire.update import CanaryTruth
from orbitloop_ground.usecases.school import MOST_CANARIES

_log = logging.getLogger(__name__)

_AT_ONCE = 200

Label = Callable[[Sequence[ReceivedSample], Sequence[ReceivedSample]], Mapping[Digest, Truth]]
"""Objects of the first tiles, as far as anybody knows, with all tiles of the satellite to look at besides."""


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
    label: Label | None

    def export(self, satellite: str, folder: DatasetFolder) -> Export:
        """Append what came down since; tiles that are held out to prove updates on are not for training, nor is what an
        application wanted for its value.

        Raises:
            NoSpace: the disk is full; what was appended stays.
        """
        known = folder.listed()
        total = len(known)
        received = taught(self.ledger.received(satellite))
        for part in _parts([entry for entry in received if image_name(entry.sample) not in known], _AT_ONCE):
            images, lines = dict[str, bytes](), list[str]()
            for name, line, entry in self._labelled(part, received):
                try:
                    images[name] = self.blobs.get(entry.blob)
                except Refused as error:
                    _log.warning("sample_not_exported", extra={"sample": entry.sample.id, "why": str(error)})
                    continue
                lines.append(line)
            if lines:
                total = folder.append(images, lines)
        export = Export(path=folder.index, lines=total, at=self.clock.now())
        self.ledger.record_export(satellite, export)
        return export

    def _labelled(
        self, samples: Sequence[ReceivedSample], received: Sequence[ReceivedSample]
    ) -> Iterable[tuple[str, str, ReceivedSample]]:
        # Held-out tiles are labelled too: what a teacher thinks of them is kept, and goes up with updates.
        told = None if self.label is None else self.label(samples, received)
        for entry in samples:
            name = image_name(entry.sample)
            if is_canary(entry.sample.id):
                continue
            if told is None:
                yield name, name, entry
            elif (truth := told.get(entry.sample.id)) is not None:
                yield name, " ".join([name, *_objects(truth)]), entry


def taught(samples: Sequence[ReceivedSample]) -> list[ReceivedSample]:
    """Without what an application wanted for its value, of which parts are blank."""
    return [entry for entry in samples if entry.sample.reason is not Reason.VALUE]


def _parts(samples: Sequence[ReceivedSample], size: int) -> Iterator[Sequence[ReceivedSample]]:
    return (samples[start : start + size] for start in range(0, len(samples), size))


def canaries(samples: Sequence[ReceivedSample], label: Label) -> list[CanaryTruth]:
    """What to tell a satellite of the held-out tiles that it kept: those with objects first."""
    known = taught(samples)
    held_out = [entry for entry in known if is_canary(entry.sample.id)]
    found = label(held_out, known)
    told = [CanaryTruth(sample=name, truth=found[name]) for entry in held_out if (name := entry.sample.id) in found]
    return sorted(told, key=lambda canary: -len(canary.truth.labels))[:MOST_CANARIES]


def image_name(sample: Sample) -> str:
    """Where the pixels of ``sample`` lie, seen from the index."""
    stem = hexadecimal(sample.id)
    return f"images/{stem[:2]}/{stem}.{sample.codec}"


def _objects(truth: Truth) -> list[str]:
    """``x0,y0,x1,y1,class`` of each object, in whole pixels, as Sedna's examples write them."""
    return [
        ",".join(str(round(float(value))) for value in (*box, label))
        for box, label in zip(truth.boxes, truth.labels, strict=True)
    ]
