"""The bridge to nodes that the cluster does not reach: what is wanted of them, and what they said, by the gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import NotYet, OrbitloopError, Refused
from orbitloop.domain.units import Digest
from orbitloop_operators.handlers.changes import Document, Key, View
from orbitloop_operators.handlers.desired_state import desired_state, desired_states, encoded
from orbitloop_operators.handlers.logic_claims import Claim, claimed
from orbitloop_operators.handlers.node_reports import LogicOffered, LogicReport, report_document
from orbitloop_operators.handlers.offers import Offered, offered

_LOG = logging.getLogger(__name__)

_WAIT_S = 50.0
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 300.0
_LONGEST_AWAY_S = 15.0
_LISTING_S = 0.5
_GATHER_S = 0.5
"""Changes of so long are looked at together: a thousand jobs that move at once are one look."""
_UNKNOWN_S = 3_600.0
"""Rest for nodes that have no keys, as most nodes of a cluster; one that is heard is not among them any more."""
_KINDS = frozenset({"Dataset", "Satellite", "IncrementalLearningJob", "Model", "SelectionLogic"})


class Away(NotYet):
    """The gateway does not answer."""


class UnknownNode(Refused):
    """The gateway knows no such node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Samples of a satellite that lie on the ground: ``lines`` of the index at ``path``, counted ``at``."""

    path: str
    lines: int
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNews:
    """All that the gateway knows of a node.

    Args:
        observed: as a NodeReport has it, but for what came down as a dataset.
        wanted: digest of the desired state that the gateway holds for it.
        flying: digest of what it flies.
        outcomes: what became of models and updates, by digest.
        exports: where its samples were exported to.
        selection: where it is with selection logics; ``None``: the gateway knows none.
    """

    node: str
    observed: Mapping[str, Any]
    wanted: Digest | None = None
    flying: Digest | None = None
    outcomes: Mapping[Digest, str] = field(default_factory=dict)
    exports: tuple[Export, ...] = ()
    selection: LogicReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a ledger was followed; ``ledger`` is its name, empty before it is known."""

    ledger: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The nodes of which something moved, and how far the ledger is."""

    position: Position
    nodes: tuple[NodeNews, ...]


class Gateway(Protocol):
    """The gateway's API for operators. Every method raises :class:`Away`, ``NotYet`` or ``Refused``."""

    async def moved(self, since: Position, wait: float) -> Moved:
        """Nodes of which something moved, once anything has or ``wait`` seconds are over."""
        ...

    async def want(self, node: str, document: bytes) -> None:
        """Leave what is wanted of a node. Idempotent."""
        ...

    async def offer(self, offer: Offered) -> None:
        """Have a satellite offered a model, as an update of what it flies. Idempotent."""
        ...

    async def fit(self, claim: Claim) -> LogicOffered:
        """Have a satellite offered a selection logic; what is on offer then. Idempotent."""
        ...

    async def unfit(self, node: str) -> None:
        """Offer a satellite no selection logic any more. Idempotent."""
        ...


@dataclass(slots=True)
class _Rest:
    due: float
    length: float
    why: str
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shores:
    """What the bridge is between.

    Args:
        gateway: where nodes find what is wanted, and leave what they say.
        view: what the cluster wants.
        is_complete: whether the view holds all that there is; before, nothing is wanted of anybody.
        observed: takes the report of a node, as a document.
        monotonic: seconds of a clock that never goes back.
    """

    gateway: Gateway
    view: View
    is_complete: Callable[[], bool]
    observed: Callable[[Document], object]
    monotonic: Callable[[], float]


