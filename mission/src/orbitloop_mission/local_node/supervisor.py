"""The process beside each container: starts it, passes signals on, and leaves nothing behind.

Run as a script, with the standard library alone. It reads one launch from its standard input, four bytes of length and
then JSON, writes one line of JSON about the end to its standard output, and obeys its standard input meanwhile: ``t``
is SIGTERM for the container, the end of the input kills all that the container has started. So they end even if
whoever started them is killed.

In a mount namespace of its own the container sees a root that is put together anew: everything that this machine has,
by bind mounts, and the volumes where they are wanted, whether there was a folder of that name or not.
"""

# pathlib takes longer to load than all the rest of this script, which is started with each container
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH115, PTH123, PTH208, PTH211

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
from typing import Any

START_ERROR = 128
"""Exit code of what could not be started, as container runtimes have it."""
_PDEATHSIG, _SUBREAPER = 1, 36
_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_KEPT_FLAGS = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}
"""What statvfs says of a mount, and the flag that keeps it so."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Carry out one launch."""
    launch = json.loads(_exactly(int.from_bytes(_exactly(4), "big")))
    _LIBC.prctl(_SUBREAPER, 1, 0, 0, 0)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    trouble, tell = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become(launch, parent, tell)
    os.close(tell)
    status = _watch(child, woken)
    _end_all()
    said = os.read(trouble, 4096).decode(errors="replace")
    try:
        os.write(1, json.dumps({"status": status, "trouble": said}).encode())
    except BrokenPipeError:
        return 1  # whoever wanted to know is gone
    return 0


def _exactly(count: int) -> bytes:
    read = b""
    while len(read) < count:
        part = os.read(0, count - len(read))
        if not part:
            sys.exit(1)  # whoever wanted it is gone
        read += part
    return read


def _watch(child: int, woken: int) -> int:
    """The wait status of ``child``, once it has ended by itself or was ended."""
    inputs = [0, woken]
    while True:
        ready, _, _ = select.select(inputs, [], [])
        if woken in ready:
            os.read(woken, 4096)
        if 0 in ready:
            word = os.read(0, 1)
            if word == b"t":
                _signal(child, signal.SIGTERM)
            elif not word:
                inputs.remove(0)
                _signal(child, signal.SIGKILL)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if pid == child:
                return status
            if pid == 0:
                break


def _signal(child: int, number: int) -> None:
    """To the container and all of its group; before it has one, to it alone."""
    for send in (os.killpg, os.kill):
        try:
            send(child, number)
        except ProcessLookupError:
            continue
        return


def _end_all() -> None:
    """Kill what the container left: orphans become children of this process."""
    while True:
        for pid in _descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it ended meanwhile
    found: list[int] = []
    border = {root}
    while border:
        border = {pid for pid, parent in parents.items() if parent in border}
        found += border
    return found


def _become(launch: dict[str, Any], parent: int, tell: int) -> None:
    """Turn this process into the container; what goes wrong is written to ``tell``."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(launch["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        if launch["root"]:
            _enter(launch["root"], launch["mounts"])
        os.chdir(launch["folder"])
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _LIBC.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(START_ERROR)
        os.execvpe(launch["argv"][0], launch["argv"], launch["env"])  # noqa: S606  # what the pod says
    except (OSError, ValueError) as error:
        what = getattr(error, "filename", None) or launch["argv"][0]
        os.write(tell, f"{os.fsdecode(what)}: {getattr(error, 'strerror', None) or error}".encode())
    finally:
        os._exit(START_ERROR)


def _enter(root: str, mounts: list[dict[str, Any]]) -> None:
    """Live in a root of its own: this machine's, with ``mounts`` in it."""
    me, group = os.getuid(), os.getgid()
    alone = _NEW_MOUNTS if me == 0 else _NEW_MOUNTS | _NEW_USERS
    _check(_LIBC.unshare(alone), "a mount namespace")
    if me != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{me} {me} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _mount(None, "/", _RECURSIVE | _PRIVATE)
    _mount("tmpfs", root, 0, kind="tmpfs")
    wanted: dict[str, Any] = {}
    for mount in mounts:
        place = wanted
        for part in mount["target"].strip("/").split("/"):
            place = place.setdefault(part, {})
        place[""] = mount
    _fill(root, "/", wanted)
    os.chroot(root)


def _fill(new: str, old: str, wanted: dict[str, Any]) -> None:
    """Make the folder ``new`` what ``old`` is, with what is wanted in it."""
    for entry in os.scandir(old) if os.path.isdir(old) else ():
        if entry.name in wanted:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), f"{new}/{entry.name}")
        else:
            _bind(entry.path, f"{new}/{entry.name}")
    for name, inner in wanted.items():
        target = f"{new}/{name}"
        if "" in inner:
            _put(inner, target)
        else:
            os.mkdir(target)
            _fill(target, os.path.realpath(f"{old}/{name}"), inner)


def _put(wanted: dict[str, Any], target: str) -> None:
    """A volume at ``target``, and those that are wanted inside of it."""
    mount = wanted[""]
    _bind(mount["source"], target)
    for name, inner in wanted.items():
        if name:
            _put_inside(inner, f"{target}/{name}")
    if mount["read_only"]:
        kept = os.statvfs(target).f_flag
        flags = sum(flag for bit, flag in _KEPT_FLAGS.items() if kept & bit)
        _mount(None, target, _BIND | _REMOUNT | _READ_ONLY | flags)


def _put_inside(wanted: dict[str, Any], target: str) -> None:
    if "" in wanted:
        _put(wanted, target)
        return
    os.makedirs(target, exist_ok=True)
    for name, inner in wanted.items():
        _put_inside(inner, f"{target}/{name}")


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    _mount(source, target, _BIND | _RECURSIVE)


def _mount(source: str | None, target: str, flags: int, kind: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _check(_LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), None), target)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    sys.exit(main())
