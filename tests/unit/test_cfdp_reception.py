"""What ground and satellite do with a file that came by CFDP."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orbitloop.adapters.cfdp.values import EntityId, ReceivedFile, TransactionKey
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, Refused, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import MEGABIT, Bytes
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import a_sample
from orbitloop.wire.bundle import Limits, pack
from orbitloop.wire.update import MAGIC as UPDATE
from orbitloop_edge.adapters.cfdp_updates import CfdpUpdates
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_ground.adapters.blobs import FolderBlobs
from orbitloop_ground.adapters.cfdp_reception import CfdpReception, CfdpRemotes
from orbitloop_ground.adapters.ledger import Ledger
from orbitloop_ground.adapters.uploads import FolderUploads
from orbitloop_ground.usecases.receive import Receiver
from orbitloop_ground.usecases.watch import NobodyWatches, Refusal, Way

NOW = datetime(2024, 3, 29, tzinfo=UTC)
SATELLITE = EntityId(7)


class Watcher(NobodyWatches):
    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.payload: list[tuple[str, Way, int]] = []

    def refused(self, why: Refusal) -> None:
        self.refusals.append(why)

    def crossed(self, satellite: str, way: Way, count: Bytes) -> None:
        self.payload.append((satellite, way, count))


class Ground:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clock = VirtualClock(NOW)
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
        uploads = FolderUploads(folder / "uploads", clock)
        self.receiver = Receiver(
            uploads, FolderBlobs(folder / "blobs"), self.ledger, clock, Limits(packed=Bytes(100_000))
        )
        self.watch = Watcher()
        self.reception = CfdpReception(self.receiver, {SATELLITE: "sat-1"}, self.watch)
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
    assert (ground.watch.payload, ground.watch.refusals) == ([("sat-1", Way.IN, len(bundle))], [])


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
    with pytest.raises(error) as caught:
        ground.arrive(content, source)
    why = Refusal.UNTRUSTED if isinstance(caught.value, Untrusted) else Refusal.MALFORMED
    assert (ground.watch.payload, ground.watch.refusals) == ([], [why])
    assert ground.receiver.receipt("sat-1", digest_of(content)) is None


def test_remotes_are_read_as_people_write_them() -> None:
    remotes = CfdpRemotes.of(["2=sat-1@192.0.2.20:7002", "3=sat-2@far.example:7003"], MEGABIT)
    assert dict(remotes.satellites) == {2: "sat-1", 3: "sat-2"}
    assert [(one.id, one.host, one.port) for one in remotes.entities] == [
        (2, "192.0.2.20", 7002),
        (3, "far.example", 7003),
    ]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ([], "nobody would be heard"),
        (["sat-1@192.0.2.20:7002"], "write ENTITY=SATELLITE@HOST:PORT"),
        (["2=192.0.2.20:7002"], "write ENTITY=SATELLITE@HOST:PORT"),
        (["2=sat-1@192.0.2.20"], "write HOST:PORT"),
        (["70000=sat-1@192.0.2.20:7002"], "no CFDP entity id"),
    ],
    ids=["none", "no entity", "no satellite", "no port", "entity out of range"],
)
def test_remotes_that_say_too_little_are_refused(written: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        CfdpRemotes.of(written, MEGABIT)


class Board:
    """A satellite's folders for files that come by CFDP, and for updates on their way up."""

    def __init__(self, folder: Path) -> None:
        self.arrivals = folder / "cfdp"
        self.arrivals.mkdir()
        self.inbox = FolderInbox(folder / "inbox", arrivals=self.arrivals)
        self.updates = CfdpUpdates(self.arrivals, Bytes(200_000))
        self.count = 0

    def arrive(self, content: bytes) -> Path:
        self.count += 1
        digest = digest_of(content)
        path = self.arrivals / hexadecimal(digest)
        path.write_bytes(content)
        os.utime(path, (self.count, self.count))
        key = TransactionKey(EntityId(1), self.count)
        self.updates.received(
            ReceivedFile(key=key, path=path, size=Bytes(len(content)), digest=digest, announced="update")
        )
        return path


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_an_update_that_came_by_cfdp_is_whole_in_the_inbox_once_it_is_asked_for(board: Board, size: int) -> None:
    content = UPDATE + bytes(size)
    path = board.arrive(content)
    assert board.inbox.held(digest_of(content)) == Spans.up_to(Bytes(len(content)))
    assert board.inbox.take(digest_of(content)).read_bytes() == content
    assert not path.exists()


def test_what_comes_by_cfdp_leaves_an_update_on_its_way_alone(board: Board) -> None:
    offered = digest_of(UPDATE + b"offered")
    board.inbox.keep(offered, [(0, UPDATE)])
    board.arrive(UPDATE + b"by anybody")
    assert board.inbox.held(offered) == Spans.up_to(Bytes(len(UPDATE)))


def test_of_updates_that_nobody_offers_the_last_ones_stay(board: Board) -> None:
    paths = [board.arrive(UPDATE + bytes([number])) for number in range(7)]
    assert [path.exists() for path in paths] == [False] * 3 + [True] * 4


@pytest.mark.parametrize(
    "content", [b"", b"no update", UPDATE + bytes(200_000)], ids=["empty", "no update", "too large"]
)
def test_a_file_that_is_no_update_is_refused_on_board(board: Board, content: bytes) -> None:
    with pytest.raises(BadInput):
        board.arrive(content)
