"""The conversation of a contact session as JSON over HTTP."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orbitloop.wire.messages import Goodbye, Hello, Telemetry, UpdateReport
from orbitloop.wire.node_messages import NodeEvents
from orbitloop_ground.http.bodies import read_message
from orbitloop_ground.http.identity import Identities
from orbitloop_ground.usecases.converse import Reception


class MessageRoutes:
    """``/v1/contacts``, ``/v1/reports``, ``/v1/telemetry``, ``/v1/events`` and ``/v1/goodbyes``.

    Args:
        silence: how long a message may take to arrive.
    """

    def __init__(self, reception: Reception, identities: Identities, *, silence: timedelta) -> None:
        self._reception = reception
        self._identities = identities
        self._silence = silence

    def router(self) -> APIRouter:
        """All of them, ready to be included."""
        router = APIRouter(prefix="/v1")
        router.add_api_route("/contacts", self.hello, methods=["POST"])
        router.add_api_route("/reports", self.report, methods=["POST"])
        router.add_api_route("/telemetry", self.telemetry, methods=["POST"])
        router.add_api_route("/events", self.events, methods=["POST"])
        router.add_api_route("/goodbyes", self.goodbye, methods=["POST"])
        return router

    async def hello(self, request: Request) -> Response:
        """A contact begins: answered with the time, and an update if one fits what flies."""
        sender = self._identities.of(request)
        hello = await read_message(request, Hello, within=self._silence)
        welcome = await run_in_threadpool(self._reception.hello, sender, hello)
        return JSONResponse(welcome.model_dump(mode="json"))

    async def report(self, request: Request) -> Response:
        """What became of an update; idempotent."""
        sender = self._identities.of(request)
        report = await read_message(request, UpdateReport, within=self._silence)
        await run_in_threadpool(self._reception.report, sender, report)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def telemetry(self, request: Request) -> Response:
        """Counters since launch."""
        sender = self._identities.of(request)
        telemetry = await read_message(request, Telemetry, within=self._silence)
        await run_in_threadpool(self._reception.telemetry, sender, telemetry)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def events(self, request: Request) -> Response:
        """What happened at a node; idempotent."""
        sender = self._identities.of(request)
        events = await read_message(request, NodeEvents, within=self._silence)
        await run_in_threadpool(self._reception.events, sender, events)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def goodbye(self, request: Request) -> Response:
        """A contact ends before the signal does; idempotent."""
        sender = self._identities.of(request)
        goodbye = await read_message(request, Goodbye, within=self._silence)
        await run_in_threadpool(self._reception.goodbye, sender, goodbye)
        return Response(status_code=HTTPStatus.NO_CONTENT)
