"""Updates and desired states on their way up, by byte ranges."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from orbitloop.domain.units import Digest
from orbitloop.ports.node_ledger import Artifact
from orbitloop_ground.http.identity import Identities


class ArtifactRoutes:
    """``/v1/artifacts/{digest}``: an artifact, for the satellite that it was published for.

    Args:
        find: what a satellite may fetch, its file whole; raises ``NotYet`` if it is not.
    """

    def __init__(self, find: Callable[[str, Digest], Artifact | None], identities: Identities) -> None:
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
        found = await run_in_threadpool(self._find, satellite, Digest(digest))
        if found is None:
            raise HTTPException(404, f"no artifact {digest} was published for {satellite}")
        return _SmallRecords(found.path, media_type="application/octet-stream", headers={"ETag": f'"{found.digest}"'})


class _SmallRecords(FileResponse):
    """Each piece becomes one TLS record, of which nothing is received until all of it is: a cut costs no more."""

    chunk_size = 4 * 2**10
