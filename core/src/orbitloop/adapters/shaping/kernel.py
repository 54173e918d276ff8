"""Shaping by the kernel: an htb qdisc at an interface's root, with a class and a filter for each peer."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import IPv4Address
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.units import BitsPerSecond, Bytes, capacity
from orbitloop.ports.shaper import Peer, ShaperKind

log = logging.getLogger(__name__)

_ROOT = 0x6F1 << 16
"""Handle of our qdisc: on an interface that nobody else shapes, this says that it is ours."""
_AT_ROOT = 0xFFFF_FFFF
_MOST_PEERS = 0xFFF
_BURST = timedelta(milliseconds=10)
_ONE_PACKET = 1_600
_IPV4 = 0x0800
# Filters are asked by priority, and taken away by it: each has its own, a peer's port before a whole peer.
_WHOLE_PEERS = 0x4000
_DELAY_LEAVES = 0x7000


class KernelShaper:
    """The ``Shaper`` port by htb. What goes to no limited peer is not held.

    Use it in a ``with`` statement. It sets its qdisc up when entered and takes it away in the end. One that was killed
    leaves its qdisc behind; the next clears it. An interface that anything else shapes is refused and left alone.

    Args:
        interface: name of the network interface, in the network namespace of the thread that enters.
        delay: by which what goes to limited peers is late, where the kernel has netem; :attr:`delay` says which it is.
    """

    def __init__(self, interface: str, *, delay: timedelta = timedelta(0)) -> None:
        self.delay = delay
        self._interface = interface
        self._stack = contextlib.ExitStack()
        self._worker: ThreadPoolExecutor | None = None
        self._netlink: Any = None
        self._index = 0
        self._classes: dict[Peer, int] = {}

    @property
    def kind(self) -> ShaperKind:
        """Who holds the rate."""
        return ShaperKind.KERNEL

    def check(self) -> None:
        """Set up and take away.

        Raises:
            Refused: there is no such interface, something else shapes it, or the kernel forbids it or has no htb.
        """
        with self:
            pass

    def __enter__(self) -> Self:
        """Set up. Raises as :meth:`check`."""
        with contextlib.ExitStack() as stack:
            # pyroute2 opens a socket for each thread that asks it: one thread asks, in the namespace of this one.
            worker = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="shaper"))
            worker.submit(self._set_up).result()
            self._worker = worker
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the qdisc away, and every limit with it."""
        if self._worker is None:
            return
        with self._worker as worker:
            self._worker = None
            worker.submit(self._take_away).result()

    def limit(self, peer: Peer, rate: BitsPerSecond) -> None:
        """See the port. Raises ``Refused`` if the kernel forbids it or there are 4,095 limited peers already."""
        if rate <= 0:
            raise BadInput(f"{peer.address}: a rate of {rate} bit/s carries nothing; give one over 0")
        self._ask(lambda: self._limit(peer, rate))

    def lift(self, peer: Peer) -> None:
        """See the port."""
        self._ask(lambda: self._lift(peer))

    def pace(self, peer: Peer, size: Bytes) -> timedelta:  # noqa: ARG002 - the port's signature
        """See the port: the kernel waits."""
        return timedelta(0)

    def _ask(self, act: Callable[[], None]) -> None:
        if self._worker is None:
            raise BadInput(f"the shaper of {self._interface} is not set up; use it in a with statement")
        self._worker.submit(act).result()

    def _set_up(self) -> None:
        with contextlib.ExitStack() as stack:
            # The name frees itself however the process ends: who holds it is the only one that shapes here.
            lock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            self._netlink = stack.enter_context(IPRoute())
            self._index = self._find()
            try:
                lock.bind(f"\0orbitloop-shaper-{self._index}")
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise Refused(f"{self._interface}: another orbitloop process shapes it; stop that one first") from error
            self._clear_own()
            with self._translated("add an htb qdisc"):
                self._netlink.tc("add", "htb", self._index, _ROOT, parent=_AT_ROOT, default=0)
            stack.callback(self._clear_own)
            self._stack = stack.pop_all()

    def _take_away(self) -> None:
        self._classes.clear()
        self._stack.close()

    def _limit(self, peer: Peer, rate: BitsPerSecond) -> None:
        minor = self._classes.get(peer)
        with self._translated(f"limit {peer.address}"):
            if minor is not None:
                self._netlink.tc("change-class", "htb", self._index, _ROOT | minor, **_rate(rate))
            else:
                self._add(peer, self._free_minor(), rate)

    def _lift(self, peer: Peer) -> None:
        minor = self._classes.pop(peer, None)
        if minor is not None:
            with self._translated(f"lift {peer.address}"):
                self._remove(peer, minor)

    def _add(self, peer: Peer, minor: int, rate: BitsPerSecond) -> None:
        self._netlink.tc("add-class", "htb", self._index, _ROOT | minor, parent=_ROOT, **_rate(rate))
        if self.delay:
            self._add_delay(minor)
        self._netlink.tc(
            "add-filter",
            "u32",
            self._index,
            parent=_ROOT,
            prio=_priority(peer, minor),
            protocol=_IPV4,
            target=_ROOT | minor,
            keys=_keys(peer),
        )
        self._classes[peer] = minor

    def _add_delay(self, minor: int) -> None:
        late = self.delay // timedelta(microseconds=1)
        leaf = (_DELAY_LEAVES + minor) << 16
        try:
            self._netlink.tc("add", "netem", self._index, leaf, parent=_ROOT | minor, delay=late)
        except NetlinkError as error:
            if error.code != errno.ENOENT:
                raise
            self.delay = timedelta(0)
            log.warning("the kernel has no netem: no delay", extra={"interface": self._interface})

    def _remove(self, peer: Peer, minor: int) -> None:
        number = _ROOT | minor
        self._netlink.tc(
            "del-filter",
            "u32",
            self._index,
            parent=_ROOT,
            prio=_priority(peer, minor),
            protocol=_IPV4,
            target=number,
        )
        self._netlink.tc("del-class", index=self._index, handle=number)

    def _free_minor(self) -> int:
        taken = set(self._classes.values())
        minor = next((number for number in range(1, _MOST_PEERS + 1) if number not in taken), None)
        if minor is None:
            raise Refused(f"{self._interface}: {_MOST_PEERS} peers are limited already; lift some first")
        return minor

    def _find(self) -> int:
        found = self._netlink.link_lookup(ifname=self._interface)
        if not found:
            raise BadInput(f"there is no network interface {self._interface!r}; `ip link` lists what there is")
        return int(found[0])

    def _clear_own(self) -> None:
        """Take away the root qdisc if it is ours, whichever process made it. Raises ``Refused`` if it is another's."""
        for qdisc in self._netlink.get_qdiscs(index=self._index):
            if qdisc["parent"] != _AT_ROOT:
                continue
            kind, handle = qdisc.get_attr("TCA_KIND"), qdisc["handle"]
            if (kind, handle) == ("htb", _ROOT):
                with self._translated("take the htb qdisc away"):
                    self._netlink.tc("del", "htb", self._index, _ROOT, parent=_AT_ROOT)
            elif handle:  # the kernel's own defaults have none
                raise Refused(
                    f"{self._interface} is shaped by something else already (qdisc {kind} {handle >> 16:x}:); "
                    f"remove that (`tc qdisc del dev {self._interface} root`) or let the process pace itself"
                )

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except NetlinkError as error:
            if error.code in (errno.EPERM, errno.EACCES):
                why = "the process may not (it needs CAP_NET_ADMIN)"
            elif error.code in (errno.ENOENT, errno.EOPNOTSUPP):
                why = "the kernel lacks htb or u32"
            else:
                why = str(error)
            raise Refused(f"cannot {what} on {self._interface}: {why}; let the process pace itself instead") from error


