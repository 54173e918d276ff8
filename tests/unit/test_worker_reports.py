"""Reports to a Local Controller that answers, refuses, is not there, or hangs."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop.testing.local_controller import RecordingLocalController
from orbitloop.wire.worker_messages import WorkerInfo
from orbitloop.worker.reports import HttpReporter, address_from
from orbitloop.worker.statistics import OwnerInfo, Statistics

INFO = WorkerInfo(name="worker 1/a", owner_name="helmets", owner_kind="incrementallearningjob", kind="train")


class Waits:
    """Stands for sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def reporter(url: str, waits: Waits, *, seconds: float = 30, tries: int = 4) -> HttpReporter:
    return HttpReporter(url, timeout=timedelta(seconds=seconds), tries=tries, wait=waits)


def test_a_report_arrives_under_the_workers_name() -> None:
    waits = Waits()
    with RecordingLocalController().running() as controller:
        assert reporter(controller.url, waits).send(INFO) is True
        assert reporter(controller.url.removeprefix("http://") + "/", waits).send(INFO) is True
    assert controller.reports == [INFO, INFO]
    assert waits.seconds == []


@pytest.mark.parametrize(
    ("answers", "accepted", "requests", "waited"),
    [
        ((503, 500), True, 3, [0.5, 1]),
        ((503, 503, 503, 503), False, 4, [0.5, 1, 2]),
        ((400,), False, 1, []),
        ((404,), False, 1, []),
        ((502, 422), False, 2, [0.5]),
    ],
)
def test_only_what_may_succeed_later_is_tried_again(
    answers: tuple[int, ...], accepted: bool, requests: int, waited: list[float]
) -> None:
    waits = Waits()
    with RecordingLocalController(answers=answers).running() as controller:
        assert reporter(controller.url, waits).send(INFO) is accepted
    assert (controller.requests, waits.seconds) == (requests, waited)


def test_a_controller_that_is_not_there_is_given_up_after_the_last_try() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        waits = Waits()
        assert reporter(f"http://127.0.0.1:{taken.getsockname()[1]}", waits).send(INFO) is False
    assert waits.seconds == [0.5, 1, 2]


def test_sednas_bug_that_a_silent_controller_hangs_the_worker_is_fixed() -> None:
    waits = Waits()
    with RecordingLocalController(silent=True).running() as controller:
        assert reporter(controller.url, waits, seconds=0.05, tries=2).send(INFO) is False
    assert waits.seconds == [0.5]


@pytest.mark.parametrize("url", ["ftp://localhost:21", "http://", "http://localhost:high", "unix:///a"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="LC_SERVER"):
        address_from(url)


class Ticks:
    """A clock that moves a minute each time it is asked."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.moment += timedelta(minutes=1)
        return self.moment


def test_statistics_are_reported_only_after_traffic() -> None:
    sent: list[OwnerInfo] = []
    statistics = Statistics(Ticks(), timedelta(hours=1), sent.append)
    statistics.flush()
    assert sent == []
    for hard in (True, False, True, True):
        statistics.count(hard=hard, uploaded=hard)
    statistics.flush()
    statistics.flush()
    assert sent == [
        {
            "startTime": "2026-01-01T00:01:00+00:00",
            "updateTime": "2026-01-01T00:04:00+00:00",
            "inferenceNumber": 4,
            "hardExampleNumber": 3,
            "uploadCloudRatio": 0.75,
        }
    ]
    statistics.count(hard=False)
    statistics.flush()
    assert sent[-1]["inferenceNumber"] == 5
