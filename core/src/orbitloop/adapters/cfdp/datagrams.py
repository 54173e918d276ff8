"""Datagrams: where PDUs come in and go out."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Protocol

from orbitloop.domain.errors import BadInput

Address = tuple[str, int]

_LARGEST = 65_535
_BUFFER = 4 * 2**20


class Datagrams(Protocol):
    """An endpoint that loses, repeats and reorders what it carries."""

    @property
    def address(self) -> Address:
        """Where it listens."""
        ...

    def receive(self, most: int) -> Iterator[bytes]:
        """Up to ``most`` datagrams that are here."""
        ...

    def send(self, data: bytes, to: Address) -> bool:
        """Send; False if there is no room just now. Raises ``OSError`` if it cannot be sent at all."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait until a datagram is here, or so long."""
        ...

    def close(self) -> None:
        """Stop listening; idempotent."""
        ...


class UdpDatagrams:
    """Datagrams over UDP and IPv4.

    Args:
        host: address to listen on.
        port: 0 takes a free one.

    Raises:
        BadInput: there is nothing to listen on at that address.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.setblocking(False)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise BadInput(f"cannot listen on UDP {host}:{port}: {error.strerror or error}; choose another") from error
        self._address: Address = self._socket.getsockname()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._address

    def receive(self, most: int) -> Iterator[bytes]:
        """Up to ``most`` datagrams that are here."""
        for _ in range(most):
            try:
                yield self._socket.recv(_LARGEST)
            except ConnectionRefusedError:
                continue  # what was sent before met a closed port; the peer may open it later
            except BlockingIOError:
                return

    def send(self, data: bytes, to: Address) -> bool:
        """Send; False if the system's buffer is full. Raises ``OSError`` if there is no way to that address."""
        try:
            self._socket.sendto(data, to)
        except BlockingIOError:
            return False
        except ConnectionRefusedError:
            return True  # told about an earlier datagram; this one may be lost like any other
        return True

    def wait(self, seconds: float) -> None:
        """Wait until a datagram is here, or so long."""
        select.select([self._socket], [], [], seconds)

    def close(self) -> None:
        """Stop listening; idempotent."""
        self._socket.close()
