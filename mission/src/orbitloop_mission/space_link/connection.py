"""One relayed connection, from the satellite's call to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from datetime import datetime

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.errors import LinkClosed
from orbitloop.domain.units import Bytes
from orbitloop.ports.clock import Clock
from orbitloop_mission.space_link.channel import Channel
from orbitloop_mission.space_link.delay_line import DelayLine

log = logging.getLogger(__name__)

# Bounds what the kernel holds on either side of the emulator, where bytes are neither here nor there.
_KERNEL_BUFFER = 256 * 1024
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Connection:
    """A satellite's connection and its counterpart to the ground.

    Bytes cross only while :attr:`window` is open. An end of stream is passed on after the bytes before it; whatever
    else ends one side resets the other.

    Args:
        satellite: the accepted socket, not blocking; owned from here on.
        window: the pass in which it was accepted.
        clock: mission time.
    """

    def __init__(self, satellite: socket.socket, window: ContactWindow, clock: Clock) -> None:
        self.window = window
        self.opened: datetime = clock.now()
        self.lost = False
        self._clock = clock
        self._satellite = satellite
        self._ground = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._task: asyncio.Task[None] | None = None

    async def run(self, target: tuple[str, int], down: Channel, up: Channel) -> None:
        """Carry bytes until both sides have ended their streams, or one of them or the signal is gone."""
        self._task = asyncio.current_task()
        ended = False
        try:
            if not self.lost and await self._reach(target):
                await self._carry(down, up)
                ended = True
        except* (OSError, LinkClosed) as reasons:
            log.debug("connection ended early", extra={"reasons": [str(each) for each in reasons.exceptions]})
        finally:
            for side in (self._satellite, self._ground):
                side.close() if ended else reset(side)

    def lose(self) -> None:
        """The signal is lost: not a byte more, and both sides are reset."""
        self.lost = True
        if self._task is not None:
            self._task.cancel()

    async def _reach(self, target: tuple[str, int]) -> bool:
        for side in (self._satellite, self._ground):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
            side.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
        try:
            await asyncio.get_running_loop().sock_connect(self._ground, target)
        except OSError as error:
            log.warning("ground out of reach", extra={"host": target[0], "port": target[1], "reason": str(error)})
            return False
        return True

    async def _carry(self, down: Channel, up: Channel) -> None:
        async with asyncio.TaskGroup() as tasks:
            for channel, source, sink in (
                (down, self._satellite, self._ground),
                (up, self._ground, self._satellite),
            ):
                line = DelayLine()
                tasks.create_task(_transmit(source, channel, line))
                tasks.create_task(self._receive(line, channel, sink))

    async def _receive(self, line: DelayLine, channel: Channel, sink: socket.socket) -> None:
        while chunk := await line.get():
            if self.lost or not self.window.holds(self._clock.now()):
                self.lost = True
                raise LinkClosed(f"the signal of {self.window.station} was lost; go on in the next contact window")
            await channel.deliver(chunk, sink)
        sink.shutdown(socket.SHUT_WR)


async def _transmit(source: socket.socket, channel: Channel, line: DelayLine) -> None:
    """Read, send and let fly, until the end of the stream; that flies too, as an empty chunk."""
    loop = asyncio.get_running_loop()
    while True:
        chunk = await loop.sock_recv(source, channel.chunk)
        due = await channel.transmit(Bytes(len(chunk)))
        await line.put(chunk, due=due, limit=channel.in_flight_limit())
        if not chunk:
            return


def reset(side: socket.socket) -> None:
    """Close at once, without sending what is buffered: the peer sees a reset (RST), as if the line were cut."""
    with contextlib.suppress(OSError):  # a socket whose peer is gone may refuse options; it is closed all the same
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    side.close()
