"""Stored updates make the models that they made when they were stored; tests/integration runs the same on arm64."""

from __future__ import annotations

from tests import golden_delta

from orbitloop.wire.update import MAGICS


def test_stored_updates_make_what_they_made() -> None:
    assert golden_delta.differing() == []


def test_every_format_is_stored() -> None:
    stored = {path.read_bytes()[:4] for path in golden_delta.FOLDER.glob("*.olu")}
    assert stored == set(MAGICS)
