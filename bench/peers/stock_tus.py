"""A stock tus client, as a peer: tuspy against our gateway, with a satellite's certificate.

    python -m bench.peers.stock_tus --url URL --keys FOLDER --size BYTES --seconds S

Each bundle is uploaded by ``tusclient``'s own uploader; after a failure the next attempt asks the server for the offset
and goes on there, which is what the protocol is for. It prints the bytes that the server acknowledged, as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import requests
from bench.cargo import bundles_of
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

_CHUNK = 1024 * 1024


def send(url: str, keys: Path, *, size: int, seconds: float) -> dict[str, float]:
    """Upload bundles of about ``size`` bytes, one after another, for ``seconds``."""
    until = time.monotonic() + seconds
    client = TusClient(f"{url}/v1/bundles")
    client.client_cert = (str(keys / "satellite.pem"), str(keys / "satellite.key"))
    acknowledged = attempts = bundles = 0
    for digest, data in bundles_of(size, satellite=keys.name):
        offset = 0
        uploader: Any = None
        while time.monotonic() < until and offset < len(data):
            attempts += 1
            with contextlib.suppress(TusCommunicationError, requests.RequestException):
                if uploader is None:
                    uploader = client.uploader(
                        file_stream=io.BytesIO(data),
                        chunk_size=_CHUNK,
                        metadata={"digest": digest},
                        verify_tls_cert=str(keys / "authority.pem"),
                    )
                else:
                    uploader.offset = uploader.get_offset()
                uploader.upload()
            offset = 0 if uploader is None else int(uploader.offset)
            if offset < len(data):
                time.sleep(0.2)
        acknowledged += offset
        bundles += offset == len(data)
        if time.monotonic() >= until:
            break
    return {"acknowledged_bytes": acknowledged, "attempts": attempts, "bundles": bundles}


def main() -> None:
    """Run the client."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    json.dump(send(given.url, given.keys, size=given.size, seconds=given.seconds), sys.stdout)


if __name__ == "__main__":
    main()
