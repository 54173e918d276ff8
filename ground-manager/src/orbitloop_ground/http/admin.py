"""For those who run the ground: whether it lives, its metrics, its nodes. Plain HTTP, for the cluster alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def admin(metrics: Callable[[], tuple[bytes, str]], further: Sequence[Route] = ()) -> Starlette:
    """``/healthz``, ``/metrics`` and ``further`` routes; ``metrics`` gives the text and its media type."""

    async def healthy(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def measured(_: Request) -> Response:
        text, kind = await run_in_threadpool(metrics)
        return Response(text, media_type=kind)

    return Starlette(routes=[Route("/healthz", healthy), Route("/metrics", measured), *further])
