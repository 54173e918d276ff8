"""What the bench says of its figures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from bench.cells import Figures
from bench.kodan import ALONE, LINKS, PEERS, TARGETS, aims, case_of, document_of, scene_of, show, turned
from rich.console import Console

from orbitloop_ground.adapters.transformation.applications import Frame, Frames


def figures(**changes: Any) -> Figures:
    found: Figures = {"ours": 0.95, "bent_pipe": 0.48, "direct_deploy": 0.6, "oracle": 1.0, "direct_at_half": 0.5}
    found |= {f"alone_{each}": 0.7 for each in ALONE}
    found |= {f"{link}_{peer}": 0.5 for link in LINKS for peer in PEERS}
    found |= {"frame_seconds": 0.1, "direct_seconds": 0.4, "deadline_seconds": 0.2, "engine_share": 0.01}
    found |= {"engine_of_deadline": 0.005, "meets": True, "says_it_cannot": False, "processed": 1.0}
    return found | {"tiles": 4, "logic": "sea: discard"} | changes


def test_a_case_has_what_is_asked_of_it_as_means_over_seeds() -> None:
    case: dict[str, Any] = case_of("clouds", "one-core", [figures(ours=0.9), figures(ours=1.0)])
    assert case["density"] == {"ours": 0.95, "bent_pipe": 0.48, "direct_deploy": 0.6, "oracle": 1.0}
    assert (case["frame_seconds"], case["deadline_seconds"], case["provenance"]) == (0.1, 0.2, "measured")
    assert case["half_interval"] > 0.5


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, {"within"}),
        ({"ours": 0.99}, set()),
        ({"ours": 0.47}, {"never below bent", "never below direct", "at least", "within"}),
        ({"ours": 0.99, "meets": False}, {"the deadline"}),
        ({"ours": 0.99, "meets": False, "says_it_cannot": True}, set()),
        ({"ours": 0.99, "engine_share": 0.03}, {"the engine"}),
    ],
    ids=["good", "best", "bad", "late", "late and told", "engine"],
)
def test_a_missed_aim_is_said(changes: dict[str, Any], missed: set[str]) -> None:
    found = aims([case_of("clouds", "one-core", [figures(**changes)])])  # type: ignore[list-item]  # of JSON
    assert {aim for aim, met in found.items() if not met} == {
        aim for aim in found if any(aim.startswith(word) for word in missed)
    }


def test_the_table_is_told_in_a_hundred_columns() -> None:
    out = io.StringIO()
    show(document_of({"clouds": [[figures()] * len(TARGETS)]}), Console(file=out, width=100))
    assert "…" not in out.getvalue()
    assert "never below bent pipe: met" in out.getvalue()


def _scenes(names: str) -> list[Frame]:
    pixels = np.zeros((2, 2, 3), np.uint8)
    return [Frame(name=f"{name}@{at},0", pixels=pixels, truth=None) for name in names for at in (0, 2)]


def _names(frames: Sequence[Frame]) -> str:
    return "".join(dict.fromkeys(scene_of(frame) for frame in frames))


def test_every_scene_is_judged_by_once_before_any_is_again() -> None:
    given = Frames(train=_scenes("defg"), val=_scenes("hi"), test=_scenes("abc"))
    parts = [turned(given, seed) for seed in range(3)]
    assert [_names(part.test) for part in parts] == ["abc", "def", "ghi"]
    assert (_names(parts[0].train), _names(parts[0].val)) == ("defg", "hi"), "as the set is divided"
    for part in parts:
        assert sorted(_names([*part.train, *part.val, *part.test])) == list("abcdefghi")
        assert len([*part.train, *part.val, *part.test]) == 18
