"""What the ground does with a file that came by CFDP."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from orbitloop.adapters.cfdp.values import EntityId, ReceivedFile, TransactionKey
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, Refused, Untrusted
from orbitloop.domain.units import Bytes
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import a_sample
from orbitloop.wire.bundle import Limits, pack
from orbitloop_edge.adapters.cfdp_updates import keep_update
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_ground.adapters.blobs import FolderBlobs
from orbitloop_ground.adapters.cfdp_reception import CfdpReception
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.uploads import FolderUploads
from orbitloop_ground.usecases.receive import Receiver

NOW = datetime(2024, 3, 29, tzinfo=UTC)
SATELLITE = EntityId(7)


class Ground:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clock = VirtualClock(NOW)
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
        uploads = FolderUploads(folder / "uploads", clock)
        self.receiver = Receiver(
            uploads, FolderBlobs(folder / "blobs"), self.ledger, clock, Limits(packed=Bytes(100_000))
        )
        self.reception = CfdpReception(self.receiver, {SATELLITE: "sat-1"})
        self.count = 0

    def arrive(self, content: bytes, source: EntityId = SATELLITE) -> Path:
        self.count += 1
        path = self.folder / f"arrived-{self.count}"
        path.write_bytes(content)
        self.reception.received(
            ReceivedFile(
                key=TransactionKey(source, self.count),
                path=path,
                size=Bytes(len(content)),
                digest=digest_of(content),
                announced="../any",
            )
        )
        return path


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def a_bundle(satellite: str = "sat-1", samples: int = 3) -> bytes:
    return pack(satellite, NOW, [a_sample(number, satellite=satellite) for number in range(samples)])


def test_a_bundle_is_entered_and_its_file_removed(ground: Ground) -> None:
    bundle = a_bundle()
    path = ground.arrive(bundle)
    assert not path.exists()
    assert ground.receiver.receipt("sat-1", digest_of(bundle)) is not None
    assert (ground.reception.tally.stored, ground.reception.tally.refused) == (1, 0)


def test_a_bundle_that_comes_again_counts_once(ground: Ground) -> None:
    bundle = a_bundle()
    ground.arrive(bundle)
    receipt = ground.receiver.receipt("sat-1", digest_of(bundle))
    ground.arrive(bundle)
    assert ground.receiver.receipt("sat-1", digest_of(bundle)) == receipt


@pytest.mark.parametrize(
    ("content", "source", "error"),
    [
        (a_bundle(), EntityId(8), Untrusted),
        (a_bundle("sat-2"), SATELLITE, Untrusted),
        (b"no bundle at all", SATELLITE, BadInput),
        (b"", SATELLITE, BadInput),
        (a_bundle()[:-1], SATELLITE, Refused),
        (a_bundle() + bytes(100_000), SATELLITE, BadInput),
    ],
    ids=["stranger", "another's bundle", "no bundle", "empty", "cut", "too large"],
)
def test_anything_else_is_refused_and_counted(
    ground: Ground, content: bytes, source: EntityId, error: type[Exception]
) -> None:
    with pytest.raises(error):
        ground.arrive(content, source)
    assert (ground.reception.tally.stored, ground.reception.tally.refused) == (0, 1)
    assert ground.receiver.receipt("sat-1", digest_of(content)) is None


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_file_on_board_is_found_under_its_digest(tmp_path: Path, size: int) -> None:
    content = bytes(size)
    path = tmp_path / "arrived"
    path.write_bytes(content)
    inbox = FolderInbox(tmp_path / "inbox")
    file = ReceivedFile(
        key=TransactionKey(EntityId(1), 1),
        path=path,
        size=Bytes(size),
        digest=digest_of(content),
        announced="update",
    )
    update = keep_update(inbox, file)
    assert update == digest_of(content)
    assert inbox.take(update).read_bytes() == content
    assert not path.exists()
