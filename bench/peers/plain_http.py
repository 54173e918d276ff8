"""Plain HTTP without resume, as a peer: one ``PUT`` a file, from the first byte again after every failure.

    python -m bench.peers.plain_http receive --host H --port P --out FILE
    python -m bench.peers.plain_http send --url URL --size BYTES --seconds S

Both sides are stock: ``httpx`` with its defaults for the client but the time-out, which is set to a minute so that a
fade of the signal does not end every attempt; ``uvicorn`` for the server. The sender prints what was acknowledged
with a 2xx, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_PIECE = 64 * 2**10
_TIMEOUT_S = 60.0


def receiver() -> Starlette:
    """An application that swallows files; a broken one counts for nothing."""

    async def put(request: Request) -> Response:
        async for _ in request.stream():
            pass
        return Response(status_code=201)

    return Starlette(routes=[Route("/files/{name}", put, methods=["PUT"])])


def send(url: str, *, size: int, seconds: float) -> dict[str, float]:
    """Send files of ``size`` random bytes, one after another, for ``seconds``."""
    until = time.monotonic() + seconds
    acknowledged = attempts = number = 0
    data = os.urandom(size)

    def pieces() -> list[bytes]:
        return [data[at : at + _PIECE] for at in range(0, size, _PIECE)]

    while (left := until - time.monotonic()) > 0:
        attempts += 1
        try:
            with httpx.Client(timeout=min(_TIMEOUT_S, left), trust_env=False) as client:
                answer = client.put(f"{url}/files/{number}", content=iter(pieces()))
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.is_success:
            acknowledged += size
            number += 1
    return {"acknowledged_bytes": acknowledged, "attempts": attempts, "files": number}


def main() -> None:
    """Run one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="role", required=True)
    receiving = roles.add_parser("receive")
    receiving.add_argument("--host", default="127.0.0.1")
    receiving.add_argument("--port", type=int, required=True)
    sending = roles.add_parser("send")
    sending.add_argument("--url", required=True)
    sending.add_argument("--size", type=int, required=True)
    sending.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    if given.role == "receive":
        server = uvicorn.Server(uvicorn.Config(receiver(), host=given.host, port=given.port, log_level="error"))
        asyncio.run(server.serve())
    else:
        json.dump(send(given.url, size=given.size, seconds=given.seconds), sys.stdout)


if __name__ == "__main__":
    main()
