"""An S3 for the tests: moto's, on a free port of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

_SURROUNDINGS = {
    "AWS_ACCESS_KEY_ID": "a-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of a service that takes any keys."""
    from moto.server import ThreadedMotoServer  # takes a second to load, in every session if it stood above

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with keys in the environment, and nothing of the machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in _SURROUNDINGS.items():
        monkeypatch.setenv(name, value)
    return s3_server
