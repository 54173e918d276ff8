"""Containers as processes, each with its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from orbitloop_mission.local_node import supervisor
from orbitloop_mission.local_node.environment import Incomplete


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A folder or file of this machine, and where the container sees it."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is started.

    Args:
        argv: program and arguments; the program is looked for in ``PATH`` of ``env``.
        env: all of its environment.
        folder: that it starts in, as it sees it.
        log: file that its output is added to.
        root: an empty folder that its own root is mounted on; empty: it sees this machine as it is.
        mounts: what it sees in its own root besides this machine.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    folder: str
    log: str
    root: str = ""
    mounts: Sequence[Bound] = ()

    def packed(self) -> bytes:
        """As a supervisor reads it."""
        body = json.dumps(asdict(self) | {"env": dict(self.env)}).encode()
        return len(body).to_bytes(4, "big") + body


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a container ended.

    Args:
        code: what it exited with, or 128 and the number of the signal that ended it.
        signal: that ended it; 0: none.
        trouble: why it could not be started; empty: it was.
    """

    code: int
    signal: int = 0
    trouble: str = ""


class Process:
    """A container that runs; started by :meth:`start`.

    Args:
        supervisor: has been given its launch.
    """

    def __init__(self, supervisor: subprocess.Popen[bytes]) -> None:
        self._supervisor = supervisor
        self._said = b""
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Outcome] = self._loop.create_future()
        self._loop.add_reader(self._output().fileno(), self._listen)

    @classmethod
    def start(cls, launch: Launch) -> Self:
        """Start a container. Its supervisor kills it, and all that it started, when this process ends."""
        process = subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, "-I", "-S", supervisor.__file__],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={},
        )
        assert process.stdin is not None
        process.stdin.write(launch.packed())
        return cls(process)

    async def wait(self) -> Outcome:
        """How it ended."""
        return await asyncio.shield(self._ended)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, and if it has not ended ``grace_s`` seconds later, SIGKILL for it and all that it started."""
        stdin = self._supervisor.stdin
        assert stdin is not None
        if not self._ended.done():
            with contextlib.suppress(BrokenPipeError):  # it ends by itself just now
                stdin.write(b"t")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self.wait()
        stdin.close()
        await self.wait()

    def _listen(self) -> None:
        """Take what the supervisor says; its last word is how the container ended."""
        part = self._output().read(4096)
        self._said += part
        if part:
            return
        self._loop.remove_reader(self._output().fileno())
        self._output().close()
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        self._supervisor.wait()
        self._ended.set_result(_outcome(self._said))

    def _output(self) -> IO[bytes]:
        assert self._supervisor.stdout is not None
        return self._supervisor.stdout


def _outcome(said: bytes) -> Outcome:
    if not said:
        return Outcome(code=137, signal=9)
    told = json.loads(said)
    if told["trouble"]:
        return Outcome(code=supervisor.START_ERROR, trouble=told["trouble"])
    code = os.waitstatus_to_exitcode(told["status"])
    return Outcome(code=code) if code >= 0 else Outcome(code=128 - code, signal=-code)


async def may_mount() -> bool:
    """Whether containers may have a root of their own here; tried with one that does nothing."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "root"
        root.mkdir()
        bound = Bound(source=place, target="/nowhere-else/volume")
        argv = ["test", "-d", "/nowhere-else/volume/root"]
        env = {"PATH": os.defpath}
        launch = Launch(argv=argv, env=env, folder="/", log=os.devnull, root=str(root), mounts=(bound,))
        return (await Process.start(launch).wait()).code == 0


def translated(launch: Launch, mounts: Sequence[Bound]) -> Launch:
    """A launch without a root of its own: where a volume would be, its place on this machine is said instead.

    Paths are replaced in the environment and the arguments, where they stand at the beginning or after one of
    ``; , : =`` or a space; not in what the program itself has written down.

    Raises:
        Incomplete: it starts in a folder that this machine does not have.
    """
    places = sorted(mounts, key=lambda one: len(one.target), reverse=True)
    folder = _moved(launch.folder, places)
    if not Path(folder).is_dir():
        raise Incomplete(
            f"workingDir {launch.folder} is no folder of this machine; give the image a folder with --image"
        )
    return Launch(
        argv=[_moved(word, places) for word in launch.argv],
        env={name: _moved(value, places) for name, value in launch.env.items()},
        folder=folder,
        log=launch.log,
    )


def _moved(text: str, places: Sequence[Bound]) -> str:
    """``text`` with the longest volume path at the head of each part replaced."""
    moved, start = "", 0
    for index in range(len(text) + 1):
        if index == len(text) or text[index] in ";,:= ":
            moved += _moved_path(text[start:index], places) + text[index : index + 1]
            start = index + 1
    return moved


def _moved_path(path: str, places: Sequence[Bound]) -> str:
    for place in places:
        target = place.target.rstrip("/")
        if path == target or path.startswith(f"{target}/"):
            return place.source + path.removeprefix(target)
    return path
