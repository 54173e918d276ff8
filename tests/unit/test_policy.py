"""What a mission allows itself on the link."""

from __future__ import annotations

from typing import Any

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop.domain.policy import CODECS, LinkPolicy


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
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        LinkPolicy(**fields)
