"""The space link: kernel queues on the nodes' interfaces, and nothing at all out of contact."""

from __future__ import annotations

from collections.abc import Sequence

from hack.kind.programs import GROUND, Programs

DOWNLINK = 100_000_000
"""Of each satellite, in bits per second."""
UPLINK = 1_000_000
"""To each satellite, in bits per second."""

_CHAIN = "ORBITLOOP-LINK"
_UP_QUEUE = 64 * 1024
"""Bytes that wait for the uplink at most: half a second of it."""


def shape(programs: Programs, satellites: Sequence[str]) -> None:
    """Hold both directions to their rates: what leaves the ground for each satellite, and what leaves a satellite.

    It uses nothing of the host, so that it works where Docker runs in a machine of its own. Idempotent.
    """
    lines = ["tc qdisc add dev eth0 root handle 1: htb"]
    for number, satellite in enumerate(satellites, start=1):
        lines += [
            f"tc class add dev eth0 parent 1: classid 1:{number} htb rate {UPLINK}bit ceil {UPLINK}bit burst 3200",
            f"tc qdisc add dev eth0 parent 1:{number} handle {0x10 + number:x}: bfifo limit {_UP_QUEUE}",
            *(
                f"tc filter add dev eth0 parent 1: protocol ip prio {number} u32"
                f" match ip dst {network} flowid 1:{number}"
                for network in _networks(programs, satellite)
            ),
        ]
    programs.inside(GROUND, "\n".join(["tc qdisc del dev eth0 root 2>/dev/null || true", *lines]))
    for satellite in satellites:
        programs.inside(satellite, f"tc qdisc replace dev eth0 root tbf rate {DOWNLINK}bit burst 256kb latency 100ms")


def cut(programs: Programs, satellite: str) -> None:
    """Drop every packet, both ways. Idempotent."""
    programs.inside(satellite, _rules(f"iptables -w -t mangle -A {_CHAIN} -j DROP"))


def restore(programs: Programs, satellite: str) -> None:
    """Let packets pass. Idempotent."""
    programs.inside(satellite, _rules("true"))


def address(programs: Programs, node: str) -> str:
    """The node's IPv4 address; it may be another after a restart."""
    told = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return programs.run(programs.docker, "inspect", "-f", told, node).strip()


def _networks(programs: Programs, satellite: str) -> list[str]:
    """The addresses of a satellite: its node's, and those of its pods."""
    pods = programs.kube("get", "node", satellite, "-o", "jsonpath={.spec.podCIDR}")
    return [f"{address(programs, satellite)}/32", *([pods] if pods else [])]


def _rules(last: str) -> str:
    """A chain of our own, asked first by what comes in and last by what goes out."""
    return "\n".join(
        (
            f"iptables -w -t mangle -N {_CHAIN} 2>/dev/null || iptables -w -t mangle -F {_CHAIN}",
            f"iptables -w -t mangle -C PREROUTING -i eth0 -j {_CHAIN} 2>/dev/null"
            f" || iptables -w -t mangle -I PREROUTING -i eth0 -j {_CHAIN}",
            f"iptables -w -t mangle -C POSTROUTING -o eth0 -j {_CHAIN} 2>/dev/null"
            f" || iptables -w -t mangle -A POSTROUTING -o eth0 -j {_CHAIN}",
            last,
        )
    )
