"""All reconcilers on one cluster in memory: every kind answers, and an operator that starts again writes nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.handler_world import NOON, SEDNA, a_node, an_object

from orbitloop.adapters.orbits import contact_windows
from orbitloop.api.kinds import KINDS
from orbitloop.testing.clocks import VirtualClock
from orbitloop_operators.adapters.memory_cluster import MemoryCluster
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.node_reports import report_document
from orbitloop_operators.handlers.registry import Rules, reconcilers
from orbitloop_operators.usecases.agenda import Agenda, BackOff
from orbitloop_operators.usecases.loop import Loop, Surroundings

RULES = Rules(local_controller="http://localhost:9100", tools_image="orbitloop/tools:0.1", autoscaling_version="v2")
MANIFESTS = Path(__file__).parents[1] / "golden/manifests"
WRITTEN = [
    {**document, "metadata": {"namespace": "lab", **document["metadata"]}}
    for name in ("incremental-learning.yaml", "other-kinds.yaml")
    for document in yaml.safe_load_all((MANIFESTS / name).read_text())
]
MODELS = [
    an_object(SEDNA, "Model", name, {"url": f"/models/{name}.onnx", "format": "onnx"}) for name in ("small", "large")
]
OF_USERS = {(kind.api_version, kind.name) for kind in KINDS}


class NoMeter:
    def reconciled(self, kind: str, outcome: str) -> None:
        assert outcome == "done", f"{kind}: {outcome}"


class Together:
    """A cluster in memory, and an operator that can be started again."""

    def __init__(self) -> None:
        self.clock = VirtualClock(NOON)
        numbers = itertools.count(10_000)
        self.cluster = MemoryCluster(self.clock, "test", new_uid=lambda: f"{next(numbers)}-uid")
        self.statuses: dict[Key, Mapping[str, Any]] = {}

    def operate(self, *reports: Document) -> int:
        """Start an operator that knows nothing; how many objects changed until it was at rest."""
        agenda, changes = Agenda(BackOff()), [0]
        around = Surroundings(
            objects=Store(),
            writes=self.cluster,
            reconcilers=reconcilers(RULES, contact_windows),
            clock=self.clock,
            monotonic=lambda: 0.0,
            meter=NoMeter(),
        )
        loop = Loop(around, agenda, 1)

        def changed(document: Document) -> None:
            changes[0] += 1
            self.statuses[Key.of(document)] = document.get("status") or {}
            loop.changed(document)

        stop = self.cluster.watch(changed, loop.gone)
        for report in reports:
            loop.changed(report)
        listed = changes[0]
        asyncio.run(loop.settle())
        stop()
        return changes[0] - listed

    def apply(self, documents: list[dict[str, Any]]) -> None:
        for document in documents:
            asyncio.run(self.cluster.create(document))


@settings(max_examples=5, deadline=None)
@given(st.permutations(WRITTEN))
def test_every_kind_answers_whatever_the_order_and_an_operator_that_starts_again_writes_nothing(
    documents: list[dict[str, Any]],
) -> None:
    lab = Together()
    lab.apply([a_node("edge-1"), *MODELS, *documents])
    report = report_document("edge-1", 1, {"lastContact": "2026-03-01T11:59:00Z"})
    lab.operate(report)
    silent = [key.name for key, status in lab.statuses.items() if _is_of_users(key) and not status.get("conditions")]
    assert silent == []
    assert len(lab.cluster.all("apps/v1", "Deployment")) == 2
    assert lab.operate(report) == 0
    assert lab.operate() == 0, "nor one that has not heard from the nodes yet"


def _is_of_users(key: Key) -> bool:
    return (key.api_version, key.kind) in OF_USERS


@pytest.mark.parametrize("kind", sorted(OF_USERS), ids=lambda kind: kind[1])
def test_every_kind_of_the_users_has_a_reconciler(kind: tuple[str, str]) -> None:
    assert kind in reconcilers(RULES, contact_windows)
