"""Processes that do not outlive one of their threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


@contextmanager
def ending_with_any_thread(end: Callable[[], None]) -> Iterator[None]:
    """Call ``end`` if a thread ends by an error that nobody caught: without it the process would go on, deaf or dumb.

    The error is logged with its trace. Covers every thread of the process while the block lasts; ``end`` is called in
    the one that failed, and should make the block end soon.

    Raises:
        RuntimeError: when the block ends by itself after a thread has failed, so that the process's status says so.
    """
    failed: list[str] = []

    def note(what: threading.ExceptHookArgs) -> None:
        if what.exc_type is SystemExit or what.exc_value is None:
            return
        name = "unknown" if what.thread is None else what.thread.name
        trace = (what.exc_type, what.exc_value, what.exc_traceback)
        _log.critical("thread_failed", exc_info=trace, extra={"thread_name": name})
        failed.append(name)
        end()

    before, threading.excepthook = threading.excepthook, note
    try:
        yield
    finally:
        threading.excepthook = before
    if failed:
        raise RuntimeError(f"the thread {failed[0]} ended by an error: its trace stands above")
