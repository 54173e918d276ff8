"""Which address this machine is reached at."""

from orbitloop.worker.network import get_host_ip

__all__ = ["get_host_ip"]
