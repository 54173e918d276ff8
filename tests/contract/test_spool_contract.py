"""What every spool promises; and what the one on disk promises when it is killed, damaged or full."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from orbitloop.adapters.durable import discard_unfinished
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NoSpace, Untrusted
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.samples import Reason
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.spool import Spool
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.testing.spool import MemorySpool
from orbitloop.wire.bundle import Limits, unpack
from orbitloop.wire.messages import Priorities
from orbitloop_edge.adapters.spool import DiskSpool, ranked
from orbitloop_edge.adapters.spool_index import Row, SpoolIndex

PLENTY = Bytes(2**24)
BUDGET = Bytes(50_000)
LIMITS = Limits(packed=Bytes(30_000))
CLOCK = VirtualClock(LAUNCH)


@pytest.fixture(params=["memory", "disk"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    if request.param == "memory":
        yield MemorySpool("sat-1", CLOCK, budget=BUDGET, limits=LIMITS)
    else:
        with opened(tmp_path) as disk:
            yield disk


def opened(folder: Path) -> DiskSpool:
    return DiskSpool(folder, "sat-1", CLOCK, budget=BUDGET, limits=LIMITS)


def drained(spool: Spool, budget: Bytes = PLENTY) -> list[Digest]:
    """The samples of all bundles until nothing waits, as the ground would count them: with every repetition."""
    names: list[Digest] = []
    while (sealed := spool.seal(budget)) is not None:
        names += [sample.id for sample in unpack(sealed[1]).samples]
        spool.delivered(sealed[0])
    return names


def test_a_sample_added_twice_waits_once(spool: Spool) -> None:
    assert spool.add(*a_sample(1))
    assert not spool.add(*a_sample(1))
    assert spool.state().samples == 1
    assert spool.state().bytes == 1_000


def test_an_empty_spool_has_nothing_to_send(spool: Spool) -> None:
    assert spool.seal(PLENTY) is None


def test_a_bundle_holds_what_was_added(spool: Spool) -> None:
    added = [a_sample(number) for number in range(3)]
    for sample, pixels in added:
        spool.add(sample, pixels)
    sealed = spool.seal(PLENTY)
    assert sealed is not None
    assert sealed[0] == digest_of(sealed[1])
    bundle = unpack(sealed[1])
    assert bundle.satellite == "sat-1"
    assert {sample.id: pixels for sample, pixels in bundle} == {sample.id: pixels for sample, pixels in added}


def test_the_same_bundle_comes_again_until_it_is_delivered(spool: Spool) -> None:
    spool.add(*a_sample(1))
    sealed = spool.seal(PLENTY)
    CLOCK.advance(timedelta(minutes=90))
    spool.add(*a_sample(2, value=100.0))
    assert spool.seal(PLENTY) == sealed
    assert sealed is not None
    spool.delivered(sealed[0])
    assert spool.seal(PLENTY) != sealed


def test_an_unfinished_bundle_comes_again_even_over_the_budget(spool: Spool) -> None:
    spool.add(*a_sample(1, size=5_000))
    sealed = spool.seal(PLENTY)
    assert spool.seal(Bytes(1_000)) == sealed


@pytest.mark.parametrize("budget", [0, 600, 2_000, 4_000, 9_000, 100_000])
def test_a_new_bundle_never_exceeds_the_budget(spool: Spool, budget: int) -> None:
    for number in range(8):
        spool.add(*a_sample(number, size=500 * (1 + number % 3)))
    sealed = spool.seal(Bytes(budget))
    assert sealed is None or len(sealed[1]) <= min(budget, LIMITS.packed)


def test_the_most_value_per_byte_is_sent_first(spool: Spool) -> None:
    large, dense, poor = a_sample(1, size=8_000, value=8.0), a_sample(2, value=5.0), a_sample(3, value=0.1)
    for item in (large, dense, poor):
        spool.add(*item)
    sealed = spool.seal(Bytes(3_000))
    assert sealed is not None
    assert [sample.id for sample in unpack(sealed[1]).samples] == [dense[0].id]


def test_everything_is_sent_once_however_small_the_passes(spool: Spool) -> None:
    added = {a_sample(number)[0].id for number in range(12)}
    for number in range(12):
        spool.add(*a_sample(number))
    sent = drained(spool, Bytes(4_000))
    assert len(sent) == len(added)
    assert set(sent) == added
    assert spool.state().samples == spool.state().bytes == 0


def test_a_delivery_told_twice_or_of_an_unknown_bundle_changes_nothing(spool: Spool) -> None:
    spool.add(*a_sample(1))
    sealed = spool.seal(PLENTY)
    assert sealed is not None
    spool.delivered(digest_of(b"unknown"))
    assert spool.state().samples == 1
    spool.delivered(sealed[0])
    spool.add(*a_sample(2))
    spool.delivered(sealed[0])
    assert spool.state().samples == 1


def test_an_unsealed_bundle_gives_its_samples_back_to_be_sent_once_each_alone(spool: Spool) -> None:
    added = {a_sample(number)[0].id for number in range(4)}
    for number in range(4):
        spool.add(*a_sample(number))
    sealed = spool.seal(PLENTY)
    assert sealed is not None
    before = spool.state()
    for _ in range(2):
        spool.unseal(sealed[0])
        spool.unseal(digest_of(b"unknown"))
    assert spool.state() == before
    smaller = spool.seal(PLENTY)
    assert smaller is not None
    assert len(unpack(smaller[1])) == 1
    spool.unseal(sealed[0])  # told again: the new bundle stays
    assert spool.seal(PLENTY) == smaller
    sent = drained(spool)
    assert len(sent) == len(added)
    assert set(sent) == added
    spool.unseal(sealed[0])
    assert spool.state().samples == 0


def test_a_sample_that_is_refused_again_and_again_holds_up_no_other(spool: Spool) -> None:
    unwanted = a_sample(0, value=100.0)
    for item in (unwanted, a_sample(1), a_sample(2)):
        spool.add(*item)
    delivered: list[Digest] = []
    for number in range(3, 9):
        sealed = spool.seal(PLENTY)
        assert sealed is not None
        names = [sample.id for sample in unpack(sealed[1]).samples]
        if unwanted[0].id in names:
            spool.unseal(sealed[0])
            spool.add(*a_sample(number))
        else:
            delivered += names
            spool.delivered(sealed[0])
    assert {a_sample(number)[0].id for number in (1, 2, 3)} <= set(delivered)
    assert len(delivered) == len(set(delivered))


def test_several_bundles_may_be_under_way_and_no_sample_is_in_two(spool: Spool) -> None:
    for number in range(9):
        spool.add(*a_sample(number))
    under_way: dict[Digest, bytes] = {}
    while (sealed := spool.seal(Bytes(5_000), frozenset(under_way))) is not None:
        under_way[sealed[0]] = sealed[1]
    assert len(under_way) > 2
    assert spool.unfinished() == tuple(under_way)
    inside = [sample.id for data in under_way.values() for sample in unpack(data).samples]
    assert len(inside) == len(set(inside)) == 9
    first, second, *_ = under_way
    assert spool.seal(PLENTY, frozenset([first])) == (second, under_way[second])
    spool.delivered(second)
    assert spool.unfinished()[:2] == (first, *list(under_way)[2:3])
    assert sorted(drained(spool)) == sorted(set(inside) - {sample.id for sample in unpack(under_way[second]).samples})


def test_what_was_delivered_is_counted_with_the_last_bundle(spool: Spool) -> None:
    for number in range(3):
        spool.add(*a_sample(number))
    sealed = spool.seal(PLENTY)
    assert sealed is not None
    assert (spool.state().delivered, spool.state().last) == (0, None)
    for _ in range(2):
        spool.delivered(sealed[0])
        assert (spool.state().delivered, spool.state().last) == (3, sealed[0])


def test_what_the_ground_wants_most_goes_first_until_a_newer_revision_says_otherwise(spool: Spool) -> None:
    common, wanted = a_sample(1, value=2.0), a_sample(2, value=1.0)
    audit = replace(wanted[0], reason=Reason.AUDIT)
    spool.add(*common)
    spool.add(audit, wanted[1])

    def first() -> Digest:
        sealed = spool.seal(Bytes(3_000))
        assert sealed is not None
        spool.unseal(sealed[0])
        return unpack(sealed[1]).samples[0].id

    spool.prefer(Priorities(revision=2, factors={"audit": 5.0, "from-the-future": 9.0}))
    spool.prefer(Priorities(revision=1, factors={"audit": 0.0}))
    assert first() == audit.id
    spool.prefer(Priorities(revision=3))
    assert first() == common[0].id


def test_a_sample_that_the_ground_holds_is_not_taken_again(spool: Spool) -> None:
    spool.add(*a_sample(1))
    drained(spool)
    assert not spool.add(*a_sample(1))
    assert spool.state().samples == 0


def test_a_spool_over_its_budget_says_so_and_keeps_what_it_has(spool: Spool) -> None:
    for number in range(5):
        spool.add(*a_sample(number, size=10_000))
    with pytest.raises(NoSpace, match="50000 of 50000 bytes"):
        spool.add(*a_sample(9, size=1))
    assert spool.state().samples == 5
    assert len(drained(spool)) == 5
    assert spool.add(*a_sample(9, size=1))


def test_a_sample_that_could_never_be_sent_is_refused_at_once(spool: Spool) -> None:
    with pytest.raises(BadInput, match="fits into no bundle"):
        spool.add(*a_sample(1, size=40_000))
    with pytest.raises(Untrusted):
        spool.add(*a_sample(1, satellite="sat-2"))
    assert spool.state().samples == 0


def test_what_waits_on_disk_survives_a_restart_with_the_bundle_byte_for_byte(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for number in range(6):
            spool.add(*a_sample(number))
        before, sealed = spool.state(), spool.seal(Bytes(4_000))
    CLOCK.advance(timedelta(hours=13))
    with opened(tmp_path) as spool:
        assert spool.state() == before
        assert spool.seal(PLENTY) == sealed


def test_an_unsealed_bundle_stays_so_after_a_restart_and_leaves_no_file(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for number in range(3):
            spool.add(*a_sample(number))
        sealed = spool.seal(PLENTY)
        assert sealed is not None
        spool.unseal(sealed[0])
    assert not list((tmp_path / "bundles").iterdir())
    with opened(tmp_path) as spool:
        again = spool.seal(PLENTY)
        assert again is not None
        assert len(unpack(again[1])) == 1
        assert len(drained(spool)) == 3


def test_files_that_no_row_names_are_removed_at_the_next_start(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.add(*a_sample(1))
    orphans = [tmp_path / place / name for place in ("samples", "bundles") for name in (64 * "a", ".x.unfinished")]
    for orphan in orphans:
        orphan.write_bytes(b"left by a kill")
    with opened(tmp_path) as spool:
        assert not any(orphan.exists() for orphan in orphans)
        assert len(drained(spool)) == 1
    assert not list((tmp_path / "samples").iterdir())
    assert not list((tmp_path / "bundles").iterdir())


def test_a_folder_that_another_spool_has_open_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(BadInput, match="open in another process"):
        opened(tmp_path)


def test_a_bundle_that_the_disk_damaged_is_sealed_afresh(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.add(*a_sample(1))
        sealed = spool.seal(PLENTY)
        assert sealed is not None
        (tmp_path / "bundles" / hexadecimal(sealed[0])).write_bytes(sealed[1][:-1])
        CLOCK.advance(timedelta(minutes=1))
        assert drained(spool) == [a_sample(1)[0].id]


def test_a_sample_that_the_disk_damaged_is_set_aside_with_an_error_and_blocks_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as spool:
        spool.add(*a_sample(1))
        spool.add(*a_sample(2))
        (tmp_path / "samples" / hexadecimal(a_sample(1)[0].id)).write_bytes(b"rot")
        assert drained(spool) == [a_sample(2)[0].id]
    assert [record.message for record in caplog.records] == ["sample_damaged"]


def spoiled(path: Path, seed: int) -> None:
    """Bytes flipped here and there, as a disk under radiation would."""
    data = bytearray(path.read_bytes())
    chance = np.random.default_rng(seed)
    for _ in range(1 + seed % 40):
        data[int(chance.integers(len(data)))] ^= int(chance.integers(1, 256))
    path.write_bytes(data)


def emptied(path: Path, seed: int) -> None:
    path.write_bytes(path.read_bytes()[: seed * 512])


def overwritten(path: Path, seed: int) -> None:
    path.write_bytes(np.random.default_rng(seed).bytes(path.stat().st_size))


def removed(path: Path, seed: int) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [spoiled, emptied, overwritten, removed])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_to_the_index_the_folder_restores_the_queue(
    tmp_path: Path, damage: Callable[[Path, int], None], seed: int
) -> None:
    with opened(tmp_path) as spool:
        for number in range(12):
            spool.add(*a_sample(number))
        under_way = spool.seal(Bytes(4_000))
        assert under_way is not None
        delivered = spool.seal(Bytes(4_000), frozenset([under_way[0]]))
        assert delivered is not None
        spool.delivered(delivered[0])
    damage(tmp_path / "spool.db", seed)
    left = {a_sample(number)[0].id for number in range(12)} - {s.id for s in unpack(delivered[1]).samples}
    with opened(tmp_path) as spool:
        assert spool.state().samples == len(left)
        assert spool.unfinished() == (under_way[0],)
        assert spool.seal(PLENTY) == under_way
        sent = drained(spool)
    assert sorted(sent) == sorted(left)


def test_an_index_that_is_damaged_in_flight_is_built_again_and_the_call_succeeds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as spool:
        for number in range(30):
            spool.add(*a_sample(number, size=300))
        with sqlite3.connect(tmp_path / "spool.db") as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        page = 4_096
        content = bytearray((tmp_path / "spool.db").read_bytes())
        content[page:] = bytes(len(content) - page)
        (tmp_path / "spool.db").write_bytes(content)
        with sqlite3.connect(tmp_path / "spool.db") as other:
            other.execute("PRAGMA user_version = 7")  # so that nobody trusts what is cached of the file
        other.close()
        assert spool.add(*a_sample(31, size=300))
        assert spool.state().samples == 31
        assert len(drained(spool)) == 31
    assert "spool_index_damaged" in [record.message for record in caplog.records]


def test_twenty_thousand_waiting_samples_are_ranked_as_one_would_by_hand(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    rows = [
        Row(
            id=digest_of(str(number).encode()),
            value=float(chance.random()),
            reason=Reason.HARD,
            captured=LAUNCH.timestamp(),
            cost=Bytes(int(chance.integers(1_000, 4_000))),
            size=900,
        )
        for number in range(20_000)
    ]
    index = SpoolIndex(tmp_path / "spool.db")
    index.insert(rows)
    queue = index.fresh()
    index.close()
    best = min(rows, key=lambda row: (-row.value / row.cost, row.id))
    assert ranked(queue, Priorities(revision=0), LinkPolicy(), LAUNCH)[0] == (best.id, best.cost)


WORKER = """
import sys
from pathlib import Path
from orbitloop.adapters.durable import write_durably
from orbitloop.domain.digests import hexadecimal
from orbitloop.domain.units import Bytes
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop_edge.adapters.spool import DiskSpool

