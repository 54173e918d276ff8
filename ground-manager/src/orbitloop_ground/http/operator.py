"""For those who look after nodes: what is wanted of each, and what each said. Plain HTTP, with a bearer token."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.ports.node_ledger import NodeReport
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import MOST_DESIRED, DigestText, LogicOnBoard
from orbitloop_ground.usecases.deploy import Deployed
from orbitloop_ground.usecases.nodes import Nodes, TooLarge
from orbitloop_ground.usecases.selections import OfferSelections, OnOffer

_log = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0
_LOOK_S = 0.25
"""Between two looks at the ledger, to which other processes write too."""

_MOST_MODEL = 64 * 2**20
_MOST_NAMED = 16 * 2**10
_digest: TypeAdapter[Digest] = TypeAdapter(DigestText)

Deploy = Callable[[str, Digest, Callable[[], bytes]], Deployed]
"""Offers a node the model file of that digest, whose bytes the callable gives."""


class _ModelFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str


class _LogicFile(_ModelFile):
    digest: DigestText


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploying:
    """How model files are brought to nodes: ``deploy`` offers one, ``read`` gives the bytes of one on this machine."""

    deploy: Deploy
    read: Callable[[Path], bytes]


Endpoint = Callable[[Request], Awaitable[Response]]


class OperatorRoutes:
    """``/v1/operator``: see docs/reference/operator-api.md.

    Args:
        nodes: what is done.
        deploying: how model files are brought to nodes.
        selections: offers selection logics to nodes.
        on_offer: what a node is offered of them at the operators' behest.
        is_shown: whether a header ``Authorization`` shows the token; ``None``: there is none, and nobody is let in.
    """

    def __init__(
        self,
        nodes: Nodes,
        deploying: Deploying,
        selections: OfferSelections,
        on_offer: Callable[[str], OnOffer | None],
        is_shown: Callable[[str], bool] | None,
    ) -> None:
        self._nodes = nodes
        self._deploying = deploying
        self._selections = selections
        self._on_offer = on_offer
        self._is_shown = is_shown

    def routes(self) -> list[Route]:
        """All of them."""
        prefix = "/v1/operator/nodes"
        return [
            Route(prefix, self._guarded(self.followed), methods=["GET"]),
            Route(prefix + "/{node}/desired", self._guarded(self.wanted), methods=["PUT"]),
            Route(prefix + "/{node}/updates/{digest}", self._guarded(self.deployed), methods=["PUT"]),
            Route(prefix + "/{node}/selection", self._guarded(self.fitted), methods=["PUT"]),
            Route(prefix + "/{node}/selection", self._guarded(self.unfitted), methods=["DELETE"]),
        ]

    async def wanted(self, request: Request) -> Response:
        """Set the desired state of a node; idempotent."""
        node = request.path_params["node"]
        document = await run_in_threadpool(self._nodes.want, node, await _body(request, MOST_DESIRED))
        return JSONResponse({"digest": document.digest, "size": len(document.content)})

    async def deployed(self, request: Request) -> Response:
        """Offer a node a model file, as an update of what flies there; idempotent."""
        node = request.path_params["node"]
        await run_in_threadpool(self._nodes.demand, node)
        try:
            model = _digest.validate_python(request.path_params["digest"])
        except ValidationError as error:
            raise BadInput(f"{request.url.path}: {first_complaint(error)}; name the model file's sha256") from None
        data = await self._model_file(request)
        made = await run_in_threadpool(self._deploying.deploy, node, model, data)
        built = made.built
        return JSONResponse({"update": built.update, "size": made.size, "base": built.base, "result": built.result})

    async def _model_file(self, request: Request) -> Callable[[], bytes]:
        """What gives the file's bytes: those of the body, or of the file that it names."""
        body = await _body(request, _MOST_MODEL)
        if request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            if len(body) > _MOST_MODEL:
                raise TooLarge(f"a model file of more than {_MOST_MODEL} bytes; put it on the ground's storage")
            return lambda: body
        try:
            path = _absolute(_ModelFile.model_validate_json(body).path)
        except ValidationError as error:
            raise BadInput(f"model file: {first_complaint(error)}; write its path, or send its bytes") from None
        return lambda: self._deploying.read(path)

    async def fitted(self, request: Request) -> Response:
        """Sign a selection logic for a node, and offer it; idempotent."""
        node = request.path_params["node"]
        await run_in_threadpool(self._nodes.demand, node)
        try:
            told = _LogicFile.model_validate_json(await _body(request, _MOST_NAMED))
        except ValidationError as error:
            raise BadInput(f"selection logic: {first_complaint(error)}; write its path and its digest") from None
        offered = await run_in_threadpool(self._selections.offer, node, _absolute(told.path), told.digest)
        return JSONResponse(asdict(offered))

    async def unfitted(self, request: Request) -> Response:
        """Offer a node no selection logic any more; idempotent."""
        withdrawn = await run_in_threadpool(self._selections.withdraw, request.path_params["node"])
        return JSONResponse({"withdrawn": withdrawn})

    async def followed(self, request: Request) -> Response:
        """Every node of which something moved; at once if there is any, else once there is or the wait is over."""
        after, wait = int(_number(request, "after", 2**62)), _number(request, "wait", LONGEST_WAIT_S)
        ledger = request.query_params.get("ledger", "")
        ends = time.monotonic() + wait
        while True:
            bearings = await run_in_threadpool(self._nodes.bearings)
            # Positions in a ledger that was made anew since say nothing here.
            strange = ledger not in ("", bearings.ledger) or after > bearings.sequence
            left = ends - time.monotonic()
            if strange or after < bearings.sequence or left <= 0 or await request.is_disconnected():
                break
            await anyio.sleep(min(_LOOK_S, left))
        nodes = await run_in_threadpool(self._moved, 0 if strange else after)
        return JSONResponse({"ledger": bearings.ledger, "sequence": bearings.sequence, "nodes": nodes})

    def _moved(self, after: int) -> list[dict[str, Any]]:
        return [_told(report, self._on_offer(report.node)) for report in self._nodes.moved(after)]

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            if self._is_shown is None:
                remedy = "write a token into a file, and name it by the setting operator_token"
                _log.warning("operator_not_let_in", extra={"path": request.url.path, "what_to_do": remedy})
                raise HTTPException(HTTPStatus.NOT_FOUND, "nothing here")
            if not await run_in_threadpool(self._is_shown, request.headers.get("Authorization", "")):
                challenge = {"WWW-Authenticate": 'Bearer realm="orbitloop"'}
                raise HTTPException(
                    HTTPStatus.UNAUTHORIZED, "no token, or not the one in operator_token; send it as Bearer", challenge
                )
            return await endpoint(request)

        return guarded


