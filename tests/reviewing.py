"""A gateway with tiles in its review queue, and two people who may decide on them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
from PIL import Image, ImageDraw

from orbitloop.domain.digests import digest_of
from orbitloop.domain.samples import Sample
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.reviews import Proposal
from orbitloop.ports.sample_store import Arrival
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import entry_of, sample_id
from orbitloop_ground.app import Dependencies, admin_thread, compose
from orbitloop_ground.settings import GroundSettings

SIDE = 416
TOKENS = {"ana": "a-token-of-more-than-16", "ben": "another-token-of-more-than-16"}
CLASSES = ("airplane", "helicopter")
BOXES = ((60.0, 60.0, 130.0, 120.0), (220.0, 180.0, 300.0, 260.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a test has in front of it."""

    parts: Dependencies
    settings: GroundSettings
    url: str
    samples: tuple[Digest, ...]

    def client(self, who: str = "ana") -> httpx.Client:
        """A client that shows somebody's token."""
        headers = {"Authorization": f"Bearer {TOKENS[who]}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False)


def a_proposal_of_airplanes(boxes: Sequence[tuple[float, ...]] = BOXES) -> Proposal:
    """The first of them is beyond doubt, the others are not."""
    count = len(boxes)
    return Proposal(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.zeros(count, np.int64),
        confidence=np.array([0.97, 0.43, 0.31, 0.22][:count], np.float32),
        doubtful=np.array([False, True, True, True][:count]),
    )


def a_tile(number: int, codec: str = "webp") -> tuple[Sample, bytes]:
    """A picture with light rectangles where the boxes are."""
    picture = Image.new("RGB", (SIDE, SIDE), (60 + 8 * number % 90, 90, 70))
    for box in BOXES:
        ImageDraw.Draw(picture).rectangle(box, fill=(210, 210, 215))
    stream = io.BytesIO()
    picture.save(stream, codec)
    return named(number, stream.getvalue(), codec)


def named(number: int, pixels: bytes, codec: str = "webp") -> tuple[Sample, bytes]:
    """A sample of these encoded pixels, under its right name."""
    frame, window = f"frames/{number:06}.png", Window(x0=SIDE * number, y0=0, width=SIDE, height=SIDE)
    sample, _ = a_sample(number)
    name = sample_id("sat-1", frame, window, pixels)
    return replace(sample, id=name, frame=frame, window=window, codec=codec, size=len(pixels)), pixels


def enter(parts: Dependencies, tiles: Sequence[tuple[Sample, bytes]]) -> None:
    """Tiles come down."""
    parts.blobs.put({digest_of(pixels): pixels for _, pixels in tiles})
    entries = tuple(entry_of("sat-1", sample, pixels) for sample, pixels in tiles)
    bundle = digest_of(b"".join(entries))
    parts.ledger.enter(Arrival(bundle=bundle, size=Bytes(9), satellite="sat-1", at=LAUNCH, entries=entries))


@contextmanager
def desk(folder: Path, keys: Path, *, tiles: int = 3, **changes: object) -> Iterator[Desk]:
    """A gateway whose people have so many tiles to look at."""
    reviewers = folder / "reviewers"
    reviewers.write_text("# who may review\n" + "".join(f"{name} {token}\n" for name, token in TOKENS.items()))
    told = {
        "folder": folder / "ground",
        "keys": keys / "ground",
        "admin_port": 0,
        "reviewers": reviewers,
        "classes": CLASSES,
    }
    settings = GroundSettings.model_validate(told | changes)
    parts = compose(settings, VirtualClock(LAUNCH))
    waiting = [a_tile(number) for number in range(tiles)]
    if waiting:
        enter(parts, waiting)
    for sample, _ in waiting:
        parts.ledger.propose(sample.id, sample.frame, sample.window, a_proposal_of_airplanes())
    with admin_thread(parts) as server:
        names = tuple(sample.id for sample, _ in waiting)
        yield Desk(parts=parts, settings=settings, url=server.url, samples=names)
    parts.ledger.close()
