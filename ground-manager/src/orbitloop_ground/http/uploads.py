"""Bundles by resumable upload: tus 1.0.0 (https://tus.io), core protocol, creation and termination."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from http import HTTPStatus

from fastapi import APIRouter, Depends
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from orbitloop.domain.ranges import Span
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.uploads import Upload
from orbitloop.wire.messages import DigestText
from orbitloop_ground.http.identity import Identities
from orbitloop_ground.http.turns import Turn, Turns
from orbitloop_ground.usecases.receive import Receiver

TUS_VERSION = "1.0.0"
_BODY = "application/offset+octet-stream"
_PIECE = 256 * 2**10
"""Bytes gathered before they are written: few enough to lose little, many enough to be quick."""
_LONGEST_NUMBER = 15
_MISSING = "Orbitloop-Missing"
"""Names the first and the last byte of each gap, as HTTP does in ranges: ``100-199,500-899``."""
_MOST_GAPS = 64
_digest: TypeAdapter[Digest] = TypeAdapter(DigestText)


class BundleRoutes:
    """The routes under ``/v1/bundles``.

    Args:
        silence: how long a body may pause before the connection is given up.
    """

    def __init__(self, receiver: Receiver, identities: Identities, *, silence: timedelta) -> None:
        self._receiver = receiver
        self._identities = identities
        self._silence = silence.total_seconds()
        self._turns = Turns()

    def router(self) -> APIRouter:
        """All of them, ready to be included."""
        router = APIRouter(prefix="/v1/bundles")
        spoken = [Depends(_speaks_tus)]
        router.add_api_route("", self.options, methods=["OPTIONS"])
        router.add_api_route("", self.create, methods=["POST"], dependencies=spoken)
        router.add_api_route("/{bundle}", self.head, methods=["HEAD"], dependencies=spoken)
        router.add_api_route("/{bundle}", self.patch, methods=["PATCH"], dependencies=spoken)
        router.add_api_route("/{bundle}", self.delete, methods=["DELETE"], dependencies=spoken)
        router.add_api_route("/{bundle}", self.overridden, methods=["POST"], dependencies=spoken)
        router.add_api_route("/{bundle}", self.options, methods=["OPTIONS"])
        router.add_api_route("/{bundle}/receipt", self.receipt, methods=["GET"])
        return router

    async def options(self) -> Response:
        """What this server can do."""
        return _tus(
            HTTPStatus.NO_CONTENT,
            {
                "Tus-Version": TUS_VERSION,
                "Tus-Extension": "creation,termination",
                "Tus-Max-Size": str(self._receiver.largest),
            },
        )

    async def create(self, request: Request) -> Response:
        """Announce a bundle: the same one has the same place, however often it is announced."""
        satellite = self._identities.of(request)
        size = _number(request, "Upload-Length")
        if size > self._receiver.largest:
            raise HTTPException(
                413, f"a bundle of {size} bytes; the largest that is taken has {self._receiver.largest}"
            )
        digest = _announced(request.headers.get("Upload-Metadata", ""))
        async with self._turns.take(satellite, digest):
            upload = await run_in_threadpool(self._receiver.begin, satellite, digest, Bytes(size))
        where = {"Location": f"{request.url.path.rstrip('/')}/{digest}"}
        return _tus(HTTPStatus.CREATED, where | _progress(upload))

    async def head(self, request: Request, bundle: str) -> Response:
        """How much of a bundle is here, durably."""
        satellite = self._identities.of(request)
        async with self._turns.take(satellite, bundle):
            upload = await self._standing(satellite, bundle)
        metadata = f"digest {base64.b64encode(bundle.encode()).decode()}"
        return _tus(HTTPStatus.OK, _progress(upload) | {"Cache-Control": "no-store", "Upload-Metadata": metadata})

    async def patch(self, request: Request, bundle: str) -> Response:
        """Take in the next bytes; with the last one, the bundle itself."""
        satellite = self._identities.of(request)
        if request.headers.get("Content-Type") != _BODY:
            raise HTTPException(415, f"the content type of a piece of a bundle is {_BODY}")
        offset = _number(request, "Upload-Offset")
        async with self._turns.take(satellite, bundle) as turn:
            upload = await self._standing(satellite, bundle)
            if offset != upload.offset:
                raise HTTPException(
                    409, f"{upload.offset} bytes are here, not {offset}; go on there", _progress(upload)
                )
            await self._take_in(request, upload, turn)
            upload = await self._standing(satellite, bundle)
            if upload.complete:
                await run_in_threadpool(self._receiver.receipt, satellite, upload.digest)
        return _tus(HTTPStatus.NO_CONTENT, _progress(upload))

    async def delete(self, request: Request, bundle: str) -> Response:
        """Give an unfinished bundle up."""
        satellite = self._identities.of(request)
        async with self._turns.take(satellite, bundle):
            upload = await self._standing(satellite, bundle)
            await run_in_threadpool(self._receiver.withdraw, upload)
        return _tus(HTTPStatus.NO_CONTENT, {})

    async def overridden(self, request: Request, bundle: str) -> Response:
        """For clients whose network lets only GET and POST through."""
        match request.headers.get("X-HTTP-Method-Override"):
            case "PATCH":
                return await self.patch(request, bundle)
            case "DELETE":
                return await self.delete(request, bundle)
            case "HEAD":
                return await self.head(request, bundle)
            case _:
                raise HTTPException(405, "POST creates a bundle at /v1/bundles")

    async def receipt(self, request: Request, bundle: str) -> Response:
        """The ground's word that it holds a bundle durably."""
        satellite = self._identities.of(request)
        async with self._turns.take(satellite, bundle):
            receipt = await run_in_threadpool(self._receiver.receipt, satellite, _checked(bundle))
        if receipt is None:
            raise HTTPException(404, f"the ground does not hold bundle {bundle} of {satellite}")
        return JSONResponse(receipt.model_dump(mode="json"))

    async def _standing(self, satellite: str, bundle: str) -> Upload:
        upload = await run_in_threadpool(self._receiver.standing, satellite, _checked(bundle))
        if upload is None:
            raise HTTPException(404, f"bundle {bundle} of {satellite} was not announced; POST it to /v1/bundles")
        return upload

    async def _take_in(self, request: Request, upload: Upload, turn: Turn) -> None:
        """Write the body from the first gap on; what it repeats of the bytes behind that gap does no harm."""
        position = upload.offset
        if _number(request, "Content-Length", default=0) > upload.size - position:
            raise HTTPException(
                413, f"bundle {upload.digest} has {upload.size - position} bytes from {position} on, more were sent"
            )
        async with aclosing(self._pieces(request, turn)) as pieces:
            async for piece in pieces:
                if len(piece) > upload.size - position:
                    raise HTTPException(413, f"more bytes than were announced for bundle {upload.digest}")
                await run_in_threadpool(self._receiver.write, upload, position, piece)
                position = Bytes(position + len(piece))

    async def _pieces(self, request: Request, turn: Turn) -> AsyncGenerator[bytes, None]:
        """The body in pieces worth writing, up to where it was cut, fell silent or another request took over."""
        gathered = bytearray()
        stream = aiter(request.stream())
        try:
            while (chunk := await turn.next(stream, seconds=self._silence)) is not None:
                gathered += chunk
                if len(gathered) >= _PIECE:
                    yield bytes(gathered)
                    gathered.clear()
        except ClientDisconnect:
            pass  # the signal was lost: what came before it counts
        if gathered:
            yield bytes(gathered)


