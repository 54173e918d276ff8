"""The bridge between cluster and nodes, with a gateway in memory that goes away, refuses and is reinstalled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet, OrbitloopError
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.desired_state import desired_state, encoded
from orbitloop_operators.handlers.logic_claims import Claim
from orbitloop_operators.handlers.node_reports import LogicOffered, LogicOnBoard, LogicReport, report_of
from orbitloop_operators.handlers.offers import Offered, offered
from orbitloop_operators.usecases.bridge import Away, Export, Moved, NodeBridge, NodeNews, Position, Shores, UnknownNode

MODEL, FLYING = digest_of(b"model"), digest_of(b"weights")


@dataclass(kw_only=True)
class MemoryGateway:
    """Remembers what is left at it, in order, and fails when it is to."""

    wanted: list[tuple[str, bytes]] = field(default_factory=list)
    offers: list[Offered] = field(default_factory=list)
    fitted: list[Claim] = field(default_factory=list)
    unfitted: list[str] = field(default_factory=list)
    errors: list[OrbitloopError] = field(default_factory=list)

    async def moved(self, since: Position, wait: float) -> Moved:
        raise Away("not followed here")

    async def want(self, node: str, document: bytes) -> None:
        self._fail()
        self.wanted.append((node, document))

    async def offer(self, offer: Offered) -> None:
        self._fail()
        self.offers.append(offer)

    async def fit(self, claim: Claim) -> LogicOffered:
        self._fail()
        self.fitted.append(claim)
        return LogicOffered(source=claim.digest, digest=digest_of(claim.url.encode()), version=len(self.fitted))

    async def unfit(self, node: str) -> None:
        self._fail()
        self.unfitted.append(node)

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


@dataclass(kw_only=True)
class Scene:
    gateway: MemoryGateway = field(default_factory=MemoryGateway)
    store: Store = field(default_factory=Store)
    now: float = 0.0
    reports: int = 0

    def __post_init__(self) -> None:
        self.bridge = NodeBridge(
            Shores(
                gateway=self.gateway,
                view=self.store,
                is_complete=lambda: True,
                observed=self.observed,
                monotonic=lambda: self.now,
            )
        )

    def observed(self, document: Document) -> None:
        self.reports += 1
        assert self.store.put(document), "each report is newer than the one before"

    def heard(self, *nodes: NodeNews, ledger: str = "one", sequence: int = 1) -> None:
        self.bridge.take(Moved(position=Position(ledger=ledger, sequence=sequence), nodes=nodes))

    def tend(self, *, after_s: float = 0.0) -> None:
        self.now += after_s
        asyncio.run(self.bridge.tend())

    def logic(self, node: str = "sat-1") -> LogicReport | None:
        report = report_of(self.store, node)
        return None if report is None else report.logic()

    def satellite(self, node: str) -> Any:
        report = report_of(self.store, node)
        return None if report is None else report.satellite()


def a_document(kind: str, name: str, version: int = 1, **fields: Any) -> Document:
    group = "orbitloop.io" if kind in {"Satellite", "SelectionLogic"} else "sedna.io"
    metadata = {"name": name, "namespace": "default", "uid": f"{kind}/{name}", "resourceVersion": str(version)}
    return {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": metadata, **fields}


def a_dataset(name: str, node: str = "sat-1", version: int = 1) -> Document:
    return a_document("Dataset", name, version, spec={"url": f"/data/{name}.txt", "format": "txt", "nodeName": node})


def a_job(**status: Any) -> Document:
    said = {
        "stage": "Deploy",
        "state": "Running",
        "candidate": {"url": "/models/new.safetensors", "digest": MODEL},
        "satellites": [
            {"name": "one", "node": "sat-1", "offered": True},
            {"name": "two", "node": "sat-2", "offered": False},
        ],
    }
    return a_document("IncrementalLearningJob", "job", spec={}, status=said | status)


def news(node: str = "sat-1", **changes: Any) -> NodeNews:
    satellite = {"flying": FLYING, "queuedSamples": 0, "queuedBytes": 0, "samples": 3, "outcomes": {}}
    told: dict[str, Any] = {"node": node, "observed": {"satellite": satellite}, "flying": FLYING}
    return NodeNews(**(told | changes))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_nothing_is_left_before_the_gateway_has_said_what_it_holds(scene: Scene) -> None:
    scene.store.put(a_dataset("images"))
    scene.tend()
    assert scene.gateway.wanted == []
    scene.heard()
    scene.tend()
    assert [node for node, _ in scene.gateway.wanted] == ["sat-1"]


def test_what_is_wanted_is_left_once_and_again_only_when_it_changed(scene: Scene) -> None:
    scene.heard()
    for _ in range(3):
        scene.store.put(a_dataset("images"))
        scene.tend()
    assert scene.gateway.wanted == [("sat-1", encoded(desired_state("sat-1", scene.store)))]
    scene.store.put(a_dataset("more"))
    scene.tend()
    assert len(scene.gateway.wanted) == 2


def test_an_operator_that_was_restarted_leaves_only_what_the_gateway_does_not_hold(scene: Scene) -> None:
    for node in ("sat-1", "sat-2"):
        scene.store.put(a_dataset(f"of-{node}", node))
    held = digest_of(encoded(desired_state("sat-1", scene.store)))
    scene.heard(news("sat-1", wanted=held), news("sat-2", wanted=digest_of(b"old")))
    scene.tend()
    assert [node for node, _ in scene.gateway.wanted] == ["sat-2"]


def test_a_gateway_that_was_reinstalled_gets_all_again(scene: Scene) -> None:
    scene.store.put(a_dataset("images"))
    scene.store.put(a_job())
    scene.heard(news())
    scene.tend()
    scene.heard(ledger="another")
    scene.tend()
    assert [node for node, _ in scene.gateway.wanted] == ["sat-1", "sat-1"]
    assert [offer.node for offer in scene.gateway.offers] == ["sat-1", "sat-1"]


def test_a_node_whose_last_dataset_went_is_to_watch_nothing(scene: Scene) -> None:
    scene.heard(news(wanted=digest_of(b"old")))
    scene.tend()
    scene.tend()
    assert scene.gateway.wanted == [("sat-1", b'{"datasets":{},"node":"sat-1","version":1}')]


def test_a_node_of_which_nothing_was_ever_wanted_is_left_alone(scene: Scene) -> None:
    scene.heard(news())
    scene.tend()
    assert scene.gateway.wanted == []


@pytest.mark.parametrize("error", [BadInput("unknown node"), NotYet("full")], ids=["refused", "not now"])
def test_one_node_that_is_refused_does_not_keep_the_others_and_is_tried_again_later(
    scene: Scene, error: OrbitloopError
) -> None:
    for node in ("sat-1", "sat-2"):
        scene.store.put(a_dataset(f"of-{node}", node))
    scene.gateway.errors = [error]
    scene.heard()
    scene.tend()
    scene.tend()
    assert [node for node, _ in scene.gateway.wanted] == ["sat-2"]
    scene.tend(after_s=2)
    assert [node for node, _ in scene.gateway.wanted] == ["sat-2", "sat-1"]


def test_a_node_that_the_gateway_does_not_know_is_left_in_peace_until_it_is_heard(scene: Scene) -> None:
    scene.store.put(a_dataset("images", "edge-1"))
    scene.gateway.errors = [UnknownNode("no keys")]
    scene.heard()
    scene.tend()
    scene.tend(after_s=600)
    assert scene.gateway.wanted == []
    scene.heard(news("edge-1"), sequence=2)
    scene.tend()
    assert [node for node, _ in scene.gateway.wanted] == ["edge-1"]


def test_while_the_gateway_is_away_it_is_asked_for_nothing_further_and_gets_all_later(scene: Scene) -> None:
    for node in ("sat-1", "sat-2"):
        scene.store.put(a_dataset(f"of-{node}", node))
    scene.gateway.errors = [Away("no route"), Away("no route")]
    scene.heard()
    scene.tend()
    assert len(scene.gateway.errors) == 1
    scene.tend(after_s=2)
    scene.tend(after_s=5)
    assert sorted(node for node, _ in scene.gateway.wanted) == ["sat-1", "sat-2"]


def test_what_a_node_said_becomes_a_report_once(scene: Scene) -> None:
    scene.heard(news())
    scene.tend()
    scene.tend()
    assert scene.reports == 1
    assert scene.satellite("sat-1").samples == 3
    scene.heard(news(observed={"satellite": {"samples": 4}}), sequence=2)
    scene.tend()
    assert (scene.reports, scene.satellite("sat-1").samples) == (2, 4)


def test_what_came_down_counts_for_the_dataset_whose_index_it_is_in(scene: Scene) -> None:
    export = Export(path="/data/images.txt", lines=12, at="2026-01-01T00:00:00+00:00")
    scene.heard(news(observed={"datasets": {"default/images": {"error": "no such file"}}}, exports=(export,)))
    scene.tend()
    report = report_of(scene.store, "sat-1")
    assert report is not None
    before = report.dataset("default", "images")
    assert before is not None
    assert before.error == "no such file"
    scene.store.put(a_dataset("images"))
    scene.tend()
    counted = report_of(scene.store, "sat-1")
    assert counted is not None
    dataset = counted.dataset("default", "images")
    assert dataset is not None
    assert (dataset.number_of_samples, dataset.error) == (12, "")


def test_a_model_is_offered_to_the_satellites_that_the_job_names_once_for_what_each_flies(scene: Scene) -> None:
    scene.store.put(a_job())
    scene.heard(news("sat-1"), news("sat-2"))
    scene.tend()
    scene.tend()
    assert scene.gateway.offers == [Offered(node="sat-1", digest=MODEL, url="/models/new.safetensors")]
    scene.heard(news("sat-1", flying=digest_of(b"something else")), sequence=2)
    scene.tend()
    assert len(scene.gateway.offers) == 2, "a delta is made for what flies now"


def test_a_satellite_that_has_said_what_became_of_a_model_is_not_offered_it_again(scene: Scene) -> None:
    scene.store.put(a_job())
    scene.heard(news("sat-1", outcomes={MODEL: "rolled_back"}))
    scene.tend()
    assert scene.gateway.offers == []


def test_why_a_model_is_not_offered_is_in_the_report(scene: Scene) -> None:
    scene.store.put(a_job())
    scene.gateway.errors = [BadInput("no such file")]
    scene.heard(news())
    scene.tend()
    report = report_of(scene.store, "sat-1")
    assert report is not None
    assert report.observed["notOffered"] == {MODEL: "no such file"}
    scene.tend(after_s=2)
    again = report_of(scene.store, "sat-1")
    assert again is not None
    assert "notOffered" not in again.observed


@pytest.mark.parametrize(
    "status",
    [
        {"stage": "Eval"},
        {"state": "Waiting"},
        {"state": "Completed"},
        {"candidate": None},
        {"candidate": {"url": "/models/new", "digest": ""}},
        {"satellites": []},
        {"satellites": "nonsense"},
    ],
    ids=["another stage", "waiting", "done", "no model", "no digest", "no satellites", "malformed"],
)
def test_nothing_is_offered_unless_a_deployment_is_under_way(scene: Scene, status: dict[str, Any]) -> None:
    scene.store.put(a_job(**status))
    assert offered(scene.store) == ()


def test_what_is_no_longer_wanted_is_not_tried_for_ever(scene: Scene) -> None:
    scene.store.put(a_dataset("images"))
    scene.gateway.errors = [BadInput("unknown node")]
    scene.heard()
    scene.tend()
    scene.store.drop(Key.of(a_dataset("images")), "Dataset/images")
    scene.tend(after_s=5)
    assert scene.gateway.wanted == []
    assert scene.bridge.next_try() is None


LOGIC = digest_of(b"logic")
SATELLITE = a_document("Satellite", "one", spec={"nodeName": "sat-1"})


def a_logic(name: str = "ships", version: int = 1, digest: str = LOGIC, **metadata: str) -> Document:
    made = a_document(
        "SelectionLogic",
        name,
        version,
        spec={"satellites": ["one"], "url": f"/data/{name}.ols", "digest": digest},
    )
    return {**made, "metadata": {**made["metadata"], **metadata}}


def offers(source: str = LOGIC, version: int = 1, **more: Any) -> NodeNews:
    held = LogicOffered(source=source, digest=digest_of(b"signed"), version=version)  # type: ignore[arg-type]
    return news(selection=LogicReport(offered=held, **more))


def test_a_logic_is_left_once_and_the_cluster_knows_what_became_of_it(scene: Scene) -> None:
    scene.store.put(SATELLITE)
    scene.store.put(a_logic())
    scene.heard(news(selection=LogicReport(fetched=digest_of(b"before"))))
    for _ in range(3):
        scene.tend()
    assert [(claim.node, claim.url, claim.digest) for claim in scene.gateway.fitted] == [
        ("sat-1", "/data/ships.ols", LOGIC)
    ]
    report = scene.logic()
    assert report is not None
    assert report.offered is not None
    assert (report.fetched, report.offered.source, report.offered.version) == (digest_of(b"before"), LOGIC, 1)


def test_an_operator_that_was_restarted_leaves_no_logic_that_is_on_offer_and_withdraws_what_nobody_wants(
    scene: Scene,
) -> None:
    scene.store.put(SATELLITE)
    scene.store.put(a_logic())
    scene.heard(offers(), NodeNews(node="sat-9", observed={}, selection=offers().selection))
    scene.tend()
    assert (scene.gateway.fitted, scene.gateway.unfitted) == ([], ["sat-9"])
    scene.tend()
    assert scene.gateway.unfitted == ["sat-9"]


def test_a_logic_that_went_is_withdrawn_and_the_next_one_by_age_takes_its_place(scene: Scene) -> None:
    scene.store.put(SATELLITE)
    older, newer = a_logic("zebra", creationTimestamp="2026-01-01T00:00:00Z"), a_logic("ant", digest=digest_of(b"ant"))
    newer = {**newer, "metadata": {**newer["metadata"], "creationTimestamp": "2026-01-02T00:00:00Z"}}
    for each in (older, newer):
        scene.store.put(each)
    scene.heard(news(selection=LogicReport()))
    scene.tend()
    scene.store.drop(Key.of(older), older["metadata"]["uid"])
    scene.tend()
    assert [claim.logic.name for claim in scene.gateway.fitted] == ["zebra", "ant"]
    scene.store.drop(Key.of(newer), newer["metadata"]["uid"])
    scene.tend()
    assert scene.gateway.unfitted == ["sat-1"]


def test_one_that_the_satellite_would_not_take_any_more_is_left_again(scene: Scene) -> None:
    """It flies something else that is as new: the gateway counts on from there."""
    scene.store.put(SATELLITE)
    scene.store.put(a_logic())
    scene.heard(offers(version=3, on_board=LogicOnBoard(flying=digest_of(b"by hand"), version=2)))
    scene.tend()
    assert scene.gateway.fitted == [], "it is newer, and on its way"
    scene.heard(offers(version=3, on_board=LogicOnBoard(flying=digest_of(b"signed"), version=3)), sequence=2)
    scene.tend()
    assert scene.gateway.fitted == [], "it flies"
    scene.heard(offers(version=3, on_board=LogicOnBoard(flying=digest_of(b"by hand"), version=3)), sequence=3)
    scene.tend()
    assert len(scene.gateway.fitted) == 1


@pytest.mark.parametrize(
    ("error", "refused", "put_off"),
    [
        (BadInput("no such file"), {LOGIC: "no such file"}, ""),
        (UnknownNode("no keys"), {LOGIC: "no keys"}, ""),
        (NotYet("the disk is full"), {}, "the disk is full"),
        (Away("nobody answers"), {}, "nobody answers"),
    ],
    ids=["refused", "unknown", "not yet", "away"],
)
def test_what_keeps_a_logic_from_being_offered_is_said_even_of_a_node_that_was_never_heard(
    scene: Scene, error: OrbitloopError, refused: dict[str, str], put_off: str
) -> None:
    scene.heard()
    scene.tend()
    scene.store.put(SATELLITE)
    scene.tend()
    scene.store.put(a_logic())
    scene.gateway.errors.append(error)
    scene.tend()
    report = scene.logic()
    assert report is not None
    assert (report.refused, report.put_off) == (refused, put_off)
    scene.tend(after_s=4_000)
    assert (report := scene.logic()) is not None
    assert (report.refused, report.put_off, report.offered is not None) == ({}, "", True)


def test_of_a_gateway_that_knows_no_logics_nothing_is_said(scene: Scene) -> None:
    scene.heard(news())
    scene.tend()
    assert scene.logic() is None
