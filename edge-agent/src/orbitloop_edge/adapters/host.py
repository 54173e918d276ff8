"""What the machine on board gives: the time, chance, and a way to wait."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import threading
import time

from orbitloop.domain.mining import Uniform

_M_ARENA_MAX = -8
"""As glibc's ``malloc.h`` numbers it."""


class Patience:
    """Waits that neither a step of the wall clock nor a long plan can prolong: monotonic, and ended by a stop."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End every wait, now and later."""
        self._stop.set()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait; returns whether to end."""
        return self._stop.wait(max(0.0, seconds))

    def stop_on_signals(self) -> None:
        """End on SIGTERM and SIGINT; to be called in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())


def elapsed() -> float:
    """Seconds that only grow, to measure how long something takes."""
    return time.perf_counter()


def chance(seed: int) -> Uniform:
    """Numbers in [0, 1), the same for the same seed."""
    return random.Random(seed).random  # noqa: S311  # chance, not secrecy


def stop_when_input_ends(patience: Patience) -> None:
    """Stop when standard input ends: whoever holds its other end is gone."""

    def watch() -> None:
        try:
            while os.read(0, 4_096):
                pass
        finally:
            patience.stop()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def is_running(pid: int) -> bool:
    """Whether a process of this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def share_one_arena() -> None:
    """Let all threads allocate from one place, where the allocator is glibc's: what one frees, the others can use.

    To be called before other threads begin.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_M_ARENA_MAX, 1)


def give_memory_back() -> None:
    """Return freed memory to the system, where the allocator knows how: after a contact its buffers."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
