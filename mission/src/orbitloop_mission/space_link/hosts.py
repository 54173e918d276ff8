"""Two hosts on one machine whose only way to each other is the emulator: network namespaces with a TUN device each.

What crosses are whole IP packets, so that the kernel's own TCP, with its congestion control, its acknowledgements and
its time-outs, meets the link as it is. Needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from pyroute2 import IPRoute, NetNS, netns
from pyroute2.netlink.exceptions import NetlinkError

from orbitloop.domain.errors import BadInput

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_DEVICE = "space"
_POINT_TO_POINT = 32

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One side of the link.

    Args:
        namespace: name of its network namespace: ``ip netns exec NAME command`` runs there.
        address: its IPv4 address on the link.
        packets: descriptor of its TUN device, not blocking: a read gives a packet that it sent, a write delivers one.
    """

    namespace: str
    address: str
    packets: int


@contextmanager
def two_hosts(*, prefix: str = "orbitloop", network: str = "10.77.0", mtu: int = 1_500) -> Iterator[tuple[Host, Host]]:
    """The satellite's host and the ground's, for as long as the ``with`` block lasts.

    What an earlier run that was killed left behind under the same names is replaced.

    Args:
        prefix: begins the names of both namespaces.
        network: first three numbers of the link's IPv4 addresses.
        mtu: largest packet, bytes.

    Raises:
        BadInput: the process may not make network namespaces or TUN devices.
    """
    sides = (
        (f"{prefix}-satellite", f"{network}.1", f"{network}.2"),
        (f"{prefix}-ground", f"{network}.2", f"{network}.1"),
    )
    with contextlib.ExitStack() as stack:
        hosts = []
        for name, own, other in sides:
            try:
                _make_namespace(name)
                stack.callback(netns.remove, name)
                packets = _inside(name, _open_tun)
                stack.callback(os.close, packets)
                _address(name, own, other, mtu)
            except (PermissionError, NetlinkError, FileNotFoundError) as error:
                raise BadInput(
                    f"cannot make the network namespace {name} and its TUN device ({error}); this mode needs root, "
                    "CAP_NET_ADMIN and /dev/net/tun"
                ) from error
            hosts.append(Host(namespace=name, address=own, packets=packets))
        yield hosts[0], hosts[1]


def _make_namespace(name: str) -> None:
    if name in netns.listnetns():
        netns.remove(name)
    netns.create(name)


def _open_tun() -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _inside(name: str, act: Callable[[], Result]) -> Result:
    """Run ``act`` in a namespace: in a thread of its own, since a thread that has moved there stays there."""

    def moved() -> Result:
        netns.setns(name)
        return act()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"in-{name}") as thread:
        return thread.submit(moved).result()


def _address(name: str, own: str, other: str, mtu: int) -> None:
    with NetNS(name) as host:
        _up(host, "lo")
        index = host.link_lookup(ifname=_DEVICE)[0]
        host.addr("add", index=index, local=own, address=other, prefixlen=_POINT_TO_POINT)
        host.link("set", index=index, mtu=mtu, state="up")


def _up(host: IPRoute, device: str) -> None:
    host.link("set", index=host.link_lookup(ifname=device)[0], state="up")