def _speaks_tus(request: Request) -> None:
    if request.headers.get("Tus-Resumable") != TUS_VERSION:
        raise HTTPException(412, f"send the header Tus-Resumable: {TUS_VERSION}", {"Tus-Version": TUS_VERSION})


def _number(request: Request, header: str, *, default: int | None = None) -> int:
    text = request.headers.get(header)
    if text is None and default is not None:
        return default
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_NUMBER:
        raise HTTPException(400, f"header {header} is {text!r}; it must be a whole number of bytes")
    return int(text)


def _announced(metadata: str) -> Digest:
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        if key == "digest":
            try:
                return _checked(base64.b64decode(value, validate=True).decode("ascii"))
            except (binascii.Error, UnicodeDecodeError):
                break
    raise HTTPException(400, "header Upload-Metadata names no digest: `digest ` and base64 of sha256:<64 hex digits>")


def _checked(digest: str) -> Digest:
    try:
        return _digest.validate_python(digest)
    except ValidationError:
        raise HTTPException(400, f"{digest!r} is no digest; it must be sha256:<64 hex digits>") from None


def _progress(upload: Upload) -> dict[str, str]:
    """Where an upload stands, for those who know tus, and which bytes are missing, for those who know gaps."""
    headers = {"Upload-Offset": str(upload.offset), "Upload-Length": str(upload.size)}
    gaps = list(upload.held.missing(upload.size))
    if len(gaps) > _MOST_GAPS:  # the last one named stands for all behind it, until those before it are filled
        gaps[_MOST_GAPS - 1 :] = [Span(gaps[_MOST_GAPS - 1].start, upload.size)]
    if gaps:
        headers[_MISSING] = ",".join(f"{gap.start}-{gap.end - 1}" for gap in gaps)
    return headers


def _tus(status: int, headers: dict[str, str]) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": TUS_VERSION} | headers)
