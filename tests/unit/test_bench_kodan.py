"""What the bench says of its figures."""

from __future__ import annotations

import io
from typing import Any

import pytest
from bench.cells import Figures
from bench.kodan import ALONE, LINKS, PEERS, TARGETS, aims, case_of, document_of, show
from rich.console import Console


def figures(**changes: Any) -> Figures:
    found: Figures = {"ours": 0.95, "bent_pipe": 0.48, "direct_deploy": 0.6, "oracle": 1.0}
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
