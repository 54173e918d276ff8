"""Which address this machine is reached at."""

from __future__ import annotations

import socket

_ELSEWHERE = ("192.0.2.1", 9)
"""An address for documentation, RFC 5737; connecting a datagram socket to it sends nothing."""


def get_host_ip() -> str:
    """The IPv4 address that packets to other machines leave from; ``127.0.0.1`` on a machine without a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
