"""Whatever happens between cluster and gateway, in the end the gateway holds what the cluster wants."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.desired_state import desired_state, desired_states, encoded
from orbitloop_operators.handlers.logic_claims import Claim, claimed
from orbitloop_operators.handlers.node_reports import LogicOffered, LogicReport, report_of
from orbitloop_operators.handlers.offers import Offered
from orbitloop_operators.usecases.bridge import Away, Moved, NodeBridge, NodeNews, Position, Shores

NODES = ("sat-1", "sat-2", "sat-3")
nodes = st.sampled_from(NODES)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("dataset"), nodes, st.integers(0, 3)),
        st.tuples(st.just("no dataset"), nodes, st.integers(0, 3)),
        st.tuples(st.sampled_from(["logic", "no logic"]), st.just("sat-1"), st.integers(0, 1)),
        st.tuples(st.just("worked")),
        st.tuples(st.just("said"), nodes, st.integers(0, 9)),
        st.tuples(st.sampled_from(["away", "here", "full", "reinstalled", "restarted", "tended", "followed"])),
    ),
    max_size=40,
)


@dataclass(kw_only=True)
class Ledger:
    """A gateway in memory, with a ledger that is followed as the real one is."""

    name: int = 0
    sequence: int = 0
    wanted: dict[str, bytes] = field(default_factory=dict)
    logics: dict[str, LogicOffered] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)
    moved_at: dict[str, int] = field(default_factory=dict)
    error: Exception | None = None
    asked: int = 0

    def move(self, node: str) -> None:
        self.sequence += 1
        self.moved_at[node] = self.sequence

    def reinstall(self) -> None:
        self.name, self.sequence = self.name + 1, 0
        self.wanted, self.said, self.moved_at, self.logics = {}, {}, {}, {}

    async def moved(self, since: Position, wait: float) -> Moved:
        if self.error is not None:
            raise self.error
        after = since.sequence if since.ledger == f"ledger {self.name}" else 0
        found = sorted((at, node) for node, at in self.moved_at.items() if at > after)
        position = Position(ledger=f"ledger {self.name}", sequence=self.sequence)
        return Moved(position=position, nodes=tuple(self._news(node) for _, node in found))

    def _news(self, node: str) -> NodeNews:
        wanted = self.wanted.get(node)
        observed = {"satellite": {"samples": self.said.get(node, 0)}}
        return NodeNews(
            node=node,
            observed=observed,
            wanted=None if wanted is None else digest_of(wanted),
            selection=LogicReport(offered=self.logics.get(node)),
        )

    async def want(self, node: str, document: bytes) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.wanted[node] = document
        self.move(node)

    async def offer(self, offer: Offered) -> None:
        raise AssertionError("no model is offered here")

    async def fit(self, claim: Claim) -> LogicOffered:
        """Moves nothing, as the real one: who asked knows it, and who asks for all is told."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        signed = digest_of(f"{claim.digest} for {claim.node}".encode())
        self.logics[claim.node] = LogicOffered(source=claim.digest, digest=signed, version=self.asked)
        return self.logics[claim.node]

    async def unfit(self, node: str) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.logics.pop(node, None)


def a_dataset(node: str, number: int, version: int) -> Document:
    name = f"of-{node}-{number}"
    metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(version)}
    spec = {"url": f"/data/{version}.txt", "format": "txt", "nodeName": node}
    return {"apiVersion": "sedna.io/v1alpha1", "kind": "Dataset", "metadata": metadata, "spec": spec}