def interface_towards(address: str) -> str:
    """The name of the interface by which packets leave for an IPv4 address, as the routing table has it now.

    Raises:
        Refused: there is no route.
    """
    try:
        with IPRoute() as netlink:
            route = next(iter(netlink.route("get", dst=address)))
            found = next(iter(netlink.get_links(route.get_attr("RTA_OIF"))))
            return str(found.get_attr("IFLA_IFNAME"))
    except NetlinkError as error:
        raise Refused(f"no interface leads to {address} ({error}); check the routes") from error


def _rate(rate: BitsPerSecond) -> dict[str, int]:
    """As pyroute2 takes it: bytes per second, and bytes of burst."""
    burst = max(_ONE_PACKET, capacity(_BURST, rate))
    a_second = max(1, rate // 8)
    return {"rate": a_second, "ceil": a_second, "burst": burst, "cburst": burst, "quantum": _ONE_PACKET}


def _priority(peer: Peer, minor: int) -> int:
    return minor if peer.port is not None else _WHOLE_PEERS + minor


def _keys(peer: Peer) -> list[str]:
    """u32 matches on the IPv4 header: destination address at byte 16, and the port behind a header without options."""
    keys = [f"{int(IPv4Address(peer.address)):#010x}/0xffffffff+16"]
    if peer.port is not None:
        keys.append(f"{peer.port:#06x}/0xffff+22")
    return keys
