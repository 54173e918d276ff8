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
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
from bench.cargo import bundles_of
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

_CHUNK = 1024 * 1024


@dataclass(slots=True)
class Tally:
    """What the server has acknowledged so far."""

    acknowledged_bytes: int = 0
    attempts: int = 0
    bundles: int = 0


def send(url: str, keys: Path, *, size: int, tally: Tally) -> None:
    """Upload bundles of about ``size`` bytes, one after another, for ever."""
    client = TusClient(f"{url}/v1/bundles")
    client.client_cert = (str(keys / "satellite.pem"), str(keys / "satellite.key"))
    for digest, data in bundles_of(size, satellite=keys.name):
        offset = 0
        uploader: Any = None
        while offset < len(data):
            tally.attempts += 1
            with contextlib.suppress(TusCommunicationError, requests.RequestException):
                if uploader is None:
                    uploader = client.uploader(
                        file_stream=io.BytesIO(data),
                        chunk_size=_CHUNK,
                        metadata={"digest": digest},
                    )
                else:
                    uploader.offset = uploader.get_offset()
                while uploader.offset < len(data):
                    uploader.upload_chunk()
                    tally.acknowledged_bytes += uploader.offset - offset
                    offset = uploader.offset
            if offset < len(data):
                time.sleep(0.2)
        tally.bundles += 1


def main() -> None:
    """Run the client."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    os.environ["REQUESTS_CA_BUNDLE"] = str(given.keys / "authority.pem")  # tuspy's PATCH knows no file of authorities
    tally = Tally()
    sending = threading.Thread(
        target=send, args=(given.url, given.keys), kwargs={"size": given.size, "tally": tally}, daemon=True
    )
    sending.start()
    sending.join(given.seconds)  # the client knows no time-outs: it may hang in a request for ever
    json.dump(asdict(tally), sys.stdout)


if __name__ == "__main__":
    main()
