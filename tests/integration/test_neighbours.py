"""Local Controller and worker as neighbours: calls, errors that come back as themselves, and whoever hangs up."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NoSpace, NotYet, OrbitloopError, Refused, Untrusted, WrongBase
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.workers import WorkerStatus
from orbitloop.testing.builders import an_offer
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.testing.spool import MemorySpool
from orbitloop.wire.messages import Offer, Telemetry, UpdateReport
from orbitloop_edge.adapters.host import Patience
from orbitloop_edge.adapters.neighbours import (
    CONTROLLER_SOCKET,
    WORKER_SOCKET,
    RemoteIntake,
    RemoteWorker,
    intake_calls,
    worker_calls,
)
from orbitloop_edge.adapters.rpc import Caller, CallServer, receive
from orbitloop_edge.adapters.sessions import FilePending, FileSessions
from orbitloop_edge.adapters.supervisor import Supervisor
from orbitloop_edge.usecases.watch import FrameWatch

SOON = timedelta(seconds=20)


def a_spool(budget: int = 2**20) -> MemorySpool:
    return MemorySpool("sat-1", VirtualClock(LAUNCH), budget=Bytes(budget))


def intake(folder: Path) -> RemoteIntake:
    return RemoteIntake(Caller(folder / CONTROLLER_SOCKET, "the controller", SOON), "sat-1", Patience(), attempts=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder too deep for the address of a socket."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    return deep


def test_samples_cross_whole_and_once(folder: Path) -> None:
    spool, remote = a_spool(), intake(folder)
    with CallServer(folder / CONTROLLER_SOCKET, intake_calls(spool)):
        assert remote.add(*a_sample(1, found=3))
        assert not remote.add(*a_sample(1, found=3))
    direct = a_spool()
    direct.add(*a_sample(1, found=3))
    assert spool.seal(Bytes(9_999)) == direct.seal(Bytes(9_999))


def test_what_the_spool_raises_comes_back_as_itself(folder: Path) -> None:
    with CallServer(folder / CONTROLLER_SOCKET, intake_calls(a_spool(budget=1_500))):
        remote = intake(folder)
        remote.add(*a_sample(1))
        with pytest.raises(NoSpace, match="1000 of 1500"):
            remote.add(*a_sample(2))


@pytest.mark.parametrize("kind", [BadInput, Untrusted, WrongBase, Refused, NoSpace, NotYet])
def test_every_error_of_the_tree_survives_the_way(folder: Path, kind: type[OrbitloopError]) -> None:
    def fail(_head: dict[str, object], _body: bytes) -> dict[str, object]:
        raise kind("what, where, what to do")

    with CallServer(folder / "x.sock", {"fail": fail}):
        with pytest.raises(kind, match="what, where") as raised:
            Caller(folder / "x.sock", "it", SOON).call("fail")
        assert type(raised.value) is kind


def test_nobody_there_is_a_reason_to_ask_again_and_a_restart_is_not_noticed(folder: Path) -> None:
    remote = intake(folder)
    with pytest.raises(NotYet, match="does not answer"):
        remote.add(*a_sample(1))
    spool = a_spool()
    for number in range(3):
        with CallServer(folder / CONTROLLER_SOCKET, intake_calls(spool)):
            try:
                remote.add(*a_sample(number))
            except NotYet:  # the connection was to the one before
                remote.add(*a_sample(number))
    assert spool.state().samples == 3


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=200))
def test_noise_harms_nobody_else(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("noise")
    with CallServer(folder / CONTROLLER_SOCKET, intake_calls(a_spool())):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(folder / CONTROLLER_SOCKET))
            rude.settimeout(20)
            with suppress(ConnectionResetError, BrokenPipeError):
                rude.sendall(noise)
                rude.shutdown(socket.SHUT_WR)
                while rude.recv(4_096):
                    pass
        assert intake(folder).add(*a_sample(1))


@pytest.mark.parametrize("entry", [None, 3, {}, {"id": "x"}])
def test_a_call_that_makes_no_sense_is_refused(folder: Path, entry: object) -> None:
    with CallServer(folder / CONTROLLER_SOCKET, intake_calls(a_spool())):
        caller = Caller(folder / CONTROLLER_SOCKET, "the controller", SOON)
        with pytest.raises(BadInput):
            caller.call("add", {"entry": entry})
        with pytest.raises(BadInput, match="no call 'dance' here; there is add"):
            caller.call("dance")


def test_a_call_that_fails_unexpectedly_is_logged_and_may_be_tried_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_head: dict[str, object], _body: bytes) -> dict[str, object]:
        raise ZeroDivisionError("of the worker")

    with CallServer(folder / "x.sock", {"fail": fail, "work": lambda _head, _body: {"done": True}}):
        caller = Caller(folder / "x.sock", "it", SOON)
        with pytest.raises(NotYet, match="ZeroDivisionError"):
            caller.call("fail")
        assert caller.call("work") == {"done": True}
    assert "of the worker" in caplog.text


@pytest.mark.parametrize("answer", [b"{}", b'{"ok": 3}', b'{"error": "so"}'], ids=["nothing", "a number", "a text"])
def test_an_answer_that_is_none_is_a_reason_to_ask_again(folder: Path, tmp_path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "y"))
        listening.listen()
        (folder / "y.sock").symlink_to(tmp_path / "y")

        def say() -> None:
            end, _ = listening.accept()
            with end:
                assert receive(end) is not None
                end.sendall(len(answer).to_bytes(4, "big") + bytes(4) + answer)

        with ThreadPoolExecutor(1) as other:
            said = other.submit(say)
            with pytest.raises(NotYet, match="neither an ok nor an error"):
                Caller(folder / "y.sock", "it", SOON).call("status")
            said.result(60)


class Proud:
    """A worker that applies everything."""

    def status(self) -> WorkerStatus:
        telemetry = Telemetry(
            satellite="sat-1", frames_captured=2, frames_processed=1, captured_bytes=Bytes(3), samples_spooled=4
        )
        return WorkerStatus(flying=digest_of(b"weights"), telemetry=telemetry)

    def prove(self, path: Path, offer: Offer) -> UpdateReport:
        if not path.exists():
            raise Untrusted(f"{path} is gone")
        return UpdateReport(
            satellite="sat-1", update=offer.digest, outcome=Outcome.APPLIED, flying=offer.result, at=LAUNCH
        )

    def prove_beginning(self, path: Path, offer: Offer, here: Bytes) -> Digest | None:
        return digest_of(b"a beginning") if here > 10 else None


def test_status_and_proofs_cross(folder: Path, tmp_path: Path) -> None:
    offer = an_offer(b"update", base=digest_of(b"weights"), result=digest_of(b"next"))
    with CallServer(folder / WORKER_SOCKET, worker_calls(Proud())):
        remote = RemoteWorker(folder)
        assert remote.status() == Proud().status()
        with pytest.raises(Untrusted, match="is gone"):
            remote.prove(tmp_path / "none", offer)
        assert remote.prove(tmp_path, offer) == Proud().prove(tmp_path, offer)
        for here in (Bytes(10), Bytes(11)):
            assert remote.prove_beginning(tmp_path, offer, here) == Proud().prove_beginning(tmp_path, offer, here)
        remote.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_child_that_is_killed_is_started_again_and_ends_with_its_keeper(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with Supervisor(command, tmp_path) as keeper:
        until(lambda: keeper.pid is not None)
        first = keeper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: keeper.pid not in (None, first))
        last = keeper.pid
    assert last is not None
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)
    assert keeper.starts == 2


def test_a_command_that_does_not_exist_is_tried_again_and_holds_nothing_up(tmp_path: Path) -> None:
    with Supervisor([str(tmp_path / "none")], tmp_path) as keeper:
        assert keeper.pid is None


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    frames = tmp_path / "frames"
    frames.mkdir()
    return frames


def test_a_frame_counts_once_it_is_whole(frames: Path) -> None:
    done: set[str] = set()
    watch = FrameWatch(folder=frames, done=lambda: done)
    for name in ("b.png", "a.png", ".hidden", "c.png.part", "empty.png"):
        (frames / name).write_bytes(b"" if name == "empty.png" else b"x")
    (frames / "folder").mkdir()
    assert list(watch.whole()) == []
    assert list(watch.whole()) == [frames / "a.png", frames / "b.png"]
    done.add("a.png")
    (frames / "b.png").write_bytes(b"still growing")
    assert list(watch.whole()) == []
    assert list(watch.whole()) == [frames / "b.png"]
    (frames / "b.png").unlink()
    assert list(watch.whole()) == []


@pytest.mark.parametrize("damage", [b"", b"\x00\xff", b"-5", b"9" * 40])
def test_session_numbers_only_grow_whatever_happens_to_their_file(tmp_path: Path, damage: bytes) -> None:
    clock, path = VirtualClock(LAUNCH), tmp_path / "last"
    numbers = [FileSessions(path, clock).begin()[0] for _ in range(3)]
    assert numbers[1:] == [numbers[0] + 1, numbers[0] + 2]
    path.write_bytes(damage)
    clock.advance(timedelta(seconds=60))
    number, name = FileSessions(path, clock).begin()
    assert number > numbers[-1]
    assert len(name) == 32


def test_a_damaged_offer_is_forgotten(tmp_path: Path) -> None:
    pending = FilePending(tmp_path / "offer.json")
    offer = an_offer(b"update", base=digest_of(b"a"), result=digest_of(b"b"))
    pending.put(offer)
    assert pending.offer() == offer
    (tmp_path / "offer.json").write_text(json.dumps({"digest": 3}))
    assert pending.offer() is None
    pending.drop()
