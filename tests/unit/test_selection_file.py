"""A selection logic as one signed file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.density import Downlink
from orbitloop.domain.errors import BadInput, Refused, Untrusted
from orbitloop.domain.selection import Discard, Grade, Raw, Run, SelectionLogic
from orbitloop.wire.selection_file import ReferenceView, SelectionPackage, pack_selection, unpack_selection

LOGIC = SelectionLogic(
    tiles=2,
    cells=8,
    table={
        "sea": Discard(),
        "port": Run(model="small@port", threshold=0.65),
        "city": Raw(),
        "unknown": Run(model="reference", threshold=0.5),
    },
    grades={
        "sea": (),
        "port": (Grade(threshold=0.65, worth=0.5), Grade(threshold=0.9, worth=0.91)),
        "city": (Grade(threshold=0.0, worth=0.5),),
        "unknown": (Grade(threshold=0.5, worth=0.25),),
    },
)
PACKAGE = SelectionPackage(
    version=3,
    application="ships",
    target="one-core",
    side=256,
    highest=True,
    prevalence=0.05,
    reference=ReferenceView(side=128, margin=4.0, around=8),
    link=Downlink(capacity=0.1, deadline=0.04),
    contexts=("sea", "port", "city"),
    reach=31.5,
    logic=LOGIC,
    parts={"small@port": b"network", "engine": b"an engine"},
)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path / "key")


def test_what_is_packed_is_unpacked(key: SigningKey) -> None:
    found = unpack_selection(pack_selection(PACKAGE, key.sign), VerifyingKey(key.public).verify)
    assert found.logic == LOGIC
    assert dict(found.parts) == dict(PACKAGE.parts)
    assert (found.version, found.application, found.target, found.side) == (3, "ships", "one-core", 256)
    assert (found.link, found.contexts, found.reach) == (PACKAGE.link, PACKAGE.contexts, PACKAGE.reach)
    assert (found.highest, found.prevalence) == (True, 0.05)
    assert found.reference == PACKAGE.reference


def test_the_same_logic_makes_the_same_bytes(key: SigningKey) -> None:
    turned = replace(PACKAGE, parts=dict(reversed(list(PACKAGE.parts.items()))))
    assert pack_selection(PACKAGE, key.sign) == pack_selection(turned, key.sign)


def test_no_flipped_bit_passes(key: SigningKey) -> None:
    packed, verify = pack_selection(PACKAGE, key.sign), VerifyingKey(key.public).verify
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 1
        with pytest.raises(Refused):
            unpack_selection(bytes(damaged), verify)


def test_no_cut_file_passes(key: SigningKey) -> None:
    packed, verify = pack_selection(PACKAGE, key.sign), VerifyingKey(key.public).verify
    for length in range(len(packed)):
        with pytest.raises(Refused):
            unpack_selection(packed[:length], verify)


def test_another_ground_is_not_believed(key: SigningKey, tmp_path: Path) -> None:
    other = SigningKey(tmp_path / "other")
    with pytest.raises(Untrusted):
        unpack_selection(pack_selection(PACKAGE, other.sign), VerifyingKey(key.public).verify)


def test_what_follows_the_file_is_refused(key: SigningKey) -> None:
    with pytest.raises(BadInput, match="1 bytes follow"):
        unpack_selection(pack_selection(PACKAGE, key.sign) + b"x", VerifyingKey(key.public).verify)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tiles": 3}, "cannot be dealt out"),
        ({"side": 320}, "cannot be shown as 256"),
        ({"side": 8 * 2048}, "cannot be shown as"),
        ({"reference_side": 100}, "cannot be shown as 100"),
        ({"tiles": 256, "cells": 256, "reference_side": 256}, "cannot be shown as 32768"),
        ({"version": 0}, "version"),
        ({"reach": -1}, "reach"),
        ({"contexts": ["sea"]}, "not the same"),
        ({"more": 1}, "more"),
        ({"table": [{"context": "unknown", "action": "run", "grades": [[0.5, 0.5]]}], "contexts": []}, "runs no model"),
    ],
)
def test_a_signed_header_that_cannot_be_followed_is_refused(
    key: SigningKey, changes: dict[str, object], complaint: str
) -> None:
    packed = pack_selection(PACKAGE, key.sign)
    length = int.from_bytes(packed[4:8], "big")
    text = json.dumps(json.loads(packed[8 : 8 + length]) | changes).encode()
    message = b"OLS1" + len(text).to_bytes(4, "big") + text
    with pytest.raises(BadInput, match=complaint):
        unpack_selection(message + key.sign(message) + packed[8 + length + 64 :], VerifyingKey(key.public).verify)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [({"small@port": b"x"}, "context engine"), ({"engine": b"x"}, "'small@port', which does not")],
)
def test_a_package_without_what_it_runs_is_refused(parts: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        replace(PACKAGE, parts=parts)
