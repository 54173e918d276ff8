"""Files between two entities over a link in virtual time that loses, repeats, reorders and is cut."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from spacepackets.cfdp.pdu import AckPdu, EofPdu, FileDataPdu, FinishedPdu, MetadataPdu, NakPdu

from orbitloop.adapters.cfdp.datagrams import Address
from orbitloop.adapters.cfdp.entity import CfdpEntity
from orbitloop.adapters.cfdp.pdus import read_pdu
from orbitloop.adapters.cfdp.values import (
    EntityId,
    EntitySettings,
    Limits,
    Outcome,
    ReceivedFile,
    RemoteEntity,
    SendResult,
    Timers,
    TransactionKey,
    TransferClass,
)
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NoSpace, Refused
from orbitloop.domain.units import BitsPerSecond, Bytes

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND
SATELLITE, GROUND = EntityId(1), EntityId(2)
PORTS = {SATELLITE: 7001, GROUND: 7002}
TIMERS = Timers(repeat=timedelta(seconds=1), inactivity=timedelta(seconds=30), check=timedelta(seconds=1))

KINDS = {"ack": AckPdu, "eof": EofPdu, "data": FileDataPdu, "finished": FinishedPdu, "metadata": MetadataPdu}


class Ether:
    """A link in virtual time: 5 ms of delay, and whatever ``fate`` does to a datagram."""

    def __init__(self) -> None:
        self.now = 0
        self.fate: Callable[[bytes], list[int]] = lambda _: [5]
        self.sent: list[tuple[Address, bytes]] = []
        self._flying: list[tuple[int, int, Address, bytes]] = []
        self._count = 0

    def launch(self, data: bytes, to: Address) -> None:
        self.sent.append((to, data))
        for delay in self.fate(data):
            self._count += 1
            heapq.heappush(self._flying, (self.now + delay * MILLISECOND, self._count, to, data))

    def landed(self, at: Address) -> Iterator[bytes]:
        due = sorted(entry for entry in self._flying if entry[0] <= self.now and entry[2] == at)
        for entry in due:
            self._flying.remove(entry)
            yield entry[3]
        heapq.heapify(self._flying)

    @property
    def quiet(self) -> bool:
        return not self._flying

    def kinds(self, kind: type, *, to: EntityId) -> list[bytes]:
        port = PORTS[to]
        return [data for address, data in self.sent if address[1] == port and isinstance(read_pdu(data), kind)]


class Antenna:
    def __init__(self, ether: Ether, address: Address) -> None:
        self._ether = ether
        self.address = address

    def receive(self, most: int) -> Iterator[bytes]:
        return self._ether.landed(self.address)

    def send(self, data: bytes, to: Address) -> bool:
        self._ether.launch(data, to)
        return True

    def wait(self, seconds: float) -> None: ...

    def close(self) -> None: ...


class Ear:
    def __init__(self) -> None:
        self.files: list[tuple[ReceivedFile, bytes]] = []
        self.results: list[SendResult] = []
        self.failures: list[tuple[TransactionKey, str]] = []
        self.refuse_with: Exception | None = None

    def received(self, file: ReceivedFile) -> None:
        if self.refuse_with is not None:
            raise self.refuse_with
        self.files.append((file, file.path.read_bytes()))

    def sent(self, result: SendResult) -> None:
        self.results.append(result)

    def failed(self, key: TransactionKey, reason: str) -> None:
        self.failures.append((key, reason))


class Pair:
    """A satellite and its ground."""

    def __init__(self, folder: Path, *, rate: int | None = None, limits: Limits | None = None) -> None:
        self.folder = folder
        self.ether = Ether()
        self.rate = rate
        self.limits = limits or Limits()
        self.ears = {SATELLITE: Ear(), GROUND: Ear()}
        self.entities = {SATELLITE: self.entity(SATELLITE), GROUND: self.entity(GROUND)}

    def entity(self, id: EntityId) -> CfdpEntity:
        other = GROUND if id == SATELLITE else SATELLITE
        rate = None if self.rate is None else BitsPerSecond(self.rate)
        remote = RemoteEntity(id=other, host="link", port=PORTS[other], segment=Bytes(100), rate=rate)
        settings = EntitySettings(
            id=id,
            host="link",
            port=PORTS[id],
            inbox=self.folder / f"inbox-{id}",
            remotes=(remote,),
            timers=TIMERS,
            limits=self.limits,
        )
        antenna = Antenna(self.ether, ("link", PORTS[id]))
        return CfdpEntity(settings, self.ears[id], datagrams=antenna, monotonic=lambda: self.ether.now)

    def file(self, content: bytes, name: str = "update.bin") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def run(self, until: Callable[[], bool], *, seconds: float = 600) -> None:
        end = self.ether.now + int(seconds * SECOND)
        while not until():
            assert self.ether.now < end, f"not there after {seconds} s: {self.ears[GROUND].failures}"
            for entity in self.entities.values():
                entity.step()
            self.ether.now += 5 * MILLISECOND

    def fly(self, seconds: float) -> None:
        end = self.ether.now + int(seconds * SECOND)
        self.run(lambda: self.ether.now >= end, seconds=seconds + 1)

    def finish(self, count: int = 1) -> SendResult:
        """Until the satellite knows how ``count`` files ended and nobody has anything to say any more."""
        self.run(lambda: len(self.ears[SATELLITE].results) >= count)
        self.run(lambda: self.ether.quiet and not any(entity.busy for entity in self.entities.values()))
        return self.ears[SATELLITE].results[-1]

    @property
    def contents(self) -> list[bytes]:
        return [content for _, content in self.ears[GROUND].files]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def losing(rng: np.random.Generator, loss: float) -> Callable[[bytes], list[int]]:
    """Datagrams that are lost, sent twice, and overtake each other."""

    def fate(_: bytes) -> list[int]:
        if rng.random() < loss:
            return []
        copies = 2 if rng.random() < loss else 1
        return [int(rng.integers(1, 60)) for _ in range(copies)]

    return fate


def first_lost(kind: type, times: int = 1) -> Callable[[bytes], list[int]]:
    """The first ``times`` PDUs of a kind are lost."""
    left = [times]

    def fate(data: bytes) -> list[int]:
        if isinstance(read_pdu(data), kind) and left[0] > 0:
            left[0] -= 1
            return []
        return [5]

    return fate


@pytest.mark.parametrize("size", [0, 1, 100, 101, 12_345])
@pytest.mark.parametrize("transfer_class", TransferClass)
@pytest.mark.parametrize("closure", [False, True])
def test_a_file_arrives_as_it_was(pair: Pair, size: int, transfer_class: TransferClass, closure: bool) -> None:
    content = os.urandom(size)
    pair.entities[SATELLITE].send(pair.file(content), GROUND, transfer_class=transfer_class, closure=closure)
    result = pair.finish()
    told = transfer_class is TransferClass.ACKNOWLEDGED or closure
    assert (result.outcome, result.size) == (Outcome.DELIVERED if told else Outcome.SENT, size)
    assert pair.contents == [content]
    file, _ = pair.ears[GROUND].files[0]
    assert (file.digest, file.announced, file.path.parent) == (
        digest_of(content),
        "update.bin",
        pair.folder / "inbox-2",
    )


@pytest.mark.parametrize("seed", range(12))
def test_class_2_arrives_once_whatever_the_link_loses_repeats_and_reorders(pair: Pair, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair.ether.fate = losing(rng, 0.3)
    contents = [rng.bytes(int(size)) for size in (0, 1, 100, 5_000, 20_000)]
    for number, content in enumerate(contents):
        pair.entities[SATELLITE].send(pair.file(content, f"{number}.bin"), GROUND)
    pair.finish(len(contents))
    assert {result.outcome for result in pair.ears[SATELLITE].results} == {Outcome.DELIVERED}
    assert sorted(pair.contents) == sorted(contents)
    assert not pair.ears[GROUND].failures


@pytest.mark.parametrize("kind", [*KINDS.values(), NakPdu], ids=[*KINDS, "nak"])
@pytest.mark.parametrize("times", [1, 3])
def test_any_kind_of_pdu_may_be_lost_at_first(pair: Pair, kind: type, times: int) -> None:
    content = os.urandom(3_000)
    pair.ether.fate = first_lost(kind, times)
    pair.entities[SATELLITE].send(pair.file(content), GROUND)
    assert pair.finish().outcome is Outcome.DELIVERED
    assert pair.contents == [content]


def test_only_what_was_lost_is_sent_again(pair: Pair) -> None:
    pair.ether.fate = first_lost(FileDataPdu, 7)
    pair.entities[SATELLITE].send(pair.file(os.urandom(50_000)), GROUND)
    result = pair.finish()
    assert (result.outcome, result.resent) == (Outcome.DELIVERED, 700)


@pytest.mark.slow
def test_a_file_goes_on_after_loss_of_signal(tmp_path: Path) -> None:
    pair = Pair(tmp_path, rate=100_000)
    content = os.urandom(60_000)
    pair.entities[SATELLITE].send(pair.file(content), GROUND)
    pair.fly(2)
    for entity in pair.entities.values():
        entity.suspend()
    before = len(pair.ether.sent)
    pair.fly(3_600)
    assert len(pair.ether.sent) == before
    for entity in pair.entities.values():
        entity.resume()
    result = pair.finish()
    assert (result.outcome, result.resent) == (Outcome.DELIVERED, 0)
    assert pair.contents == [content]


def test_an_end_of_file_that_comes_while_suspended_is_acknowledged_later(pair: Pair) -> None:
    pair.entities[GROUND].suspend()
    pair.entities[SATELLITE].send(pair.file(b"x" * 500), GROUND)
    pair.fly(5)
    assert not pair.ether.kinds(AckPdu, to=SATELLITE)
    pair.entities[GROUND].resume()
    pair.run(lambda: bool(pair.ether.kinds(AckPdu, to=SATELLITE)), seconds=0.1)
    assert pair.finish().outcome is Outcome.DELIVERED
    assert pair.contents == [b"x" * 500]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [FinishedPdu, AckPdu], ids=["finished", "acknowledgement"])
def test_a_resume_with_nothing_missing_still_completes(pair: Pair, lost: type) -> None:
    pair.ether.fate = first_lost(lost, 10**9)
    pair.entities[SATELLITE].send(pair.file(b"x" * 500), GROUND)
    pair.run(lambda: bool(pair.contents))
    pair.fly(2)
    assert not pair.ears[SATELLITE].results or lost is AckPdu
    for entity in pair.entities.values():
        entity.suspend()
    pair.ether.fate = lambda _: [5]
    pair.fly(3_600)
    for entity in pair.entities.values():
        entity.resume()
    assert pair.finish().outcome is Outcome.DELIVERED
    assert pair.contents == [b"x" * 500]


def test_more_gaps_than_fit_a_report_are_reported_in_several(pair: Pair) -> None:
    content = os.urandom(120_000)
    count = [0]

    def every_other(data: bytes) -> list[int]:
        if isinstance(read_pdu(data), FileDataPdu):
            count[0] += 1
            return [] if count[0] <= 1_200 and count[0] % 2 else [5]
        return [5]

    pair.ether.fate = every_other
    pair.entities[SATELLITE].send(pair.file(content), GROUND)
    assert pair.finish().outcome is Outcome.DELIVERED
    assert pair.contents == [content]
    reports = pair.ether.kinds(NakPdu, to=SATELLITE)
    assert len(reports) > 30
    assert max(map(len, reports)) <= 100 + 64


def test_an_interrupted_uplink_is_abandoned_and_a_retry_works(pair: Pair) -> None:
    content = os.urandom(5_000)
    pair.entities[SATELLITE].send(pair.file(content), GROUND)
    pair.run(lambda: len(pair.ether.sent) > 3)
    pair.ether.fate = lambda _: []
    pair.run(lambda: bool(pair.ears[GROUND].failures) and bool(pair.ears[SATELLITE].results), seconds=120)
    [(key, reason)] = pair.ears[GROUND].failures
    assert key.source == SATELLITE
    assert "nothing came for 30 s" in reason
    assert pair.ears[SATELLITE].results[0].outcome is Outcome.ABANDONED
    assert not list((pair.folder / "inbox-2/.quarantine").iterdir())
    pair.ether.fate = lambda _: [5]
    pair.entities[SATELLITE].send(pair.file(content), GROUND)
    assert pair.finish(2).outcome is Outcome.DELIVERED
    assert pair.contents == [content]


@pytest.mark.parametrize("transfer_class", TransferClass)
def test_the_same_small_file_may_be_sent_again_and_again(pair: Pair, transfer_class: TransferClass) -> None:
    for times in range(1, 6):
        pair.entities[SATELLITE].send(pair.file(b"small"), GROUND, transfer_class=transfer_class)
        pair.finish(times)
        assert pair.contents == [b"small"] * times


def test_a_transfer_may_take_as_long_as_it_needs(tmp_path: Path) -> None:
    pair = Pair(tmp_path, rate=2_000)
    content = os.urandom(40_000)
    pair.entities[SATELLITE].send(pair.file(content), GROUND)
    result = pair.finish()
    assert (result.outcome, result.resent) == (Outcome.DELIVERED, 0)
    assert pair.ether.now > 6 * TIMERS.inactivity.total_seconds() * SECOND


def test_the_rate_is_kept(tmp_path: Path) -> None:
    pair = Pair(tmp_path, rate=50_000)
    pair.entities[SATELLITE].send(pair.file(os.urandom(40_000)), GROUND)
    pair.run(lambda: bool(pair.contents))
    seconds = pair.ether.now / SECOND
    sent = sum(len(data) + 28 for to, data in pair.ether.sent if to[1] == PORTS[GROUND]) * 8
    assert sent <= 50_000 * seconds + 8 * 3_200
    assert sent >= 0.9 * 50_000 * seconds


def test_a_refused_file_is_told_and_not_kept(pair: Pair) -> None:
    for error in (Refused("not a bundle"), NoSpace("full")):
        pair.ears[GROUND].refuse_with = error
        pair.entities[SATELLITE].send(pair.file(b"x" * 300), GROUND)
        result = pair.finish(len(pair.ears[SATELLITE].results) + 1)
        assert result.outcome is Outcome.REFUSED
        assert "FILESTORE_REJECTION" in result.reason
        assert str(error) in pair.ears[GROUND].failures[-1][1]
    assert [path.name for path in (pair.folder / "inbox-2").iterdir()] == [".quarantine"]


def test_a_file_that_is_too_large_is_refused_before_it_is_sent_whole(tmp_path: Path) -> None:
    pair = Pair(tmp_path, limits=Limits(file=Bytes(1_000)), rate=100_000)
    pair.entities[SATELLITE].send(pair.file(b"x" * 100_000), GROUND)
    result = pair.finish()
    assert result.outcome is Outcome.REFUSED
    assert result.sent < 10_000
    assert "limit of 1000" in pair.ears[GROUND].failures[0][1]


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a/b/../../..", "..", "nul\x00"])
def test_a_name_from_outside_goes_nowhere(pair: Pair, name: str) -> None:
    pair.entities[SATELLITE].send(pair.file(b"content"), GROUND, name=name)
    assert pair.finish().outcome is Outcome.DELIVERED
    [(file, _)] = pair.ears[GROUND].files
    assert file.announced == name
    assert file.path == pair.folder / "inbox-2" / digest_of(b"content").removeprefix("sha256:")


@pytest.mark.parametrize("who", [SATELLITE, GROUND])
def test_a_restart_in_mid_transfer_ends_in_a_whole_file(pair: Pair, who: EntityId) -> None:
    content = os.urandom(20_000)
    pair.ether.fate = losing(np.random.default_rng(3), 0.2)
    pair.entities[SATELLITE].send(pair.file(content), GROUND)
    pair.run(lambda: len(pair.ether.sent) > 150)
    pair.entities[who].close()
    pair.entities[who] = pair.entity(who)
    if who == SATELLITE:
        pair.entities[SATELLITE].send(pair.file(content), GROUND)
    pair.run(lambda: bool(pair.ears[SATELLITE].results) and not any(e.busy for e in pair.entities.values()))
    assert pair.ears[SATELLITE].results[-1].outcome is Outcome.DELIVERED
    assert pair.contents[-1] == content


def test_a_cancelled_file_is_given_up_on_both_sides(tmp_path: Path) -> None:
    pair = Pair(tmp_path, rate=20_000)
    key = pair.entities[SATELLITE].send(pair.file(b"x" * 50_000), GROUND)
    pair.fly(2)
    assert 0 < (pair.entities[SATELLITE].progress(key) or 0) < 50_000
    pair.entities[SATELLITE].cancel(key)
    assert pair.finish().outcome is Outcome.CANCELLED
    assert "CANCEL" in pair.ears[GROUND].failures[0][1]


def test_datagrams_that_are_no_pdus_are_counted_and_nothing_else(pair: Pair) -> None:
    rng = np.random.default_rng(1)
    for length in (0, 1, 3, 4, 12, 40, 200):
        for _ in range(50):
            pair.ether.launch(rng.bytes(length), ("link", PORTS[GROUND]))
    pair.fly(1)
    counts = pair.entities[GROUND].counts
    assert counts.malformed + counts.strangers + counts.ignored + counts.turned_away == 350
    pair.entities[SATELLITE].send(pair.file(b"after"), GROUND)
    assert pair.finish().outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    ("to", "name"), [(EntityId(9), None), (GROUND, ""), (GROUND, "n" * 256)], ids=["stranger", "no name", "long name"]
)
def test_what_cannot_be_sent_is_said_at_once(pair: Pair, to: EntityId, name: str | None) -> None:
    with pytest.raises(BadInput):
        pair.entities[SATELLITE].send(pair.file(b"x"), to, name=name)
