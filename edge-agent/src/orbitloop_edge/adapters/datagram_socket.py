"""A UDP socket as a satellite uses it: what cannot be sent is lost, as in a fade."""

from __future__ import annotations

import select
import socket

from orbitloop.domain.errors import LinkClosed
from orbitloop.wire.datagrams import LARGEST

_AT_ONCE = 128
_BUFFER = 8 * 2**20
_ROOM_S = 0.1


def connected(address: tuple[str, int]) -> socket.socket:
    """A socket to the ground. Raises ``LinkClosed`` if its name cannot be found now."""
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise LinkClosed(f"the ground at {address[0]} port {address[1]} cannot be found: {error.strerror}") from error
    made = socket.socket(found[0], socket.SOCK_DGRAM)
    made.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
    made.connect(found[4])
    return made


def send(outlet: socket.socket, datagram: bytes) -> None:
    """Send, or wait a moment for room; what cannot be sent is lost like any datagram."""
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
