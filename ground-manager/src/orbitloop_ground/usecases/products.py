"""What a selection logic sent down, as pictures for whoever wants what they show: an index, one picture a line."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Protocol

from orbitloop.domain.errors import Refused
from orbitloop.domain.samples import Reason
from orbitloop.ports.sample_store import Blobs, ReceivedSample
from orbitloop_ground.usecases.exports import DatasetFolder, image_name

_log = logging.getLogger(__name__)

_AT_ONCE = 200


class Received(Protocol):
    """The ledger's samples."""

    def received(self, satellite: str) -> Sequence[ReceivedSample]:
        """Every sample of a satellite, in the order of arrival."""
        ...


def export_products(ledger: Received, blobs: Blobs, satellite: str, folder: DatasetFolder) -> int:
    """Append what was sent for its value and is not there yet, in the order of arrival; returns how many lines there
    are.

    A line is the picture's path, and as JSON the frame, the window in it (``x0, y0, x1, y1``, pixels), when it was
    captured, what it was expected to be worth, in cells of value, and the digest of the logic. The picture is as it
    came: what of its window was not worth sending is grey. One that is missing, or not what it was, is left out.

    Raises:
        NoSpace: the disk is full; what was appended stays.
    """
    known = folder.listed()
    total = len(known)
    sent = [entry for entry in ledger.received(satellite) if entry.sample.reason is Reason.VALUE]
    fresh = [entry for entry in sent if image_name(entry.sample) not in known]
    for start in range(0, len(fresh), _AT_ONCE):
        images, lines = dict[str, bytes](), list[str]()
        for entry in fresh[start : start + _AT_ONCE]:
            try:
                images[image_name(entry.sample)] = blobs.get(entry.blob)
            except Refused as error:
                _log.warning("sample_not_exported", extra={"sample": entry.sample.id, "why": str(error)})
                continue
            lines.append(f"{image_name(entry.sample)} {_told(entry)}")
        if lines:
            total = folder.append(images, lines)
    return total


def _told(entry: ReceivedSample) -> str:
    sample = entry.sample
    return json.dumps(
        {
            "frame": sample.frame,
            "window": [round(side) for side in sample.window.box],
            "captured": sample.captured.isoformat(),
            "value": round(sample.value, 4),
            "logic": sample.model,
        }
    )
