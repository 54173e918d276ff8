"""Calls between the processes on board: Unix-domain sockets in the satellite's folder, one frame a message.

    4 bytes  length of the head, big-endian
    4 bytes  length of the body
    head     JSON object
    body     raw bytes

A request's head names the ``call``; an answer's holds ``ok``, or an ``error`` of the project's tree that comes back as
itself on the other side. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from orbitloop.domain.errors import (
    BadInput,
    LinkClosed,
    NoSpace,
    NotYet,
    OrbitloopError,
    Refused,
    Untrusted,
    WrongBase,
)

_log = logging.getLogger(__name__)

Head = dict[str, Any]
Answer = Callable[[Head, bytes], Head]
"""Answers one call."""

LARGEST_HEAD = 4 * 2**20
LARGEST_BODY = 64 * 2**20
MOST_CALLERS = 16
_BREATH_S = 0.2
"""Until the next try when nobody can be let in."""

_KINDS: Mapping[str, type[OrbitloopError]] = {
    kind.__name__: kind for kind in (BadInput, Untrusted, WrongBase, Refused, LinkClosed, NoSpace, NotYet)
}


class Hung(Exception):
    """The other side went away in the middle of a frame, or sent no frame at all."""


class CallServer:
    """Answers calls at a socket for as long as the ``with`` block lasts, each caller in a thread of its own.

    Args:
        path: the socket; one that a killed process left is replaced.
        calls: what is answered, by name.
    """

    def __init__(self, path: Path, calls: Mapping[str, Answer]) -> None:
        self._calls = calls
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._callers: set[socket.socket] = set()
        self._closed = threading.Event()
        self._guard = threading.Lock()
        path.unlink(missing_ok=True)
        with _short(path) as name:
            self._listener.bind(name)
        path.chmod(0o600)
        self._listener.listen(MOST_CALLERS)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="calls", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with self._guard:
            ends = (self._listener, *self._callers)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                caller, _ = self._listener.accept()
            except OSError as error:
                if not self._closed.wait(_BREATH_S):  # out of descriptors: for now
                    _log.warning("caller_not_heard", extra={"path": str(self._path), "why": str(error)})
                continue
            with self._guard:
                crowded = len(self._callers) >= MOST_CALLERS
                if not crowded:
                    self._callers.add(caller)
            if crowded:
                _log.warning("caller_turned_away", extra={"path": str(self._path), "most": MOST_CALLERS})
                caller.close()
                continue
            threading.Thread(target=self._serve, args=(caller,), name="call", daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        try:
            while (frame := receive(caller)) is not None:
                send(caller, self._answer(*frame))
        except (OSError, Hung) as error:
            _log.debug("caller_lost", extra={"why": str(error)})
        finally:
            with self._guard:
                self._callers.discard(caller)
            caller.close()

    def _answer(self, head: Head, body: bytes) -> Head:
        try:
            call = self._calls.get(str(head.get("call")))
            if call is None:
                raise BadInput(f"no call {head.get('call')!r} here; there is {', '.join(sorted(self._calls))}")
            return {"ok": call(head, body)}
        except OrbitloopError as error:
            return {"error": _told(error)}
        except Exception as error:  # noqa: BLE001  # the others are still served, and who called is told
            _log.exception("call_failed", extra={"call": str(head.get("call"))})
            return {
                "error": _told(NotYet(f"{head.get('call')!r} failed on the other side: {error!r}; its log has more"))
            }


class Caller:
    """Calls a :class:`CallServer`; connects when it has to. Threads may share one, and then wait for each other.

    Args:
        path: its socket.
        whom: what to call it in messages.
        patience: how long an answer may take.
    """

    def __init__(self, path: Path, whom: str, patience: timedelta) -> None:
        self._path = path
        self._whom = whom
        self._patience = patience
        self._socket: socket.socket | None = None
        self._guard = threading.Lock()

    def call(self, call: str, head: Head | None = None, body: bytes = b"") -> Head:
        """The answer to a call.

        Raises:
            NotYet: nobody answers.
            OrbitloopError: what the other side raised.
        """
        with self._guard:
            try:
                answer = self._ask({**(head or {}), "call": call}, body)
            except (OSError, Hung) as error:
                self._drop()
                raise NotYet(f"{self._whom} does not answer at {self._path} ({error}); it is asked again") from error
        match answer:
            case {"error": dict() as told}:
                raise _raised(told)
            case {"ok": dict() as said}:
                return said
        raise NotYet(
            f"{self._whom} answers {call!r} with neither an ok nor an error; see docs/reference/local-controller.md"
        )

    def close(self) -> None:
        """Hang up."""
        with self._guard:
            self._drop()

    def _ask(self, head: Head, body: bytes) -> Head:
        if self._socket is None:
            self._socket = self._connected()
        send(self._socket, head, body)
        frame = receive(self._socket)
        if frame is None:
            raise Hung("it hung up")
        return frame[0]

    def _connected(self) -> socket.socket:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.settimeout(self._patience.total_seconds())
        try:
            with _short(self._path) as name:
                end.connect(name)
        except BaseException:
            end.close()
            raise
        return end

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def send(end: socket.socket, head: Head, body: bytes = b"") -> None:
    """Send one frame."""
    text = json.dumps(head, allow_nan=False).encode()
    end.sendall(len(text).to_bytes(4, "big") + len(body).to_bytes(4, "big") + text + body)


def receive(end: socket.socket) -> tuple[Head, bytes] | None:
    """The next frame; ``None`` if the other side hung up between two.

    Raises:
        Hung: it hung up within one, or what it sends is no frame.
    """
    lengths = _read(end, 8, may_end=True)
    if not lengths:
        return None
    head, body = int.from_bytes(lengths[:4], "big"), int.from_bytes(lengths[4:], "big")
    if head > LARGEST_HEAD or body > LARGEST_BODY:
        raise Hung(f"a frame of {head} and {body} bytes exceeds {LARGEST_HEAD} and {LARGEST_BODY}")
    try:
        parsed = json.loads(_read(end, head))
    except (ValueError, RecursionError) as error:
        raise Hung(f"a head that is no JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise Hung("a head that is no JSON object")
    return parsed, _read(end, body)


def _read(end: socket.socket, size: int, *, may_end: bool = False) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = end.recv(min(size - len(data), 2**20))
        if not piece:
            if may_end and not data:
                return b""
            raise Hung("it hung up within a frame")
        data += piece
    return bytes(data)


def _told(error: OrbitloopError) -> Head:
    kind = next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _KINDS), "NotYet")
    return {"kind": kind, "message": str(error)}


def _raised(told: Head) -> OrbitloopError:
    return _KINDS.get(str(told.get("kind")), NotYet)(str(told.get("message", "")))


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for ``path`` that fits into the 107 bytes of a socket's address, however deep the folder is."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
