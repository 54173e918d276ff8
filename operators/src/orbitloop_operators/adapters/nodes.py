"""The gateway's API for operators over HTTP; see docs/reference/operator-api.md."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from orbitloop.domain.errors import BadInput, NotYet, Refused, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.wire.complaints import first_complaint
from orbitloop_operators.handlers.logic_claims import Claim
from orbitloop_operators.handlers.node_reports import LogicOffered, LogicReport
from orbitloop_operators.handlers.offers import Offered
from orbitloop_operators.usecases.bridge import Away, Export, Moved, NodeNews, Position, UnknownNode

_CONNECT_S, _ANSWER_S, _UPDATE_S = 5.0, 20.0, 300.0
_NOT_FOUND = 404
_OWN = "node"
"""Subjects of the node itself; all others are by kind: ``datasets``, ``workers``, ``models``."""

Given = TypeVar("Given")


class _Said(BaseModel):
    """Tolerant: the gateway may be of a later version."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class _Event(_Said):
    subject: str
    value: dict[str, Any]


class _Export(_Said):
    path: str
    lines: Annotated[int, Field(ge=0)]
    at: str


class _Node(_Said):
    node: str
    last_contact: str | None = None
    flying: Digest | None = None
    model: Digest | None = None
    queued_samples: int = 0
    queued_bytes: int = 0
    samples: int = 0
    drift: float | None = None
    wanted: Digest | None = None
    selection: LogicReport | None = None
    outcomes: dict[Digest, str] = Field(default_factory=dict)
    events: tuple[_Event, ...] = ()
    exports: tuple[_Export, ...] = ()

    def news(self) -> NodeNews:
        """The same, as the bridge takes it."""
        return NodeNews(
            node=self.node,
            observed=self._observed(),
            wanted=self.wanted,
            flying=self.flying,
            outcomes=self.outcomes,
            exports=tuple(Export(path=each.path, lines=each.lines, at=each.at) for each in self.exports),
            selection=self.selection,
        )

    def _observed(self) -> dict[str, Any]:
        observed: dict[str, Any] = {}
        if self.last_contact is not None:
            observed["lastContact"] = self.last_contact
        for event in self.events:
            kind, _, name = event.subject.partition("/")
            if event.value:  # without a value, nothing is known of it any more
                observed.setdefault(kind if kind == _OWN else f"{kind}s", {})[name] = event.value
        if self.flying is not None:
            observed["satellite"] = {
                "flying": self.model or self.flying,  # in the cluster a model goes by its file's digest
                "queuedSamples": self.queued_samples,
                "queuedBytes": self.queued_bytes,
                "samples": self.samples,
                "drift": self.drift,
                "outcomes": self.outcomes,
            }
        return observed


class _Moved(_Said):
    ledger: str
    sequence: int
    nodes: tuple[_Node, ...]


class HttpGateway:
    """The :class:`~orbitloop_operators.usecases.bridge.Gateway` at ``url``.

    Args:
        url: of its admin port, ``http://host:port``.
        token: file with what it demands, read at each request.

    Raises:
        BadInput: it is no such URL.
    """

    def __init__(self, url: str, token: Path) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise BadInput(f"gateway {url!r}: write http://host:port, of the gateway's admin port")
        self._url = url.rstrip("/")
        self._token = token
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=4, retries=False)

    async def moved(self, since: Position, wait: float) -> Moved:
        """Nodes of which something moved, once anything has or ``wait`` seconds are over."""
        query = urlencode({"after": since.sequence, "ledger": since.ledger, "wait": wait})
        body = await _unhurried(lambda: self._ask("GET", f"/v1/operator/nodes?{query}", patience=wait + _ANSWER_S))
        try:
            said = _Moved.model_validate_json(body)
        except ValidationError as error:
            raise BadInput(f"gateway {self._url}: an answer that cannot be read: {first_complaint(error)}") from None
        position = Position(ledger=said.ledger, sequence=said.sequence)
        return Moved(position=position, nodes=tuple(node.news() for node in said.nodes))

    async def want(self, node: str, document: bytes) -> None:
        """Leave what is wanted of a node."""
        await _unhurried(lambda: self._ask("PUT", f"/v1/operator/nodes/{quote(node, safe='')}/desired", document))

    async def offer(self, offer: Offered) -> None:
        """Have a satellite offered the model whose file the gateway finds at the offer's URL."""
        path = f"/v1/operator/nodes/{quote(offer.node, safe='')}/updates/{quote(offer.digest, safe='')}"
        body = json.dumps({"path": offer.url}).encode()
        await _unhurried(lambda: self._ask("PUT", path, body, patience=_UPDATE_S))

    async def fit(self, claim: Claim) -> LogicOffered:
        """Have a satellite offered the selection logic whose file the gateway finds at the claim's URL."""
        body = json.dumps({"path": claim.url, "digest": claim.digest}).encode()
        answer = await _unhurried(lambda: self._ask("PUT", _selection(claim.node), body, patience=_UPDATE_S))
        try:
            return LogicOffered.model_validate_json(answer)
        except ValidationError as error:
            raise BadInput(f"gateway {self._url}: an answer that cannot be read: {first_complaint(error)}") from None

    async def unfit(self, node: str) -> None:
        """Offer a satellite no selection logic any more."""
        await _unhurried(lambda: self._ask("DELETE", _selection(node)))

    def close(self) -> None:
        """Let go of its connections."""
        self._pool.clear()

    def _ask(self, method: str, path: str, body: bytes | None = None, *, patience: float = _ANSWER_S) -> bytes:
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=patience)
        headers = {"Authorization": f"Bearer {self._secret()}", "Content-Type": "application/json"}
        try:
            answer = self._pool.request(method, self._url + path, body=body, headers=headers, timeout=timeout)
        except urllib3.exceptions.HTTPError as error:
            raise Away(
                f"gateway {self._url}: {type(error).__name__}; is it running, and reachable from here?"
            ) from error
        if answer.status // 100 != 2:
            raise _fault(f"gateway {self._url}", answer.status, answer.data)
        return bytes(answer.data)

    def _secret(self) -> str:
        try:
            return self._token.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{self._token}: the gateway's token cannot be read ({error})") from error


def _selection(node: str) -> str:
    return f"/v1/operator/nodes/{quote(node, safe='')}/selection"


def _fault(gateway: str, status: int, body: bytes) -> NotYet | Refused:
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    detail = said.get("detail") if isinstance(said, Mapping) else None
    message = f"{gateway}: {status} {detail or body[:200].decode(errors='replace')}"
    if status in (429, 500, 502, 504):
        return Away(message)
    if status in (503, 507):
        return NotYet(message)
    if status in (401, 403):
        return Untrusted(message)
    return UnknownNode(message) if status == _NOT_FOUND else BadInput(message)


async def _unhurried(ask: Callable[[], Given]) -> Given:
    """The answer of a blocking call, in a thread that nobody waits for when the process is told to end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Given] = loop.create_future()

    def settle(result: Given | None, error: BaseException | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # there is one where there is no error

    def work() -> None:
        result, failure = None, None
        try:
            result = ask()
        except BaseException as error:  # noqa: BLE001  # whoever awaits is told
            failure = error
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody awaits
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="gateway", daemon=True).start()
    return await answer
