"""What a mission allows itself on the link."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop.domain.policy import CODECS, LinkPolicy
from orbitloop.domain.samples import Reason
from orbitloop.domain.traffic import TrafficClass


def test_the_defaults_are_a_policy() -> None:
    policy = LinkPolicy()
    assert policy.downlink == 100 * policy.uplink
    assert policy.downlink_share < 0.1


@pytest.mark.parametrize("codec", CODECS)
def test_every_listed_codec_is_accepted(codec: str) -> None:
    assert LinkPolicy(codec=codec, downlink_share=1, quality=100).codec == codec


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"downlink_share": 0}, "downlink share 0 must be above 0"),
        ({"downlink_share": 1.01}, "at most 1"),
        ({"downlink_share": float("nan")}, "downlink share nan"),
        ({"codec": "gif"}, "codec 'gif' is unknown; use one of webp"),
        ({"codec": "WEBP"}, "unknown"),
        ({"quality": 0}, "quality 0 must be 1 to 100"),
        ({"quality": 101}, "quality 101"),
        ({"downlink": 0}, "must be positive"),
        ({"uplink": -1}, "must be positive"),
        ({"update_budget": 0}, "must be positive"),
        ({"pass_budget": 0}, "pass budget 0 must be positive; leave it out"),
        ({"reserve_percent": -1}, "reserve -1 % must be 0 to 90"),
        ({"reserve_percent": 91}, "reserve 91 %"),
        ({"doubling": timedelta(0)}, "doubling 0:00:00 must be positive"),
        ({"priorities": {"pretty": 100}}, "priority of 'pretty': use one of hard, miss, audit, value, telemetry"),
        ({"priorities": {Reason.HARD: 0}}, "priority of hard: 0 % must be 1 to"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        LinkPolicy(**fields)


def test_priorities_multiply_and_count_as_one_where_none_is_given() -> None:
    policy = LinkPolicy(priorities={Reason.MISS: 300, TrafficClass.SAMPLES: 50})
    assert policy.factor(Reason.MISS, TrafficClass.SAMPLES) == 1.5
    assert policy.factor(Reason.HARD, TrafficClass.UPDATE, None) == 1
