"""All connections, datagrams and the contact plan, inside one event loop."""

from __future__ import annotations

import asyncio
import socket
import time

from orbitloop.domain.contacts import ContactWindow, window_at
from orbitloop.domain.traffic import Direction
from orbitloop.domain.units import Bytes
from orbitloop.ports.clock import Clock
from orbitloop_mission.space_link.channel import Channel
from orbitloop_mission.space_link.connection import Connection, reset
from orbitloop_mission.space_link.datagrams import DatagramRelay
from orbitloop_mission.space_link.profile import LinkProfile
from orbitloop_mission.space_link.traffic import Traffic

# How long an idle connection may outlive its pass; one that carries bytes notices by itself.
_WATCH_S = 0.02


class Relay:
    """Accepts connections while a pass is on, and loses them when it ends.

    Everything but :meth:`traffic` is called in the event loop that runs :meth:`serve`, or before it runs.

    Args:
        target: host and port of the ground gateway (IPv4).
        clock: mission time; it may jump.
        plan: contact windows, in any order.
        profile: what the link is like.
        seed: of everything random.
    """

    def __init__(
        self,
        target: tuple[str, int],
        clock: Clock,
        plan: tuple[ContactWindow, ...],
        *,
        profile: LinkProfile,
        seed: int,
    ) -> None:
        self._target = target
        self._clock = clock
        self._plan = plan
        self._down = Channel(Direction.DOWN, profile, clock, seed=seed, on_fault=self.lose_signal)
        self._up = Channel(Direction.UP, profile, clock, seed=seed, on_fault=self.lose_signal)
        self._datagrams = DatagramRelay(self._down, self._up)
        # The window that was open when last looked.
        self._open: ContactWindow | None = None
        self._connections: set[Connection] = set()
        self._accepted = 0
        self._cuts = 0

    async def serve(self, listener: socket.socket, datagrams: tuple[socket.socket, tuple[str, int]] | None) -> None:
        """Accept and relay until cancelled; then every open connection is reset.

        Args:
            listener: where satellites connect.
            datagrams: where they send datagrams, and the ground's address for them.
        """
        loop = asyncio.get_running_loop()
        try:
            if datagrams is not None:
                self._datagrams.serve(*datagrams, hears=self._hears)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
                while True:
                    satellite, _ = await loop.sock_accept(listener)
                    window = self._window()
                    if window is None:
                        reset(satellite)
                    else:
                        tasks.create_task(self._relay(Connection(satellite, window, self._clock)))
        finally:
            self._datagrams.close()

    def use_plan(self, plan: tuple[ContactWindow, ...]) -> None:
        """Replace the plan. Connections whose pass, by the new plan, is not on now are lost at once."""
        self._plan = plan
        now = self._clock.now()
        if self._open is not None:
            self._open = next((window for window in plan if window.holds(now) and window.holds(self._open.aos)), None)
            if self._open is None:
                self._silence()
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

    def lose_signal(self) -> None:
        """Lose the signal for an instant: every connection is reset, and no datagram in flight arrives."""
        self._silence()
        for connection in tuple(self._connections):
            connection.lose()

    def traffic(self) -> Traffic:
        """What has crossed so far. May be called from any thread."""
        return Traffic(
            down=self._down.carried,
            up=self._up.carried,
            connections=self._accepted,
            cuts=self._cuts,
            downward=self._datagrams.down.crossings(),
            upward=self._datagrams.up.crossings(),
            offered=self._down.radio.gate.offered(time.monotonic_ns()),
        )

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
            self._window()
            now = self._clock.now()
            for connection in tuple(self._connections):
                if not connection.window.holds(now):
                    connection.lose()

    def _hears(self) -> bool:
        return self._window() is not None

    def _window(self) -> ContactWindow | None:
        """The window that is open now. When one has ended, what was in flight is gone; each begins with a new pass."""
        now = self._clock.now()
        if self._open is not None and not self._open.holds(now):
            self._open = None
            self._silence()
        if self._open is None:
            self._open = window_at(self._plan, now)
            if self._open is not None:
                for channel in (self._down, self._up):
                    channel.radio.gate.restart(time.monotonic_ns())
        return self._open

    def _silence(self) -> None:
        now = time.monotonic_ns()
        for channel in (self._down, self._up):
            channel.radio.clear(now)
        self._datagrams.clear()