def _number(request: Request, name: str, most: float) -> float:
    text = request.query_params.get(name, "0")
    try:
        number = int(text) if name == "after" else float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise BadInput(f"{name}={text}: write a number from 0 to {most:g}")
    return number


async def _body(request: Request, most: int) -> bytes:
    """The request's body; one byte more than ``most`` where it is longer, which is read no further."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            break
    return bytes(body[: most + 1])


def _absolute(text: str) -> Path:
    path = Path(text.removeprefix("file://"))
    if not path.is_absolute():
        raise BadInput(f"file {str(path)!r}: no absolute path on the ground's storage; write one")
    return path


def _told(report: NodeReport, on_offer: OnOffer | None) -> dict[str, Any]:
    return {
        "node": report.node,
        "sequence": report.sequence,
        "lastContact": None if report.last_contact is None else report.last_contact.isoformat(),
        "flying": report.flying,
        "model": report.model,
        "queuedSamples": report.queued_samples,
        "queuedBytes": report.queued_bytes,
        "samples": report.samples,
        "waiting": report.waiting,
        "drift": report.drift,
        "wanted": report.wanted,
        "taken": report.taken,
        "selection": {
            "fetched": report.fetched,
            "onBoard": None if report.logic is None else _on_board(report.logic),
            "offered": None if on_offer is None else asdict(on_offer),
        },
        "outcomes": {digest: str(outcome) for digest, outcome in report.outcomes.items()},
        "events": [
            {"subject": event.subject, "sequence": event.sequence, "at": event.at.isoformat(), "value": event.value}
            for event in report.events.values()
        ],
        "exports": [
            {"path": export.path, "lines": export.lines, "at": export.at.isoformat()} for export in report.exports
        ],
    }


def _on_board(logic: LogicOnBoard) -> dict[str, Any]:
    return {
        "flying": logic.flying,
        "version": logic.flying_version,
        "application": logic.application,
        "refused": logic.refused,
        "reason": logic.reason,
    }