def an_object(kind: str, name: str, version: int, spec: dict[str, Any]) -> Document:
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": f"{kind}/{name}/{version}",
        "resourceVersion": str(version),
    }
    return {"apiVersion": "orbitloop.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def a_logic(node: str, number: int, version: int) -> Document:
    """One of two that may name a satellite; the first by name keeps it."""
    digest = digest_of(f"logic {version % 5}".encode())
    spec = {"satellites": [node], "url": f"/data/{version}.ols", "digest": digest}
    return an_object("SelectionLogic", f"of-{node}-{number}", version, spec)


class World:
    def __init__(self) -> None:
        self.gateway, self.now, self.version = Ledger(), 0.0, 0
        self.datasets: dict[tuple[str, int], Document] = {}
        self.logics: dict[tuple[str, int], Document] = {}
        self.restart()

    def restart(self) -> None:
        """The operator starts anew: it lists the cluster, and knows nothing else."""
        self.store, self.position = Store(), Position()
        satellites = [an_object("Satellite", node, 1, {"nodeName": node}) for node in NODES]
        for document in (*self.datasets.values(), *satellites, *self.logics.values()):
            self.store.put(document)
        shores = Shores(
            gateway=self.gateway,
            view=self.store,
            is_complete=lambda: True,
            observed=self.store.put,
            monotonic=lambda: self.now,
        )
        self.bridge = NodeBridge(shores)

    def follow(self) -> None:
        if self.gateway.error is None:
            moved = asyncio.run(self.gateway.moved(self.position, 0))
            self.position = moved.position
            self.bridge.take(moved)

    def work(self) -> None:
        self.follow()
        self.tend()

    def have_logic(self, node: str, number: int, *, there: bool) -> None:
        if (known := self.logics.pop((node, number), None)) is not None:
            self.store.drop(Key.of(known), known["metadata"]["uid"])
        if there:
            self.logics[node, number] = a_logic(node, number, self.version)
            self.store.put(self.logics[node, number])

    def tend(self) -> None:
        self.now += 400
        asyncio.run(self.bridge.tend())

    def happen(self, what: str, node: str = "", number: int = 0) -> None:
        self.version += 1
        match what:
            case "dataset":
                self.datasets[node, number] = a_dataset(node, number, self.version)
                self.store.put(self.datasets[node, number])
            case "no dataset":
                if (known := self.datasets.pop((node, number), None)) is not None:
                    self.store.drop(Key.of(known), known["metadata"]["uid"])
            case "logic" | "no logic":
                self.have_logic(node, number, there=what == "logic")
            case "said":
                self.gateway.said[node] = number
                self.gateway.move(node)
            case "away" | "full" | "here":
                self.gateway.error = {"away": Away("no route"), "full": NotYet("full"), "here": None}[what]
            case _:
                acts = {"reinstalled": self.gateway.reinstall, "restarted": self.restart, "followed": self.follow}
                (acts | {"tended": self.tend, "worked": self.work})[what]()


@given(happenings)
def test_in_the_end_the_gateway_holds_what_the_cluster_wants_and_the_cluster_knows_what_was_said(
    happened: list[tuple[Any, ...]],
) -> None:
    world = World()
    for what, *about in happened:
        world.happen(what, *about)
    world.gateway.error = None
    for _ in range(3):
        world.follow()
        world.tend()
    for node, state in desired_states(world.store).items():
        assert world.gateway.wanted[node] == encoded(state)
    for node in world.gateway.wanted:
        assert world.gateway.wanted[node] == encoded(desired_state(node, world.store))
    wanted = {node: claim.digest for node, claim in claimed(world.store).items()}
    assert {node: logic.source for node, logic in world.gateway.logics.items()} == wanted
    for node, count in world.gateway.said.items():
        report = report_of(world.store, node)
        assert report is not None
        satellite = report.satellite()
        assert satellite is not None
        assert satellite.samples == count
    asked = world.gateway.asked
    world.follow()
    world.tend()
    assert world.gateway.asked == asked, "nothing is left to do"


@given(st.lists(st.tuples(nodes, st.integers(0, 3)), min_size=1, max_size=12, unique=True))
def test_a_node_that_is_refused_for_good_keeps_no_other_from_its_state(datasets: list[tuple[str, int]]) -> None:
    world = World()
    refused = datasets[0][0]
    honest = world.gateway.want

    async def want(node: str, document: bytes) -> None:
        if node == refused:
            raise BadInput("no such node")
        await honest(node, document)

    world.gateway.want = want  # type: ignore[method-assign]
    for node, number in datasets:
        world.happen("dataset", node, number)
    world.follow()
    world.tend()
    assert set(world.gateway.wanted) == set(NODES) - {refused}