class NodeBridge:
    """Level-triggered on both sides: whatever was missed is made good at the next look, whoever was started anew."""

    def __init__(self, shores: Shores) -> None:
        self._gateway, self._view, self._monotonic = shores.gateway, shores.view, shores.monotonic
        self._observed, self._is_complete = shores.observed, shores.is_complete
        self._position = Position()
        self._news: dict[str, NodeNews] = {}
        self._told: dict[str, Mapping[str, Any]] = {}
        self._version = 0
        self._left: dict[str, Digest | None] = {}
        self._offered: set[tuple[Offered, Digest | None]] = set()
        self._fitted: dict[str, LogicOffered] = {}
        self._rests: dict[object, _Rest] = {}
        self._poked = asyncio.Event()

    def changed(self, document: Document) -> None:
        """An object of the cluster changed."""
        if document["kind"] in _KINDS:
            self._poked.set()

    def gone(self, key: Key) -> None:
        """An object of the cluster is no longer there."""
        if key.kind in _KINDS:
            self._poked.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._tend())

    async def _follow(self) -> None:
        rest, why = _FIRST_REST_S, ""
        while True:
            try:
                moved = await self._gateway.moved(self._position, _WAIT_S if self._position.ledger else 0.0)
            except OrbitloopError as error:
                if str(error) != why:  # the same again is no event
                    why = str(error)
                    _LOG.warning("gateway_not_followed", extra={"why": why})
                await asyncio.sleep(rest)
                rest = min(2 * rest, _LONGEST_AWAY_S)
                continue
            rest, why = _FIRST_REST_S, ""
            self.take(moved)

    def take(self, moved: Moved) -> None:
        """Note what the gateway said; one with a ledger made anew is left everything again."""
        if moved.position.ledger != self._position.ledger:
            for known in (self._left, self._offered, self._fitted, self._rests):
                known.clear()
            self._poked.set()
        self._position = moved.position
        for news in moved.nodes:
            if news.node not in self._news:
                self._rests.clear()  # it may have been unknown before
            self._news[news.node] = news
            self._left[news.node] = news.wanted
            self._holds(news.node, None if news.selection is None else news.selection.offered)
            self._poked.set()

    async def _tend(self) -> None:
        while not self._is_complete():
            await asyncio.sleep(_LISTING_S)
        while True:
            self._poked.clear()
            await self.tend()
            due = self.next_try()
            pause = None if due is None else max(0.0, due - self._monotonic())
            with suppress(TimeoutError):  # then something is to be tried again
                async with asyncio.timeout(pause):
                    await self._poked.wait()
            await asyncio.sleep(_GATHER_S)

    def next_try(self) -> float | None:
        """When something is to be tried again, by the monotonic clock."""
        return min((rest.due for rest in self._rests.values()), default=None)

    async def tend(self) -> None:
        """Tell the cluster what is known, and leave at the gateway what is wanted."""
        self._tell()
        if not self._position.ledger:
            return  # it has not answered yet
        try:
            await self._leave()
        except Away as error:
            self._put_off("gateway", error)
        # What is due still was not tried again: nobody wants it any more.
        now = self._monotonic()
        self._rests = {what: rest for what, rest in self._rests.items() if rest.due > now}
        self._tell()

    async def _leave(self) -> None:
        states = desired_states(self._view)
        for node, state in states.items():
            await self._want(node, encoded(state))
        for node in [node for node, digest in self._left.items() if digest is not None and node not in states]:
            await self._want(node, encoded(desired_state(node, self._view)))
        for offer in offered(self._view):
            await self._offer(offer)
        claims = claimed(self._view)
        for claim in claims.values():
            await self._fit(claim)
        for node in [node for node in self._fitted if node not in claims]:
            await self._unfit(node)

    async def _want(self, node: str, document: bytes) -> None:
        digest = digest_of(document)
        if self._left.get(node) == digest or self._is_resting((node, digest)):
            return
        try:
            await self._gateway.want(node, document)
        except Away:
            raise
        except OrbitloopError as error:
            self._put_off((node, digest), error)
            return
        self._left[node] = digest
        self._rests.pop((node, digest), None)
        _LOG.info("desired_state_left", extra={"node": node, "digest": digest})

    async def _offer(self, offer: Offered) -> None:
        news = self._news.get(offer.node)
        flying = None if news is None else news.flying
        if (news is not None and offer.digest in news.outcomes) or (offer, flying) in self._offered:
            return
        if self._is_resting((offer, flying)):
            return
        try:
            await self._gateway.offer(offer)
        except Away:
            raise
        except OrbitloopError as error:
            self._put_off((offer, flying), error)
            return
        self._offered.add((offer, flying))
        self._rests.pop((offer, flying), None)
        _LOG.info("model_offered", extra={"node": offer.node, "model": offer.digest, "base": flying})

    async def _fit(self, claim: Claim) -> None:
        held, news = self._fitted.get(claim.node), self._news.get(claim.node)
        said = None if news is None or news.selection is None else news.selection.on_board
        if held is not None and held.source == claim.digest and not held.is_outrun(said):
            return
        if self._is_resting((claim,)):
            return
        try:
            made = await self._gateway.fit(claim)
        except Away:
            raise
        except OrbitloopError as error:
            self._put_off((claim,), error)
            return
        self._holds(claim.node, made)
        self._rests.pop((claim,), None)
        fields = {"node": claim.node, "selection": made.digest, "version": made.version}
        _LOG.info("selection_left", extra=fields)

    async def _unfit(self, node: str) -> None:
        if self._is_resting((node, "selection")):
            return
        try:
            await self._gateway.unfit(node)
        except Away:
            raise
        except OrbitloopError as error:
            self._put_off((node, "selection"), error)
            return
        self._holds(node, None)
        self._rests.pop((node, "selection"), None)
        _LOG.info("selection_withdrawn", extra={"node": node})

    def _holds(self, node: str, logic: LogicOffered | None) -> None:
        """What the gateway offers a node of what the cluster wants flown."""
        if logic is None:
            self._fitted.pop(node, None)
        else:
            self._fitted[node] = logic

    def _is_resting(self, what: object) -> bool:
        rest = self._rests.get(what)
        return rest is not None and rest.due > self._monotonic()

    def _put_off(self, what: object, error: OrbitloopError) -> None:
        before = self._rests.get(what)
        length = _FIRST_REST_S if before is None else min(2 * before.length, _LONGEST_REST_S)
        if isinstance(error, UnknownNode):
            length = _UNKNOWN_S
        if before is None or before.why != str(error):
            _LOG.warning("gateway_refuses", extra={"why": str(error), "rest_s": length})
        self._rests[what] = _Rest(
            due=self._monotonic() + length, length=length, why=str(error), refused=isinstance(error, Refused)
        )

    def _tell(self) -> None:
        """Give the cluster the report of each node whose report is another than before."""
        indexes = self._indexes()
        claims = claimed(self._view)
        for node in dict.fromkeys((*self._news, *self._told, *claims)):
            news = self._news.get(node, NodeNews(node=node, observed={}))
            observed = _with_exports(news, indexes.get(node, [])) | self._with_complaints(news)
            observed |= self._with_logic(news, claims.get(node))
            if self._told.get(node, {} if node not in self._news else None) == observed:
                continue
            self._told[node] = observed
            self._version += 1
            self._observed(report_document(node, self._version, observed))

    def _indexes(self) -> dict[str, list[tuple[str, str]]]:
        """The Datasets of each node that is known, as name and URL of the index."""
        found: dict[str, list[tuple[str, str]]] = {}
        for dataset in self._view.all("sedna.io/v1alpha1", "Dataset") if self._news else ():
            spec, metadata = dataset.get("spec") or {}, dataset["metadata"]
            name = f"{metadata.get('namespace', '')}/{metadata['name']}"
            found.setdefault(str(spec.get("nodeName")), []).append((name, str(spec.get("url"))))
        return found

    def _with_complaints(self, news: NodeNews) -> dict[str, Any]:
        """Why models are not offered to it, by their digest."""
        why = {
            what[0].digest: rest.why
            for what, rest in self._rests.items()
            if isinstance(what, tuple) and isinstance(what[0], Offered) and what[0].node == news.node
        }
        return {"notOffered": why} if why else {}

    def _with_logic(self, news: NodeNews, claim: Claim | None) -> dict[str, Any]:
        """Where it is with selection logics, and what keeps the gateway from offering what it is to fly."""
        held = self._fitted.get(news.node)
        report = news.selection or LogicReport()
        report = report.model_copy(update={"offered": held})
        if claim is not None and (held is None or held.source != claim.digest):
            rest = self._rests.get((claim,)) or self._rests.get("gateway")
            if rest is not None:
                told = {"refused": {claim.digest: rest.why}} if rest.refused else {"put_off": rest.why}
                report = report.model_copy(update=told)
        if news.selection is None and report == LogicReport():
            return {}
        return {"selection": report.model_dump(mode="json", by_alias=True, exclude_none=True)}


def _with_exports(news: NodeNews, indexes: list[tuple[str, str]]) -> dict[str, Any]:
    """What came down and lies on the ground counts, where a Dataset of the node has its index there."""
    counted = {export.path: {"numberOfSamples": export.lines, "updateTime": export.at} for export in news.exports}
    mine = {name: counted[url] for name, url in indexes if url in counted}
    if not mine:
        return dict(news.observed)
    return {**news.observed, "datasets": {**(news.observed.get("datasets") or {}), **mine}}