folder, ground, number = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
spool = DiskSpool(folder, "sat-1", VirtualClock(LAUNCH), budget=Bytes(2**24))
while True:
    spool.add(*a_sample(number, size=300))
    print(number, flush=True)
    number += 1
    if number % 3 == 0:
        digest, data = spool.seal(Bytes(2_500))
        if number % 2:
            write_durably(ground / hexadecimal(digest), data)
            spool.delivered(digest)
"""


def test_a_satellite_killed_at_any_moment_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    folder, ground = tmp_path / "spool", tmp_path / "ground"
    ground.mkdir()
    acknowledged = -1
    for life in range(6):
        command = [sys.executable, "-c", WORKER, str(folder), str(ground), str(acknowledged + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(5 + 4 * life):
                acknowledged = int(child.stdout.readline())
            child.kill()
            acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.endswith("\n"))])
    with DiskSpool(folder, "sat-1", CLOCK, budget=Bytes(2**24)) as spool:
        while (sealed := spool.seal(PLENTY)) is not None:
            (ground / hexadecimal(sealed[0])).write_bytes(sealed[1])
            spool.delivered(sealed[0])
    discard_unfinished(ground)  # the worker may have died while it wrote here, too
    held = [sample.id for path in ground.iterdir() for sample in unpack(path.read_bytes()).samples]
    assert len(held) == len(set(held))
    assert {a_sample(number, size=300)[0].id for number in range(acknowledged + 1)} <= set(held)
