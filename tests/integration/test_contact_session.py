"""Whole contacts over real sockets: cut, repeated, resumed, refused; nothing is lost and nothing is sent twice."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import Untrusted
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.samples import Reason
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.sample_store import Blobs
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.blobs import MemoryBlobs
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import Limits, unpack
from orbitloop.wire.messages import Offer, Telemetry, UpdateReport
from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_edge.adapters.gateway import GatewayClient
from orbitloop_edge.adapters.inbox import FolderInbox
from orbitloop_edge.adapters.outbox import FolderOutbox
from orbitloop_edge.adapters.sessions import FilePending, FileSessions
from orbitloop_edge.adapters.spool import DiskSpool
from orbitloop_edge.usecases.beginnings import OnBeginning
from orbitloop_edge.usecases.contact import Aboard, ContactSession, Occasion
from orbitloop_edge.usecases.tally import SessionSummary
from orbitloop_ground.app import Dependencies, compose, gateway_thread
from orbitloop_ground.http.server import ServerThread
from orbitloop_ground.settings import GroundSettings

PLENTY = Bytes(2**24)
FLYING, NEXT = digest_of(b"weights"), digest_of(b"next weights")
CLOCK = VirtualClock(LAUNCH)
UPDATE = bytes(range(256)) * 400


class Relay:
    """A space link in small: passes bytes on to the ground, and is cut for good after so many of them.

    Args:
        target: port of the ground on this machine.
        down: bytes towards the ground until the cut; ``None`` for no cut.
        up: bytes from the ground until the cut.
    """

    def __init__(self, target: int, *, down: int | None = None, up: int | None = None) -> None:
        self._target = target
        self._left = {"down": down, "up": up}
        self._guard = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.passed = {"down": 0, "up": 0}
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        with self._guard:
            for end in (self._listener, *self._sockets):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._guard:
                self._sockets += [near, far]
            threading.Thread(target=self._pass_on, args=(near, far, "down"), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(far, near, "up"), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        try:
            while data := source.recv(4_096):
                with self._guard:
                    left = self._left[way]
                    data = data if left is None else data[:left]
                    self._left[way] = None if left is None else left - len(data)
                    self.passed[way] += len(data)
                sink.sendall(data)
                if self._left[way] == 0:
                    self.cut()
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def apply_at_once(path: Path, offer: Offer) -> UpdateReport:
    assert digest_of(path.read_bytes()) == offer.digest
    return UpdateReport(
        satellite="sat-1", update=offer.digest, outcome=Outcome.APPLIED, flying=offer.result, at=CLOCK.now()
    )


@dataclass(kw_only=True)
class Mission:
    """One satellite and its ground, each with its own disk."""

    folder: Path
    keys: Path
    flying: Digest = FLYING
    parts: Dependencies = field(init=False)
    server: ServerThread = field(init=False)
    spool: DiskSpool = field(init=False)
    crossed: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    largest_update: Bytes = PLENTY
    largest_bundle: Bytes = PLENTY
    blobs: Blobs | None = None
    identity: str = "sat-1"

    def __post_init__(self) -> None:
        self.spool = DiskSpool(
            self.folder / "sat" / "spool", "sat-1", CLOCK, budget=PLENTY, limits=Limits(packed=Bytes(100_000))
        )

    @contextmanager
    def ground(self) -> Iterator[None]:
        options = GroundSettings(
            folder=self.folder / "ground", keys=self.keys / "ground", max_bundle_bytes=self.largest_bundle
        )
        made = compose(options, CLOCK)
        self.parts = made if self.blobs is None else replace(made, blobs=self.blobs)
        with gateway_thread(self.parts) as self.server:
            yield
        self.parts.ledger.close()

    def spooled(self, count: int, *, size: int = 1_000, first: int = 0) -> set[Digest]:
        items = [a_sample(first + number, size=size) for number in range(count)]
        for sample, pixels in items:
            self.spool.add(sample, pixels)
        return {sample.id for sample, _ in items}

    def received(self) -> list[Digest]:
        return [item.sample.id for item in self.parts.ledger.waiting()]

    def publish(self, data: bytes = UPDATE) -> PublishedUpdate:
        path = self.folder / "ground" / hexadecimal(digest_of(data))
        path.write_bytes(data)
        update = PublishedUpdate(
            satellite="sat-1", digest=digest_of(data), size=Bytes(len(data)), base=FLYING, result=NEXT, path=path
        )
        self.parts.ledger.publish_update(update)
        return update

    def outbox(self) -> FolderOutbox:
        return FolderOutbox(self.folder / "sat" / "outbox")

    def contact(
        self,
        url: str | None = None,
        *,
        budget: int = PLENTY,
        apply: object = apply_at_once,
        beginning: OnBeginning | None = None,
    ) -> SessionSummary:
        """One session, as a satellite that has just restarted would hold it."""
        aboard = Aboard(
            satellite="sat-1",
            spool=self.spool,
            outbox=self.outbox(),
            inbox=FolderInbox(self.folder / "sat" / "inbox"),
            pending=FilePending(self.folder / "sat" / "pending.json"),
            begun=FilePending(self.folder / "sat" / "begun.json"),
            sessions=FileSessions(self.folder / "sat" / "session", CLOCK),
            clock=CLOCK,
            largest_update=self.largest_update,
        )
        telemetry = Telemetry(
            satellite="sat-1", frames_captured=5, frames_processed=5, captured_bytes=Bytes(9), samples_spooled=3
        )
        occasion = Occasion(flying=self.flying, budget=Bytes(budget), telemetry=telemetry)
        assert callable(apply)
        credentials = read_credentials(self.keys / "satellites" / self.identity)
        with GatewayClient(url or self.server.url, credentials, patience=timedelta(seconds=20)) as client:
            return ContactSession(aboard, client, apply, self.count, on_beginning=beginning).run(occasion)

    def count(self, direction: Direction, count: Bytes) -> None:
        self.crossed[direction] += count

    def through(self, *, down: int | None = None, up: int | None = None) -> tuple[SessionSummary, Relay]:
        """One session over a link that is cut after so many bytes."""
        with Relay(self.server.port, down=down, up=up) as relay:
            return self.contact(relay.url), relay


@pytest.fixture
def mission(tmp_path: Path, keys: Path) -> Iterator[Mission]:
    with ExitStack() as stack:
        mission = Mission(folder=tmp_path, keys=keys)
        stack.enter_context(mission.spool)
        stack.enter_context(mission.ground())
        yield mission


def test_a_quiet_contact_brings_everything_down_and_the_update_up(mission: Mission) -> None:
    spooled = mission.spooled(24, size=8_000)
    update = mission.publish()
    summary = mission.contact()
    assert summary.complete
    assert summary.samples == 24
    assert summary.bundles == 3
    assert summary.bytes_up == update.size
    assert summary.update == Outcome.APPLIED
    assert {Direction.DOWN: summary.bytes_down, Direction.UP: summary.bytes_up} == mission.crossed
    assert set(mission.received()) == spooled
    assert mission.spool.state().samples == 0
    assert [report.outcome for report in mission.parts.ledger.reports("sat-1")] == [Outcome.APPLIED]
    assert mission.outbox().waiting() == []
    heard = mission.parts.ledger.last_hello("sat-1")
    assert heard is not None
    assert heard[1].queued_samples == 24
    assert mission.parts.ledger.last_telemetry("sat-1") is not None


def test_a_contact_with_nothing_to_say_ends_complete(mission: Mission) -> None:
    summary = mission.contact()
    assert summary == SessionSummary(
        bundles=0, samples=0, bytes_down=Bytes(0), bytes_up=Bytes(0), events=0, update=None, complete=True, problems=()
    )


def test_a_contact_without_a_ground_changes_nothing(mission: Mission) -> None:
    mission.spooled(3)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    summary = mission.contact(f"https://127.0.0.1:{port}")
    assert not summary.complete
    assert "link was lost" in summary.problems[0]
    assert mission.spool.state().samples == 3


def test_a_bundle_cut_in_the_middle_goes_on_where_it_was_cut(mission: Mission) -> None:
    spooled = mission.spooled(12, size=5_000)
    size = len(sealed[1]) if (sealed := mission.spool.seal(PLENTY)) else 0
    passed = 0
    for cut in (30_000, 25_000):
        summary, relay = mission.through(down=cut)
        passed += relay.passed["down"]
        assert not summary.complete
        assert mission.received() == []
    summary, relay = mission.through()
    passed += relay.passed["down"]
    assert summary.complete
    assert summary.bytes_down < size - 40_000
    assert set(mission.received()) == spooled
    assert passed < size + 16_000  # three handshakes, their requests, and the record that was on its way at a cut


def test_a_link_that_is_cut_ever_so_early_still_gets_everything_down(mission: Mission) -> None:
    spooled = mission.spooled(6, size=5_000)
    sessions = 0
    while mission.spool.state().samples:
        mission.through(down=12_000)
        sessions += 1
        assert sessions < 12
    assert sorted(mission.received()) == sorted(spooled)


def test_a_receipt_that_is_lost_costs_nothing_twice(mission: Mission) -> None:
    spooled = mission.spooled(8, size=5_000)
    quiet_answers = 2_100  # the handshake, telemetry, hello and the announcement; the answer to the last PATCH is cut
    summary, _ = mission.through(up=quiet_answers)
    assert not summary.complete
    assert mission.spool.state().samples == 8
    again = mission.contact()
    assert again.complete
    assert again.bytes_down == 0
    assert again.samples == 8
    assert sorted(mission.received()) == sorted(spooled)


@pytest.mark.parametrize("up", range(0, 2_800, 200))
def test_wherever_the_answers_are_cut_each_sample_is_counted_once(mission: Mission, up: int) -> None:
    spooled = mission.spooled(3)
    mission.through(up=max(up, 1))
    assert mission.contact().complete
    assert sorted(mission.received()) == sorted(spooled)
    assert mission.spool.state().samples == 0


def test_a_ground_that_restarts_between_two_contacts_goes_on_where_it_was(tmp_path: Path, keys: Path) -> None:
    mission = Mission(folder=tmp_path, keys=keys)
    with mission.spool:
        with mission.ground():
            spooled = mission.spooled(12, size=5_000)
            mission.through(down=30_000)
        with mission.ground():
            summary = mission.contact()
            assert summary.complete
            assert 0 < summary.bytes_down < 50_000
            assert set(mission.received()) == spooled


def test_a_pass_is_never_overfilled_and_the_next_one_goes_on(mission: Mission) -> None:
    mission.spooled(12, size=5_000)
    sealed = mission.spool.seal(PLENTY)
    assert sealed is not None
    first = mission.contact(budget=20_000)
    assert (first.bytes_down, first.bundles, first.complete) == (20_000, 0, True)
    second = mission.contact(budget=20_000)
    assert second.bytes_down == 20_000
    last = mission.contact()
    assert last.bytes_down == len(sealed[1]) - 40_000
    assert len(mission.received()) == 12


def test_the_most_valuable_samples_go_down_in_a_short_pass(mission: Mission) -> None:
    for number in range(20):
        mission.spool.add(*a_sample(number, value=float(number)))
    mission.contact(budget=6_000)
    received = mission.received()
    assert received
    best = {a_sample(19 - place)[0].id for place in range(len(received))}
    assert set(received) == best


def test_an_update_cut_in_the_middle_goes_on_where_it_was_cut(mission: Mission) -> None:
    update = mission.publish()
    received = 0
    for _ in range(3):
        summary, _ = mission.through(up=30_000)
        assert not summary.complete
        assert summary.update is None
        received += summary.bytes_up
    summary = mission.contact()
    assert summary.complete
    assert summary.update == Outcome.APPLIED
    assert received + summary.bytes_up == update.size


def test_a_partial_update_of_other_bytes_is_noticed_and_fetched_afresh(mission: Mission) -> None:
    update = mission.publish()
    mission.through(up=30_000)
    (partial,) = (mission.folder / "sat" / "inbox").glob("*.update")
    partial.write_bytes(bytes(len(partial.read_bytes())))
    assert mission.contact().update == Outcome.APPLIED
    assert mission.crossed[Direction.UP] > update.size


def test_a_newer_offer_replaces_a_partial_update(mission: Mission) -> None:
    mission.publish()
    mission.through(up=30_000)
    newer = mission.publish(b"newer" * 1_000)
    summary = mission.contact()
    assert (summary.update, summary.bytes_up) == (Outcome.APPLIED, newer.size)
    assert not list((mission.folder / "sat" / "inbox").iterdir())


def test_an_update_whose_file_changed_on_the_ground_is_not_served_until_it_is_right_again(mission: Mission) -> None:
    update = mission.publish()
    right = update.path.read_bytes()
    update.path.write_bytes(bytes(update.size))
    summary = mission.contact()
    assert (summary.update, summary.bytes_up, summary.complete) == (None, 0, False)
    assert "has changed" in summary.problems[0]
    assert mission.parts.ledger.reports("sat-1") == []
    update.path.write_bytes(right)
    assert mission.contact().update == Outcome.APPLIED


def test_an_update_that_the_ground_does_not_serve_is_a_problem_and_no_refusal(mission: Mission) -> None:
    update = mission.publish()
    mission.through(up=30_000)
    stored = update.path.rename(update.path.with_suffix(".moved"))
    summary = mission.contact()
    assert not summary.complete
    assert summary.update is None
    assert mission.outbox().waiting() == mission.parts.ledger.reports("sat-1") == []
    stored.rename(update.path)
    assert mission.contact().update == Outcome.APPLIED
    assert mission.crossed[Direction.UP] == update.size


def test_bundles_larger_than_the_ground_takes_come_down_in_smaller_ones(tmp_path: Path, keys: Path) -> None:
    mission = Mission(folder=tmp_path, keys=keys, largest_bundle=Bytes(12_000))
    with mission.spool, mission.ground():
        spooled = mission.spooled(6, size=5_000)
        assert not mission.contact().complete  # the other sender may find what was given back, or the next contact
        assert mission.contact().complete
        assert sorted(mission.received()) == sorted(spooled)


def test_an_update_too_large_is_turned_down_without_fetching_it(mission: Mission) -> None:
    mission.largest_update = Bytes(1_000)
    mission.publish()
    summary = mission.contact()
    assert (summary.update, summary.bytes_up) == (Outcome.REFUSED, 0)
    assert "exceed" in mission.parts.ledger.reports("sat-1")[0].reason
    assert mission.contact().update is None


def test_an_update_that_cannot_be_applied_is_reported_and_not_offered_again(mission: Mission) -> None:
    def refuse(path: Path, offer: Offer) -> UpdateReport:
        raise Untrusted("the signature is not the ground's")

    mission.publish()
    assert mission.contact(apply=refuse).update == Outcome.REFUSED
    assert mission.parts.ledger.reports("sat-1")[0].reason == "the signature is not the ground's"
    assert mission.contact(apply=refuse).update is None


def test_a_report_waits_on_board_until_the_ground_has_it_and_then_goes_first(mission: Mission) -> None:
    report = UpdateReport(
        satellite="sat-1", update=NEXT, outcome=Outcome.ROLLED_BACK, flying=FLYING, at=LAUNCH, reason="worse"
    )
    mission.outbox().put(report)
    mission.spooled(12, size=5_000)
    mission.through(up=1)
    assert mission.outbox().waiting() == [report]
    mission.through(down=5_000)
    assert mission.outbox().waiting() == []
    assert mission.parts.ledger.reports("sat-1") == [report]


def test_an_update_fetched_whole_is_tried_even_if_the_signal_is_lost_then(mission: Mission) -> None:
    mission.publish(b"small update")
    mission.spooled(12, size=5_000)
    with Relay(mission.server.port) as relay:

        def cut_once_it_is_here(direction: Direction, count: Bytes) -> None:
            if direction is Direction.UP:
                fetched.set()
            elif fetched.wait(10):
                relay.cut()

        fetched = threading.Event()
        mission.count = cut_once_it_is_here  # type: ignore[method-assign]
        summary = mission.contact(relay.url)
    assert not summary.complete
    assert summary.update == Outcome.APPLIED
    assert [report.outcome for report in mission.outbox().waiting()] == [Outcome.APPLIED]


def test_a_bundle_damaged_on_its_way_is_sent_again_in_the_same_contact(mission: Mission) -> None:
    spooled = mission.spooled(12, size=5_000)
    mission.through(down=30_000)
    (part,) = (mission.folder / "ground" / "uploads" / "sat-1").glob("*.part")
    part.write_bytes(bytes(len(part.read_bytes())))
    summary = mission.contact()
    assert summary.complete
    assert set(mission.received()) == spooled


def test_keys_of_another_satellite_are_told_apart_from_a_lost_link(mission: Mission) -> None:
    mission.spooled(3)
    mission.identity = "sat-2"
    summary = mission.contact()
    assert not summary.complete
    assert "403" in summary.problems[0]
    assert mission.spool.state().samples == 3


def test_a_full_disk_on_the_ground_leaves_the_bundle_on_board_and_costs_nothing_twice(
    tmp_path: Path, keys: Path
) -> None:
    blobs = MemoryBlobs(full=True)
    mission = Mission(folder=tmp_path, keys=keys, blobs=blobs)
    with mission.spool, mission.ground():
        mission.spooled(4)
        summary = mission.contact()
        assert not summary.complete
        assert "507" in summary.problems[0]
        assert mission.spool.state().samples == 4
        blobs.full = False
        again = mission.contact()
        assert (again.complete, again.samples, again.bytes_down) == (True, 4, 0)
        assert len(mission.received()) == 4


def test_sessions_count_and_say_how_far_the_ledger_is(mission: Mission) -> None:
    mission.spooled(3)
    hellos = []
    for _ in range(3):
        mission.contact()
        heard = mission.parts.ledger.last_hello("sat-1")
        assert heard is not None
        hellos.append(heard[1])
    numbers = [hello.sequence for hello in hellos]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    assert len({hello.session for hello in hellos}) == 3
    positions = [hello.position for hello in hellos if hello.position is not None]
    assert [position.delivered for position in positions] == [0, 3, 3]
    assert positions[1].last == mission.spool.state().last


def test_a_session_that_went_well_ends_with_goodbye(mission: Mission) -> None:
    mission.spooled(3)
    summary = mission.contact()
    heard = mission.parts.ledger.last_goodbye("sat-1")
    assert heard is not None
    goodbye = heard[1]
    assert (goodbye.bundles, goodbye.samples, goodbye.bytes_down) == (1, 3, summary.bytes_down)
    assert goodbye.complete


def test_a_receipt_that_was_lost_comes_with_the_next_welcome(mission: Mission) -> None:
    mission.spooled(3)
    sealed = mission.spool.seal(PLENTY)
    assert sealed is not None
    mission.contact()
    again = DiskSpool(mission.folder / "again", "sat-1", CLOCK, budget=PLENTY)  # as before the receipt came
    for number in range(3):
        again.add(*a_sample(number))
    with again:
        same = again.seal(PLENTY)
        mission.spool = again
        summary = mission.contact()
    assert same == sealed
    assert (summary.samples, summary.bytes_down, summary.complete) == (3, 0, True)


def test_what_the_ground_wants_most_is_kept_on_board_and_goes_first(mission: Mission) -> None:
    mission.parts.ledger.set_priorities("sat-1", {"audit": 50.0})
    mission.contact()
    common, wanted = a_sample(1, value=2.0), a_sample(2, value=1.0)
    mission.spool.add(*common)
    mission.spool.add(replace(wanted[0], reason=Reason.AUDIT), wanted[1])
    sealed = mission.spool.seal(Bytes(3_000))
    assert sealed is not None
    assert [sample.reason for sample in unpack(sealed[1]).samples] == [Reason.AUDIT]


def test_ledgers_that_differ_are_told_apart_in_the_log(mission: Mission, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    mission.spooled(3)
    mission.contact()
    mission.contact()
    assert "ledgers_differ" not in caplog.messages
    with DiskSpool(mission.folder / "another", "sat-1", CLOCK, budget=PLENTY) as mission.spool:
        mission.contact()
    (record,) = [record for record in caplog.records if record.message == "ledgers_differ"]
    assert (vars(record)["delivered"], vars(record)["received"]) == (0, 3)
