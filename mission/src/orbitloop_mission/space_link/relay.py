"""All connections and the contact plan, inside one event loop."""

from __future__ import annotations

import asyncio
import socket

from orbitloop.domain.contacts import ContactWindow, window_at
from orbitloop.domain.units import Bytes
from orbitloop.ports.clock import Clock
from orbitloop_mission.space_link.channel import Channel
from orbitloop_mission.space_link.connection import Connection, reset
from orbitloop_mission.space_link.profile import Direction, LinkProfile, Traffic

# How long an idle connection may outlive its pass; one that carries bytes notices by itself.
_WATCH_S = 0.02


class Relay:
    """Accepts connections while a pass is on, and loses them when it ends.

    Everything but :meth:`traffic` is called in the event loop that runs :meth:`serve`, or before it runs.

    Args:
        target: host and port of the ground gateway (IPv4).
        clock: mission time; it may jump.
        plan: contact windows, in any order.
        profile: rates and delay.
    """

    def __init__(
        self, target: tuple[str, int], clock: Clock, plan: tuple[ContactWindow, ...], profile: LinkProfile
    ) -> None:
        self._target = target
        self._clock = clock
        self._plan = plan
        self._down = Channel(Direction.DOWN, profile, clock, self._lose_all)
        self._up = Channel(Direction.UP, profile, clock, self._lose_all)
        self._connections: set[Connection] = set()
        self._accepted = 0
        self._cuts = 0

    async def serve(self, listener: socket.socket) -> None:
        """Accept and relay until cancelled; then every open connection is reset."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            while True:
                satellite, _ = await loop.sock_accept(listener)
                window = window_at(self._plan, self._clock.now())
                if window is None:
                    reset(satellite)
                else:
                    tasks.create_task(self._relay(Connection(satellite, window, self._clock)))

    def use_plan(self, plan: tuple[ContactWindow, ...]) -> None:
        """Replace the plan. Connections whose pass, by the new plan, is not on now are lost at once."""
        self._plan = plan
        now = self._clock.now()
        for connection in tuple(self._connections):
            same_pass = (window for window in plan if window.holds(now) and window.holds(connection.opened))
            window = next(same_pass, None)
            if window is None:
                connection.lose()
            else:
                connection.window = window

    def cut_after(self, down: Bytes | None, up: Bytes | None) -> None:
        """Lose every connection once so many more bytes have been delivered; ``None``: no fault in that direction."""
        self._down.fault_after(down)
        self._up.fault_after(up)

    def traffic(self) -> Traffic:
        """What has crossed so far. May be called from any thread."""
        return Traffic(down=self._down.carried, up=self._up.carried, connections=self._accepted, cuts=self._cuts)

    async def _relay(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._accepted += 1
        try:
            await connection.run(self._target, self._down, self._up)
        finally:
            self._connections.discard(connection)
            self._cuts += connection.lost

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            now = self._clock.now()
            for connection in tuple(self._connections):
                if not connection.window.holds(now):
                    connection.lose()

    def _lose_all(self) -> None:
        for connection in tuple(self._connections):
            connection.lose()
