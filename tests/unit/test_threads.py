"""A process ends with a thread that fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from orbitloop.adapters.threads import ending_with_any_thread


def ran(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join()


def fails() -> None:
    raise OSError("the socket is gone")


def a_process(end: Callable[[], None], error: Exception | None = None) -> None:
    with ending_with_any_thread(end):
        ran(fails)
        if error is not None:
            raise error


def test_a_thread_that_fails_ends_the_process_and_is_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()
    with pytest.raises(RuntimeError, match="worker"):
        a_process(ended.set)
    assert ended.is_set()
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.exc_info is not None
    assert "the socket is gone" in str(record.exc_info[1])


@pytest.mark.parametrize("work", [lambda: None, lambda: exit(1)], ids=["ends", "exits"])
def test_a_thread_that_ends_as_it_was_meant_to_ends_nothing_else(work: Callable[[], object]) -> None:
    ended = threading.Event()
    with ending_with_any_thread(ended.set):
        ran(work)
    assert not ended.is_set()


def test_what_went_wrong_in_the_process_itself_is_not_covered_up() -> None:
    with pytest.raises(KeyError):
        a_process(lambda: None, KeyError("mine"))


def test_afterwards_threads_fail_as_before() -> None:
    before = threading.excepthook
    with ending_with_any_thread(lambda: None):
        assert threading.excepthook is not before
    assert threading.excepthook is before
