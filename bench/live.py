"""Live processes under a bench's hand: started, watched, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

BIN = Path(sys.executable).parent
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


class TooLate(Exception):
    """Something that had to happen did not, in the time that it was given."""


def until(happened: Callable[[], bool], *, seconds: float, what: str, every: float = 0.05) -> None:
    """Wait until ``happened`` says so. Raises ``TooLate`` after ``seconds``."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TooLate(f"{what}: not after {seconds:g} s")
        time.sleep(every)


@dataclass(slots=True, kw_only=True)
class Running:
    """One process: its command can be started again after it was killed."""

    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    announces: bool = True
    process: subprocess.Popen[bytes] | None = None
    said: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def start(self) -> dict[str, Any]:
        """Start it; returns what it says of itself on the first line of its output, where it announces something."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.announces else log,
                stderr=log,
                env=os.environ | dict(self.env),
            )
        if self.announces:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            if not line:
                raise TooLate(f"{' '.join(self.command)} ended at once: {self.log.read_text()[-2_000:]}")
            self.said = json.loads(line)
            threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()
        return self.said

    def _listen(self, output: IO[bytes]) -> None:
        """Keep the last of the JSON lines that it says from then on."""
        with contextlib.suppress(ValueError, OSError):  # closed, when the process was ended
            for line in output:
                with contextlib.suppress(json.JSONDecodeError):
                    self.last = json.loads(line)

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def stop(self, *, seconds: float = 20.0) -> None:
        """Ask it to end, and kill it if it does not in time."""
        self._end(signal.SIGTERM, seconds)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is not None:
            self.process.send_signal(number)

    def resident_mb(self) -> float:
        """Resident memory, MB (10^6 bytes)."""
        pages = int(self._proc("statm").split()[1])
        return pages * _PAGE / 1e6

    def cpu_seconds(self) -> float:
        """Processor time it has used, its own and the system's for it."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def _proc(self, name: str) -> str:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    def _end(self, how: signal.Signals, seconds: float = 20.0) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


class Stage:
    """Processes that end with the ``with`` block, and a folder for what they log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, Running] = {}

    def __enter__(self) -> Self:
        return self

    def __getitem__(self, name: str) -> Running:
        return self._running[name]

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for running in reversed(self._running.values()):
            running.stop(seconds=5.0)

    def run(
        self,
        name: str,
        *command: str,
        env: Mapping[str, str] | None = None,
        announces: bool = True,
        namespace: str | None = None,
    ) -> Running:
        """Start ``command`` (a program of this environment), in a network namespace if one is named."""
        full = [str(BIN / command[0]), *command[1:]]
        if namespace is not None:
            full = ["ip", "netns", "exec", namespace, *full]
        running = Running(command=full, log=self.folder / f"{name}.log", env=env or {}, announces=announces)
        self._running[name] = running
        running.start()
        return running


def call(*command: str) -> str:
    """The output of a program of this environment that has to succeed."""
    ran = subprocess.run([str(BIN / command[0]), *command[1:]], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise TooLate(f"{' '.join(command)}: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout
