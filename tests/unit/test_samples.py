"""Samples: the words that cross space."""

from __future__ import annotations

import dataclasses

import pytest

from orbitloop.domain.samples import Reason
from orbitloop.testing.samples import a_sample


def test_reasons_keep_their_names_on_the_wire() -> None:
    assert [reason.value for reason in Reason] == ["hard", "miss", "audit", "value"]


def test_a_sample_cannot_be_changed() -> None:
    sample, _ = a_sample()
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.value = 2.0  # type: ignore[misc]  # that is the point


def test_the_same_tile_always_has_the_same_id() -> None:
    assert a_sample(3)[0].id == a_sample(3)[0].id
    assert a_sample(3)[0].id != a_sample(4)[0].id
    assert a_sample(3)[0].id != a_sample(3, satellite="sat-2")[0].id
