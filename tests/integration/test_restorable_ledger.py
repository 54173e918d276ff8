"""A ledger whose file is damaged, cut, removed or half written: everything that it was told is there again."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.sample_store import Arrival
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.reviews import a_proposal, a_truth
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import entry_of
from orbitloop.wire.messages import Hello, UpdateReport
from orbitloop.wire.node_messages import NodeEvent, NodeEvents
from orbitloop.wire.update import Step, Update, pack_update
from orbitloop_ground.adapters.restorable import RestorableLedger

WANTED = b'{"datasets": {"default/images": {"url": "/data/images.txt"}}}'
EVENT = NodeEvent(sequence=3, subject="dataset/default/images", at=LAUNCH, value={"numberOfSamples": 12})
FLYING, NEXT = digest_of(b"weights"), digest_of(b"next weights")
BEGUN = digest_of(b"weights of a beginning")
UPDATE = pack_update(
    Update(base=FLYING, steps=(Step(changes=(), result=BEGUN), Step(changes=(), result=NEXT))), lambda _: bytes(64)
)
HOLD_OPEN = """
import sys
from pathlib import Path
from orbitloop_ground.adapters.restorable import RestorableLedger
ledger = RestorableLedger(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def an_arrival(number: int) -> Arrival:
    entries = tuple(entry_of("sat-1", *a_sample(3 * number + each, size=60)) for each in range(3))
    return Arrival(
        bundle=digest_of(f"bundle {number}".encode()), size=Bytes(200), satellite="sat-1", at=LAUNCH, entries=entries
    )


def tell(ledger: RestorableLedger, folder: Path) -> None:
    """Two bundles, of which a round used one, an update and what became of it, a session and priorities."""
    for number in range(2):
        ledger.enter(an_arrival(number))
    ledger.consume([sample.sample.id for sample in ledger.waiting(limit=3)], "round-1")
    path = folder / "update"
    path.write_bytes(UPDATE)
    update = PublishedUpdate(
        satellite="sat-1", digest=digest_of(UPDATE), size=Bytes(len(UPDATE)), base=FLYING, result=NEXT, path=path
    )
    for satellite in ("sat-1", "sat-2"):
        ledger.publish_update(replace(update, satellite=satellite))
    ledger.record_report(
        UpdateReport(satellite="sat-1", update=update.digest, outcome=Outcome.REFUSED, flying=FLYING, at=LAUNCH), LAUNCH
    )
    ledger.record_hello(
        Hello(
            satellite="sat-1",
            flying=FLYING,
            clock=LAUNCH,
            queued_samples=0,
            queued_bytes=Bytes(0),
            session="1" * 32,
            sequence=7,
        ),
        LAUNCH,
    )
    ledger.set_priorities("sat-1", {"hard": 2.0})
    ledger.set_desired("sat-1", WANTED)
    ledger.record_events(NodeEvents(satellite="sat-1", origin="1" * 32, events=(EVENT,)), LAUNCH)
    tiles = [a_sample(number, size=60)[0] for number in range(3)]
    for number, sample in enumerate(tiles):
        ledger.propose(sample.id, sample.frame, sample.window, a_proposal())
        if number:
            ledger.propose(sample.id, sample.frame, sample.window, a_proposal(1))
            ledger.decide(sample.id, a_truth((1.5, 2, 30, 40, 0)), "ana", LAUNCH)
    ledger.decide(tiles[2].id, None, "ben", LAUNCH)


def known(ledger: RestorableLedger) -> dict[str, object]:
    priorities = ledger.priorities("sat-1")
    return {
        "waiting": [sample.sample.id for sample in ledger.waiting()],
        "used": [sample.sample.id for sample in ledger.consumed("round-1")],
        "bundles": [ledger.entered("sat-1", an_arrival(number).bundle) for number in range(2)],
        "update": ledger.update("sat-1", digest_of(UPDATE)),
        "offers": [ledger.offer_for(name, flies) for name in ("sat-1", "sat-2") for flies in (FLYING, BEGUN)],
        "reports": ledger.reports("sat-1"),
        "session": ledger.last_session("sat-1"),
        "factors": priorities and priorities.factors,
        "wanted": ledger.desired("sat-1"),
        "events": [report.events for report in ledger.node_reports(0)],
        "reviews": [
            (one.sample, len(one.proposal.boxes), one.revision, one.verdict and (one.verdict.who, one.verdict.at))
            for one in ledger.reviews()
        ],
        "decided": {name: truth and truth.boxes.tolist() for name, truth in ledger.decided().items()},
    }


def flip_bytes(path: Path) -> None:
    chance = random.Random(1)
    data = bytearray(path.read_bytes())
    for _ in range(len(data) // 20):
        data[chance.randrange(len(data))] ^= 0xFF
    path.write_bytes(data)


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


def overwrite_head(path: Path) -> None:
    path.write_bytes(b"not a database at all" + path.read_bytes()[21:])


def change_a_digest(path: Path) -> None:
    """As a flipped bit does where SQLite sees nothing wrong: in the middle of a text."""
    data = path.read_bytes()
    assert FLYING.encode() in data
    path.write_bytes(data.replace(FLYING.encode(), FLYING[:-1].encode() + b"x"))


def change_a_name(path: Path) -> None:
    data = path.read_bytes()
    name = an_arrival(0).bundle.encode()
    path.write_bytes(data.replace(name, name[:-1] + b"x"))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "bytes flipped": flip_bytes,
    "cut short": cut,
    "head overwritten": overwrite_head,
    "removed": Path.unlink,
    "a digest changed": change_a_digest,
    "a name changed": change_a_name,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_ledger_is_made_anew(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = RestorableLedger(path)
    tell(ledger, tmp_path)
    before, name = known(ledger), ledger.bearings().ledger
    ledger.close()
    damage(path)
    again = RestorableLedger(path)
    assert known(again) == before
    assert again.bearings().ledger != name, "whoever followed the ledger reads all of it again"
    assert again.enter(an_arrival(0)).samples == 3
    assert known(again) == before
    again.close()


def test_a_write_ahead_log_that_was_lost_is_told_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = RestorableLedger(path)
    tell(ledger, tmp_path)
    before = known(ledger)
    wal = path.with_name("ledger.db-wal")
    data = bytearray(wal.read_bytes())
    kept = path.read_bytes()
    ledger.close()
    # As a crash leaves it, with the newest part of the log damaged.
    path.write_bytes(kept)
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    wal.write_bytes(data)
    again = RestorableLedger(path)
    assert known(again) == before
    again.close()


def test_a_sound_ledger_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = RestorableLedger(path)
    tell(ledger, tmp_path)
    before, bearings = known(ledger), ledger.bearings()
    ledger.close()
    again = RestorableLedger(path)
    assert known(again) == before
    assert again.bearings() == bearings
    assert list(tmp_path.glob("*.damaged-*")) == []
    again.close()


def test_a_file_that_is_gone_while_another_process_has_it_open_is_not_replaced_under_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        path.unlink()
        with pytest.raises(NotYet, match="another process has it open"):
            RestorableLedger(path)
        other.kill()
    ledger = RestorableLedger(path)
    assert ledger.count_received("sat-1") == 0
    ledger.close()


def test_two_processes_share_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    first, second = RestorableLedger(path), RestorableLedger(path)
    first.enter(an_arrival(0))
    second.enter(an_arrival(0))
    second.enter(an_arrival(1))
    assert first.count_received("sat-1") == 6
    first.close()
    second.close()


def test_what_is_said_again_makes_the_journal_no_longer(tmp_path: Path) -> None:
    ledger = RestorableLedger(tmp_path / "ledger.db")
    events = NodeEvents(satellite="sat-1", origin="1" * 32, events=(EVENT,))
    ledger.set_desired("sat-1", WANTED)
    ledger.record_events(events, LAUNCH)
    sample, _ = a_sample(0)
    ledger.propose(sample.id, sample.frame, sample.window, a_proposal())
    ledger.decide(sample.id, None, "ana", LAUNCH)
    size, bearings = (tmp_path / "ledger.journal").stat().st_size, ledger.bearings()
    ledger.set_desired("sat-1", WANTED)
    assert ledger.record_events(events, LAUNCH) == 0
    ledger.propose(sample.id, sample.frame, sample.window, a_proposal(1))
    ledger.decide(sample.id, None, "ana", LAUNCH)
    assert (tmp_path / "ledger.journal").stat().st_size == size
    assert ledger.bearings() == bearings
    ledger.close()


def test_the_names_of_samples_survive(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = RestorableLedger(path)
    names = [Digest(sample.id) for sample, _ in (a_sample(number, size=60) for number in range(3))]
    ledger.enter(an_arrival(0))
    ledger.close()
    path.unlink()
    again = RestorableLedger(path)
    assert [sample.sample.id for sample in again.waiting()] == names
    again.close()
