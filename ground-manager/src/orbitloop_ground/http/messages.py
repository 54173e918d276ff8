"""Contacts, reports and telemetry: what a satellite says about itself, and the ground's answer."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Protocol

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orbitloop.ports.clock import Clock
from orbitloop.ports.updates import ContactLedger, PublishedUpdate, UpdateLedger
from orbitloop.wire.messages import Hello, Offer, Telemetry, UpdateReport, Welcome
from orbitloop_ground.http.bodies import read_message
from orbitloop_ground.http.identity import Identities

_log = logging.getLogger(__name__)


class MessageLedger(ContactLedger, UpdateLedger, Protocol):
    """What the messages are written to, and offers are read from."""


class MessageRoutes:
    """``/v1/contacts``, ``/v1/reports`` and ``/v1/telemetry``."""

    def __init__(self, ledger: MessageLedger, identities: Identities, clock: Clock) -> None:
        self._ledger = ledger
        self._identities = identities
        self._clock = clock

    def router(self) -> APIRouter:
        """All of them, ready to be included."""
        router = APIRouter(prefix="/v1")
        router.add_api_route("/contacts", self.hello, methods=["POST"])
        router.add_api_route("/reports", self.report, methods=["POST"])
        router.add_api_route("/telemetry", self.telemetry, methods=["POST"])
        return router

    async def hello(self, request: Request) -> Response:
        """A contact begins: answered with the time, and an update if one fits what flies."""
        self._identities.of(request)
        hello = await read_message(request, Hello)
        self._identities.demand(request, hello.satellite)
        now = self._clock.now()
        await run_in_threadpool(self._ledger.record_hello, hello, now)
        update = await run_in_threadpool(self._ledger.offer_for, hello.satellite, hello.flying)
        offer = None if update is None else _offer(update)
        _log.info("contact", extra={"satellite": hello.satellite, "offers": update is not None})
        return JSONResponse(Welcome(clock=now, offer=offer).model_dump(mode="json"))

    async def report(self, request: Request) -> Response:
        """What became of an update; idempotent."""
        self._identities.of(request)
        report = await read_message(request, UpdateReport)
        self._identities.demand(request, report.satellite)
        await run_in_threadpool(self._ledger.record_report, report, self._clock.now())
        _log.info("update_report", extra={"satellite": report.satellite, "outcome": str(report.outcome)})
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def telemetry(self, request: Request) -> Response:
        """Counters since launch."""
        self._identities.of(request)
        message = await read_message(request, Telemetry)
        self._identities.demand(request, message.satellite)
        await run_in_threadpool(self._ledger.record_telemetry, message, self._clock.now())
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _offer(update: PublishedUpdate) -> Offer:
    return Offer(digest=update.digest, size=update.size, base=update.base, result=update.result)
