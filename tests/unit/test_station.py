"""What the next pass can carry, the next update may take."""

from datetime import timedelta

import pytest

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.units import BitsPerSecond, Bytes
from orbitloop.testing.samples import LAUNCH
from orbitloop_mission.embedded.station import update_budget

POLICY = LinkPolicy(uplink=BitsPerSecond(1_000_000), update_budget=Bytes(300_000))


def window(begins: int, seconds: float) -> ContactWindow:
    aos = LAUNCH + timedelta(hours=begins)
    return ContactWindow(aos=aos, los=aos + timedelta(seconds=seconds), station="here", peak=30.0)


@pytest.mark.parametrize(
    ("windows", "budget"),
    [
        ((), 300_000),
        ((window(1, 500),), 300_000),
        ((window(1, 2),), 250_000),
        ((window(0, 1), window(2, 500)), 300_000),
    ],
    ids=["no pass known", "a long pass", "a short pass", "the pass that is on does not count"],
)
def test_an_update_is_no_larger_than_the_policy_and_the_next_pass_allow(
    windows: tuple[ContactWindow, ...], budget: int
) -> None:
    assert update_budget(POLICY, windows, LAUNCH) == budget
