"""A UDP socket as a satellite uses it: what cannot be sent is lost, as in a fade."""

from __future__ import annotations

import select
import socket

from orbitloop.domain.errors import LinkClosed
from orbitloop.wire.datagrams import LARGEST

_AT_ONCE = 128
_BUFFER = 8 * 2**20
_ROOM_S = 0.1


class Way:
    """Sockets to all addresses of the ground, until one of them has answered.

    A name may stand for some that never do, such as one of IPv6 where the ground takes datagrams by IPv4 alone.

    Args:
        address: host and UDP port.

    Raises:
        LinkClosed: the name cannot be found now, or there is no route.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.sockets = _connected(address)
        self._turn = -1

    def turn(self) -> None:
        """What is sent from now on goes to the next address."""
        self._turn = (self._turn + 1) % len(self.sockets)

    def settle(self, answered: socket.socket) -> None:
        """Everything goes by this one from now on."""
        for other in self.sockets:
            if other is not answered:
                other.close()
        self.sockets, self._turn = [answered], 0

    def send(self, datagram: bytes) -> None:
        """Send, or wait a moment for room; what cannot be sent is lost like any datagram."""
        _send(self.sockets[self._turn], datagram)

    def close(self) -> None:
        """Close all of them."""
        for each in self.sockets:
            each.close()


def _connected(address: tuple[str, int]) -> list[socket.socket]:
    place = f"the ground at {address[0]} port {address[1]}"
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise LinkClosed(f"{place} cannot be found: {error.strerror}") from error
    made: list[socket.socket] = []
    why = ""
    for family, _, _, _, where in found:
        one = socket.socket(family, socket.SOCK_DGRAM)
        one.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            one.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        try:
            one.connect(where)
        except OSError as error:
            one.close()
            why = error.strerror or str(error)
        else:
            made.append(one)
    if not made:
        raise LinkClosed(f"{place} cannot be reached: {why}")
    return made


def _send(outlet: socket.socket, datagram: bytes) -> None:
    try:
        outlet.send(datagram)
    except BlockingIOError:
        select.select([], [outlet], [], _ROOM_S)
    except OSError:
        return  # no route, or nobody listens there now: silence, as after a loss of signal


def received(inlet: socket.socket) -> list[bytes]:
    """What has arrived, some at a time."""
    came: list[bytes] = []
    while len(came) < _AT_ONCE:
        try:
            came.append(inlet.recv(LARGEST + 1))
        except BlockingIOError:
            break
        except OSError:
            continue  # an ICMP answer to what was sent before
    return came


def drain(inlet: socket.socket) -> None:
    """Forget how often the thread was woken."""
    inlet.recv(4_096)
