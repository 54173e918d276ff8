"""Both shapers against the same expectations: real datagrams over real sockets, judged by the bytes that arrive.

The kernel's runs between two network namespaces made here; where they cannot be made, it is skipped with the reason.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import IPRoute, NetNS, netns
from pyroute2.netlink.exceptions import NetlinkError

from orbitloop.adapters.shaping import UserShaper, choose_shaper
from orbitloop.adapters.shaping.kernel import KernelShaper, interface_towards
from orbitloop.domain.errors import BadInput, Refused
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.ports.shaper import Peer, Shaper, ShaperKind

SPAN_S = 1.2
ATTEMPTS = 4
SIZE = 1_000
ON_THE_WIRE = SIZE + 28 + 14  # IP, UDP and Ethernet, which the kernel charges too
SLOW, FAST = BitsPerSecond(2_000_000), BitsPerSecond(6_000_000)
HERE, ONE, OTHER = "10.91.0.1", "10.91.0.2", "10.91.0.3"
DEVICE = "shaped"

Result = TypeVar("Result")


def within(namespace: str, act: Callable[[], Result]) -> Result:
    """Run ``act`` in a network namespace: in a thread of its own, which stays there."""

    def moved() -> Result:
        netns.setns(namespace)
        return act()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(moved).result()


@pytest.fixture(scope="module")
def namespaces() -> Iterator[tuple[str, str]]:
    """Two hosts with a wire between them: one sends, the other has two addresses."""
    names = tuple(f"shaper-{uuid.uuid4().hex[:8]}" for _ in range(2))
    made = []
    try:
        try:
            for name in names:
                netns.create(name)
                made.append(name)
            with NetNS(names[0]) as sender, NetNS(names[1]) as receiver:
                sender.link("add", ifname=DEVICE, kind="veth", peer={"ifname": DEVICE, "net_ns_fd": names[1]})
                for host, addresses in ((sender, [HERE]), (receiver, [ONE, OTHER])):
                    index = host.link_lookup(ifname=DEVICE)[0]
                    for address in addresses:
                        host.addr("add", index=index, address=address, prefixlen=24)
                    host.link("set", index=index, state="up")
        except (PermissionError, NetlinkError) as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield names[0], names[1]
    finally:
        for name in made:
            netns.remove(name)


@dataclass
class Bench:
    """A shaper, and what it needs to send to two peers that count."""

    shaper: Shaper
    peers: tuple[Peer, Peer]
    run: Callable[[Callable[[], object]], object]
    receivers: tuple[socket.socket, socket.socket]

    def arrived(self, *numbers: int) -> list[float]:
        """Send to the peers of these numbers, at once, as fast as the shaper lets; bits a second that arrive."""
        counts = [threading.Thread(target=self._send, args=(number,)) for number in numbers]
        stop = time.monotonic() + SPAN_S
        self._stop = stop
        with ThreadPoolExecutor(len(numbers)) as readers:
            read = [readers.submit(_count, self.receivers[number], stop) for number in numbers]
            for each in counts:
                each.start()
            for each in counts:
                each.join()
            return [each.result() * ON_THE_WIRE * 8 / SPAN_S for each in read]

    def _send(self, number: int) -> None:
        peer = self.peers[number]
        address = self.receivers[number].getsockname()

        def send() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
                sender.settimeout(0.2)
                while time.monotonic() < self._stop:
                    if wait := self.shaper.pace(peer, Bytes(ON_THE_WIRE)).total_seconds():
                        time.sleep(wait)
                    try:
                        sender.sendto(bytes(SIZE), address)
                    except TimeoutError:
                        continue  # the kernel's queue is full and stays so for long: it shapes

        self.run(send)


def _count(receiver: socket.socket, stop: float) -> int:
    receiver.settimeout(0.05)
    counted = 0
    while time.monotonic() < stop:
        try:
            receiver.recv(2_048)
            counted += 1
        except TimeoutError:
            continue
    return counted


def receiver_on(address: str) -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
    receiver.bind((address, 0))
    return receiver


@pytest.fixture(params=list(ShaperKind), ids=lambda kind: kind.value)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param is ShaperKind.USER:
        pair = (receiver_on("127.0.0.1"), receiver_on("127.0.0.2"))
        peers = (Peer(address="127.0.0.1"), Peer(address="127.0.0.2"))
        with pair[0], pair[1], UserShaper() as shaper:
            yield Bench(shaper, peers, lambda act: act(), pair)
        return
    sender, receiver = request.getfixturevalue("namespaces")
    pair = within(receiver, lambda: (receiver_on(ONE), receiver_on(OTHER)))
    kernel = KernelShaper(DEVICE)
    within(sender, kernel.__enter__)
    with pair[0], pair[1]:
        try:
            yield Bench(kernel, (Peer(address=ONE), Peer(address=OTHER)), lambda act: within(sender, act), pair)
        finally:
            kernel.__exit__(None, None, None)


def keeps_to(bench: Bench, *rates: BitsPerSecond) -> bool:
    """Send to that many peers at once. Never too fast, nor too slow: if not at once, since others compute too."""
    for _ in range(ATTEMPTS):
        arrived = bench.arrived(*range(len(rates)))
        assert all(got < 1.1 * rate for got, rate in zip(arrived, rates, strict=True)), arrived
        if all(got > 0.8 * rate for got, rate in zip(arrived, rates, strict=True)):
            return True
    return False


def test_what_is_sent_to_a_peer_keeps_to_its_rate(bench: Bench) -> None:
    bench.shaper.limit(bench.peers[0], SLOW)
    assert keeps_to(bench, SLOW)


def test_two_peers_are_limited_independently(bench: Bench) -> None:
    bench.shaper.limit(bench.peers[0], SLOW)
    bench.shaper.limit(bench.peers[1], FAST)
    assert keeps_to(bench, SLOW, FAST)


def test_a_rate_can_be_changed(bench: Bench) -> None:
    bench.shaper.limit(bench.peers[0], FAST)
    bench.shaper.limit(bench.peers[0], SLOW)
    assert keeps_to(bench, SLOW)
    bench.shaper.limit(bench.peers[0], FAST)
    assert keeps_to(bench, FAST)


def test_a_lifted_peer_is_held_no_longer_and_the_other_still_is(bench: Bench) -> None:
    for peer in bench.peers:
        bench.shaper.limit(peer, SLOW)
    bench.shaper.lift(bench.peers[1])
    bench.shaper.lift(bench.peers[1])
    held, free = bench.arrived(0, 1)
    assert held < 1.1 * SLOW
    assert free > 2 * SLOW


def test_whoever_is_not_limited_is_not_held(bench: Bench) -> None:
    bench.shaper.limit(bench.peers[0], SLOW)
    assert bench.arrived(1)[0] > 2 * SLOW


def test_a_limit_for_a_port_counts_before_the_one_for_its_address(bench: Bench) -> None:
    address, port = bench.receivers[0].getsockname()
    bench.shaper.limit(Peer(address=address), FAST)
    bench.shaper.limit(Peer(address=address, port=port), SLOW)
    bench.peers = (Peer(address=address, port=port), bench.peers[1])
    assert keeps_to(bench, SLOW)


def test_a_rate_that_carries_nothing_is_refused(bench: Bench) -> None:
    for rate in (0, -1):
        with pytest.raises(BadInput, match="carries nothing"):
            bench.shaper.limit(bench.peers[0], BitsPerSecond(rate))


@pytest.mark.parametrize("address", ["", "satellite", "10.0.0", "::1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="IPv4"):
        Peer(address=address)


def test_a_port_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadInput, match="no port 0"):
        Peer(address=ONE, port=0)


def root_qdiscs(namespace: str) -> list[tuple[str, int]]:
    with NetNS(namespace) as host:
        index = host.link_lookup(ifname=DEVICE)[0]
        return [
            (each.get_attr("TCA_KIND"), each["handle"])
            for each in host.get_qdiscs(index=index)
            if each["parent"] == 0xFFFFFFFF
        ]


def test_the_kernels_shaper_leaves_the_interface_as_it_was(namespaces: tuple[str, str]) -> None:
    before = root_qdiscs(namespaces[0])

    def shape() -> None:
        with KernelShaper(DEVICE) as shaper:
            shaper.limit(Peer(address=ONE), SLOW)
            assert root_qdiscs(namespaces[0]) != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        within(namespaces[0], shape)
    assert root_qdiscs(namespaces[0]) == before


HOLD = """
import sys
from orbitloop.adapters.shaping.kernel import KernelShaper, interface_towards
from orbitloop.domain.units import BitsPerSecond
from orbitloop.ports.shaper import Peer
with KernelShaper(sys.argv[1]) as shaper:
    shaper.limit(Peer(address="10.91.0.2"), BitsPerSecond(1_000_000))
    print("shaping", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_shaper_left_behind_is_cleared_by_the_next(namespaces: tuple[str, str]) -> None:
    before = root_qdiscs(namespaces[0])
    held = within(
        namespaces[0],
        lambda: subprocess.Popen(
            [sys.executable, "-c", HOLD, DEVICE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ),
    )
    with held:
        assert held.stdout is not None
        assert held.stdout.readline() == "shaping\n"

        def second() -> None:
            with pytest.raises(Refused, match="another orbitloop process"):
                KernelShaper(DEVICE).check()

        within(namespaces[0], second)
        os.kill(held.pid, signal.SIGKILL)
        held.wait()
    assert root_qdiscs(namespaces[0]) != before

    def again() -> None:
        with KernelShaper(DEVICE) as shaper:
            shaper.limit(Peer(address=ONE), FAST)

    within(namespaces[0], again)
    assert root_qdiscs(namespaces[0]) == before


def test_a_qdisc_of_somebody_else_is_left_alone(namespaces: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="orbitloop.adapters.shaping")
    with NetNS(namespaces[0]) as host:
        index = host.link_lookup(ifname=DEVICE)[0]
        host.tc("add", "tbf", index, 0x10000, parent=0xFFFFFFFF, rate=125_000, burst=5_000, latency=50_000)
    theirs = root_qdiscs(namespaces[0])
    try:

        def shape() -> None:
            with pytest.raises(Refused, match=r"shaped by something else already \(qdisc tbf 1:\)"):
                KernelShaper(DEVICE).check()
            with pytest.raises(Refused, match="something else"):
                choose_shaper(DEVICE, wanted=ShaperKind.KERNEL)
            assert choose_shaper(DEVICE).kind is ShaperKind.USER

        within(namespaces[0], shape)
        assert root_qdiscs(namespaces[0]) == theirs
        assert caplog.records[-1].__dict__["kind"] == "user"
        assert "something else" in caplog.records[-1].__dict__["reason"]
    finally:
        with NetNS(namespaces[0]) as host:
            host.tc("del", index=index, parent=0xFFFFFFFF)


def test_the_kernels_is_chosen_where_it_can_be_had(
    namespaces: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="orbitloop.adapters.shaping")
    assert within(namespaces[0], lambda: choose_shaper(DEVICE).kind) is ShaperKind.KERNEL
    assert caplog.records[-1].__dict__["interface"] == DEVICE


def test_the_process_shapes_where_it_is_asked_to_or_nothing_else_can() -> None:
    assert choose_shaper(wanted=ShaperKind.USER).kind is ShaperKind.USER
    assert choose_shaper().kind is ShaperKind.USER
    assert choose_shaper("no-such-device").kind is ShaperKind.USER
    with pytest.raises(Refused, match="none was named"):
        choose_shaper(wanted=ShaperKind.KERNEL)
    with pytest.raises(BadInput, match="no network interface 'no-such-device'"):
        choose_shaper("no-such-device", wanted=ShaperKind.KERNEL)


def test_a_process_without_the_capability_is_told_so(namespaces: tuple[str, str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give its capabilities up here")
    script = (
        "import os, sys\n"
        "from orbitloop.adapters.shaping import choose_shaper\n"
        "choose_shaper(sys.argv[1])\n"  # whoever gives up being root may not read the libraries any more
        "from orbitloop.ports.shaper import ShaperKind\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: choose_shaper(sys.argv[1], wanted=ShaperKind.KERNEL)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print(choose_shaper(sys.argv[1]).kind.value)\n"
    )
    ended = within(
        namespaces[0],
        lambda: subprocess.run(
            [sys.executable, "-c", script, DEVICE],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        ),
    )
    assert "Refused" in ended.stdout, ended.stderr
    assert "CAP_NET_ADMIN" in ended.stdout
    assert ended.stdout.endswith("user\n")


def test_a_delay_is_in_force_only_where_the_kernel_has_netem(namespaces: tuple[str, str]) -> None:
    wanted = timedelta(milliseconds=5)

    def shape() -> tuple[timedelta, set[str]]:
        with KernelShaper(DEVICE, delay=wanted) as shaper, IPRoute() as host:
            shaper.limit(Peer(address=ONE), SLOW)
            index = host.link_lookup(ifname=DEVICE)[0]
            return shaper.delay, {each.get_attr("TCA_KIND") for each in host.get_qdiscs(index=index)}

    delay, kinds = within(namespaces[0], shape)
    assert (delay == wanted) == ("netem" in kinds)


def test_the_interface_towards_a_peer_is_the_routing_tables(namespaces: tuple[str, str]) -> None:
    assert within(namespaces[0], lambda: interface_towards(ONE)) == DEVICE

    def nowhere() -> None:
        with pytest.raises(Refused, match=r"no interface leads to 192\.0\.2\.1"):
            interface_towards("192.0.2.1")

    within(namespaces[0], nowhere)


def test_a_shaper_that_is_not_set_up_says_so() -> None:
    with pytest.raises(BadInput, match="use it in a with statement"):
        KernelShaper(DEVICE).limit(Peer(address=ONE), SLOW)


@given(sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=50), rate=st.integers(8_000, 10**9))
def test_whoever_waits_as_long_as_the_process_says_is_never_faster_than_the_rate(sizes: list[int], rate: int) -> None:
    now = 0
    peer = Peer(address=ONE)
    shaper = UserShaper(clock=lambda: now)
    shaper.limit(peer, BitsPerSecond(rate))
    burst = max(1_600, rate // 800)
    for number, size in enumerate(sizes):
        now += shaper.pace(peer, Bytes(size)) // timedelta(microseconds=1) * 1_000
        # A timedelta counts microseconds: half of one may be missing each time.
        assert (sum(sizes[: number + 1]) - burst) * 8 / rate <= (now + 1_000 * (number + 1)) / 1e9
