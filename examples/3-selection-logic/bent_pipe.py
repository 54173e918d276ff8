"""A satellite that does not look: while it is heard it sends its frames as they were captured, one after the other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

_PAUSE_S = 0.05


class BentPipe:
    """Sends bytes to a listening socket of its own, through whatever link is put in between.

    Args:
        frames: in order of capture.
    """

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._data = b"".join(frames)
        self._ground = socket.create_server(("127.0.0.1", 0))
        self._ground.settimeout(_PAUSE_S)
        self._over = threading.Event()
        self._received = 0
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """Where the ground listens."""
        return int(self._ground.getsockname()[1])

    def begin(self, link: int) -> None:
        """Call the link on port ``link`` again and again, and send where it was cut as long as it is heard."""
        self._threads = [
            threading.Thread(target=self._receive, daemon=True),
            threading.Thread(target=self._send, args=(link,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> int:
        """Nobody is heard any more; returns the bytes that arrived."""
        self._over.set()
        for thread in self._threads:
            thread.join(5)
        self._ground.close()
        return self._received

    def _send(self, link: int) -> None:
        while not self._over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", link)) as signal:
                    signal.sendall(memoryview(self._data)[self._received :])
                    signal.recv(1)  # the ground says nothing: this ends when the signal is lost
            except OSError:
                pass
            self._over.wait(_PAUSE_S)

    def _receive(self) -> None:
        while not self._over.is_set():
            try:
                heard, _ = self._ground.accept()
                with heard:
                    while piece := heard.recv(2**16):
                        self._received += len(piece)
            except OSError:  # nobody calls, or the signal was lost
                continue
