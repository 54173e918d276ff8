"""What leaves for the ground keeps to the downlink's rate, and loses none of it."""

from __future__ import annotations

import logging
from datetime import timedelta
from types import TracebackType
from typing import Self

import pytest

from orbitloop.adapters.shaping import UserShaper
from orbitloop.domain.errors import Refused
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.ports.shaper import Peer, Shaper, ShaperKind
from orbitloop_edge.adapters.egress import BURST, Egress

HERE = Peer(address="127.0.0.1")
PIECE = Bytes(4_096)


class Time:
    """Passes while somebody sleeps, and a little longer than they asked for."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []
        self._late = late_s

    def nanoseconds(self) -> int:
        return round(self.now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds + self._late


class Noted:
    """A shaper that notes its limits, or refuses them."""

    def __init__(self, kind: ShaperKind, *, refuses: bool = False) -> None:
        self.kind = kind
        self.limits: dict[Peer, BitsPerSecond] = {}
        self._refuses = refuses

    def limit(self, peer: Peer, rate: BitsPerSecond) -> None:
        if self._refuses:
            raise Refused("the interface has gone")
        self.limits[peer] = rate

    def lift(self, peer: Peer) -> None:
        del self.limits[peer]

    def pace(self, peer: Peer, size: Bytes) -> timedelta:
        assert size > 0
        return timedelta(0) if peer in self.limits else timedelta(days=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.limits.clear()


def sent_in(seconds: float, time: Time, policy: LinkPolicy) -> int:
    shaper: Shaper = UserShaper(clock=time.nanoseconds, burst=BURST)
    egress = Egress(shaper, policy, sleep=time.sleep)
    sent = 0
    with egress.towards("localhost") as turn:
        while time.now_s < seconds:
            turn(PIECE)
            sent += PIECE
    return sent


@pytest.mark.parametrize("rate", [1_000_000, 10_000_000, 100_000_000], ids="{:,} bit/s".format)
@pytest.mark.parametrize("late_s", [0.0, 0.000_1, 0.004, 0.03], ids="sleeps end {} s late".format)
def test_the_rate_less_the_reserve_is_used_and_not_exceeded(rate: int, late_s: float) -> None:
    policy = LinkPolicy(downlink=BitsPerSecond(rate), reserve_percent=10)
    share = sent_in(2.0, Time(late_s), policy) * 8 / 2.0 / rate
    # A burst of 50 ms and the last piece, 33 ms of it at the slowest, come on top.
    assert 0.88 < share < 0.9 * (1 + 0.05)


def test_short_waits_are_put_together() -> None:
    time = Time()
    sent = sent_in(1.0, time, LinkPolicy(downlink=BitsPerSecond(100_000_000)))
    assert min(time.slept) >= 0.005
    assert len(time.slept) < sent / PIECE / 10


@pytest.mark.parametrize(
    ("kind", "rate"), [(ShaperKind.KERNEL, 1_000), (ShaperKind.USER, 900)], ids=["in the kernel", "in the process"]
)
def test_only_the_process_leaves_the_reserve_free(kind: ShaperKind, rate: int) -> None:
    shaper = Noted(kind)
    egress = Egress(shaper, LinkPolicy(downlink=BitsPerSecond(1_000), reserve_percent=10))
    assert egress.kind is kind
    with egress.towards("localhost") as turn:
        turn(PIECE)
        assert shaper.limits == {HERE: rate}
    assert shaper.limits == {}


def test_the_limit_is_lifted_when_the_contact_fails() -> None:
    shaper = Noted(ShaperKind.USER)
    with pytest.raises(Refused), Egress(shaper, LinkPolicy()).towards("localhost"):
        raise Refused("the ground does not know this satellite")
    assert shaper.limits == {}


@pytest.mark.parametrize("host", ["localhost", "no such host", "::1", ""], ids=repr)
def test_a_contact_goes_on_where_it_cannot_be_limited(host: str, caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    egress = Egress(Noted(ShaperKind.USER, refuses=True), LinkPolicy(), sleep=time.sleep)
    with caplog.at_level(logging.WARNING), egress.towards(host) as turn:
        turn(PIECE)
    assert time.slept == []
    assert [record.message for record in caplog.records] == ["not_shaped"]
