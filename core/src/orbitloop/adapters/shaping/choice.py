"""The kernel's queues where they can be had, the process's own elsewhere."""

from __future__ import annotations

import logging
from datetime import timedelta

from orbitloop.adapters.shaping.user import BURST, UserShaper
from orbitloop.domain.errors import Refused
from orbitloop.ports.shaper import Shaper, ShaperKind

log = logging.getLogger(__name__)


def choose_shaper(
    interface: str | None = None, *, wanted: ShaperKind | None = None, burst: timedelta = BURST
) -> Shaper:
    """A shaper for what leaves by ``interface``; enter it with ``with``. Which one it is, is logged.

    Args:
        interface: name of the network interface; without one, only the process itself can shape.
        wanted: one kind and no other.
        burst: of the process's own shaper; see :class:`UserShaper`.

    Raises:
        Refused: the kernel's queues are ``wanted`` and cannot be had; the message says why.
    """
    if wanted is ShaperKind.USER:
        return _told(UserShaper(burst=burst), interface, "asked for")
    try:
        return _told(_kernel_shaper(interface), interface, "permitted")
    except Refused as error:
        if wanted is ShaperKind.KERNEL:
            raise
        return _told(UserShaper(burst=burst), interface, str(error))


def _kernel_shaper(interface: str | None) -> Shaper:
    if interface is None:
        raise Refused("the kernel shapes interfaces and none was named; name the one that leads to the peers")
    try:
        from orbitloop.adapters.shaping.kernel import KernelShaper
    except ModuleNotFoundError as error:
        if error.name != "pyroute2":
            raise
        raise Refused("pyroute2 is not installed; pip install 'orbitloop[shaping]' for the kernel's queues") from error
    shaper = KernelShaper(interface)
    shaper.check()
    return shaper


def _told(shaper: Shaper, interface: str | None, reason: str) -> Shaper:
    log.info("shaping", extra={"kind": shaper.kind.value, "interface": interface, "reason": reason})
    return shaper
