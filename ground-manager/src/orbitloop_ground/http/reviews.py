"""For people who look at labels: a page, and the API that it uses. Plain HTTP, with a bearer token of one's own.

The token is shown in a header, never in a cookie: a browser shows it for nobody else's page.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.ports.reviews import Review
from orbitloop.wire.messages import DigestText
from orbitloop_ground import web
from orbitloop_ground.http.bodies import read_message
from orbitloop_ground.usecases.reviews import Reviewing

_log = logging.getLogger(__name__)

MOST_LISTED = 500
_LISTED = 200
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_KINDS = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
_digest: TypeAdapter[Digest] = TypeAdapter(DigestText)

WhoIs = Callable[[str], str | None]
"""Whose token a header ``Authorization`` shows."""


class ReviewedObject(BaseModel):
    """One object: ``x0, y0, x1, y1`` in pixels of the tile, and its class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: tuple[float, float, float, float]
    label: Annotated[int, Field(ge=0, lt=2**16)]


class ReviewVerdict(BaseModel):
    """A verdict: the objects of a tile, or ``None`` to reject it; ``after`` so many verdicts of people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: Annotated[int, Field(ge=0)]
    objects: Annotated[tuple[ReviewedObject, ...], Field(max_length=1_000)] | None

    def truth(self) -> Truth | None:
        """The objects; ``None`` for a tile that is rejected."""
        if self.objects is None:
            return None
        boxes = np.array([found.box for found in self.objects], np.float32).reshape(-1, 4)
        return Truth(boxes=boxes, labels=np.array([found.label for found in self.objects], np.int64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReviewRoutes:
    """``/reviews`` and ``/v1/reviews``: see docs/reference/reviews.md.

    Args:
        who_is: ``None``: nobody is named, and nobody is let in.
        silence: how long a verdict may take to arrive.
    """

    reviewing: Reviewing
    who_is: WhoIs | None
    silence: timedelta

    def routes(self) -> list[Route]:
        """All of them."""
        prefix = "/v1/reviews"
        return [
            Route("/reviews", self._shown("reviews.html")),
            *(Route(f"/reviews/{name}", self._shown(name)) for name in web.BESIDE_REVIEWS),
            Route(prefix, self._guarded(self.listed), methods=["GET"]),
            Route(prefix + "/{sample}", self._guarded(self.one), methods=["GET"]),
            Route(prefix + "/{sample}/picture", self._guarded(self.picture), methods=["GET"]),
            Route(prefix + "/{sample}/verdict", self._guarded(self.decided), methods=["PUT"]),
        ]

    async def listed(self, request: Request, who: str) -> Response:
        """What waits, in the order in which it came."""
        limit = _limit(request)
        return JSONResponse(await run_in_threadpool(self._list, limit, who))

    def _list(self, limit: int, who: str) -> dict[str, Any]:
        waiting, decided = self.reviewing.queue.count_reviews()
        told = [self._told(review) for review in self.reviewing.queue.pending(limit)]
        return {"who": who, "pending": waiting, "decided": decided, "reviews": told}

    async def one(self, request: Request, _: str) -> Response:
        """One tile, decided or not."""
        sample = _sample(request)
        return JSONResponse(await run_in_threadpool(lambda: self._told(self.reviewing.demand(sample))))

    async def picture(self, request: Request, _: str) -> Response:
        """A tile's pixels."""
        sample = _sample(request)
        png = await run_in_threadpool(lambda: self.reviewing.picture(self.reviewing.demand(sample)))
        return Response(png, media_type="image/png")

    async def decided(self, request: Request, who: str) -> Response:
        """Somebody's verdict; idempotent."""
        sample = _sample(request)
        said = await read_message(request, ReviewVerdict, within=self.silence)
        decide = self.reviewing.decide
        review = await run_in_threadpool(lambda: decide(sample, said.truth(), who, said.after))
        _log.info("tile_reviewed", extra={"sample": sample, "who": who, "rejected": said.objects is None})
        return JSONResponse(await run_in_threadpool(self._told, review))

    def _told(self, review: Review) -> dict[str, Any]:
        proposal, window = review.proposal, review.window
        columns = (proposal.boxes, proposal.labels, proposal.confidence, proposal.doubtful)
        names = ("box", "label", "confidence", "doubtful")
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return {
            "sample": review.sample,
            "frame": review.frame,
            "window": {name: getattr(window, name) for name in ("x0", "y0", "width", "height")},
            "classes": self.reviewing.names(review),
            "boxes": [dict(zip(names, row, strict=True)) for row in rows],
            "revision": review.revision,
            "verdict": _verdict(review),
        }

    def _shown(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        async def shown(request: Request) -> Response:
            self._demand_reviewers(request)
            headers = _HEADERS | {"Cache-Control": "no-cache"}
            content = await run_in_threadpool(web.asset, name)
            return Response(content, media_type=_KINDS[name.rpartition(".")[2]], headers=headers)

        return shown

    def _guarded(
        self, endpoint: Callable[[Request, str], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            who_is = self._demand_reviewers(request)
            who = await run_in_threadpool(who_is, request.headers.get("Authorization", ""))
            if who is None:
                challenge = {"WWW-Authenticate": 'Bearer realm="orbitloop reviews"'}
                raise HTTPException(
                    HTTPStatus.UNAUTHORIZED, "no token, or none of those in reviewers; send yours as Bearer", challenge
                )
            answer = await endpoint(request, who)
            answer.headers.update(_HEADERS | {"Cache-Control": "no-store"})
            return answer

        return guarded

    def _demand_reviewers(self, request: Request) -> WhoIs:
        if self.who_is is None:
            remedy = "write names and tokens into a file, and name it by the setting reviewers"
            _log.warning("reviewer_not_let_in", extra={"path": request.url.path, "what_to_do": remedy})
            raise HTTPException(HTTPStatus.NOT_FOUND, "nothing here")
        return self.who_is


def _verdict(review: Review) -> dict[str, Any] | None:
    said = review.verdict
    if said is None:
        return None
    objects = None
    if said.truth is not None:
        rows = zip(said.truth.boxes.tolist(), said.truth.labels.tolist(), strict=True)
        objects = [{"box": box, "label": label} for box, label in rows]
    return {"who": said.who, "at": said.at.isoformat(), "objects": objects}


def _sample(request: Request) -> Digest:
    try:
        return _digest.validate_python(request.path_params["sample"])
    except ValidationError:
        raise BadInput(f"{request.url.path}: name the sample by its id, sha256:…") from None


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_LISTED))
    if not text.isdecimal() or not 1 <= int(text) <= MOST_LISTED:
        raise BadInput(f"limit={text}: write a number from 1 to {MOST_LISTED}")
    return int(text)
