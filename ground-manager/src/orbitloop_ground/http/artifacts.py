"""Updates on their way up, by byte ranges."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from orbitloop.domain.units import Digest
from orbitloop.ports.updates import PublishedUpdate
from orbitloop_ground.http.identity import Identities


class ArtifactRoutes:
    """``/v1/artifacts/{digest}``: an update, for the satellite that it was published for.

    Args:
        find: a satellite's update whose file is whole; raises ``NotYet`` if it is not.
    """

    def __init__(self, find: Callable[[str, Digest], PublishedUpdate | None], identities: Identities) -> None:
        self._find = find
        self._identities = identities

    def router(self) -> APIRouter:
        """Ready to be included."""
        router = APIRouter(prefix="/v1/artifacts")
        router.add_api_route("/{digest}", self.artifact, methods=["GET", "HEAD"])
        return router

    async def artifact(self, request: Request, digest: str) -> Response:
        """The bytes, or the one range that was asked for; the strong ETag is the digest."""
        satellite = self._identities.of(request)
        update = await run_in_threadpool(self._find, satellite, Digest(digest))
        if update is None:
            raise HTTPException(404, f"no update {digest} was published for {satellite}")
        return _SmallRecords(update.path, media_type="application/octet-stream", headers={"ETag": f'"{update.digest}"'})


class _SmallRecords(FileResponse):
    """Each piece becomes one TLS record, of which nothing is received until all of it is: a cut costs no more."""

    chunk_size = 4 * 2**10
