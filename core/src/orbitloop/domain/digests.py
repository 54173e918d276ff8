"""SHA-256 digests: how bytes are named everywhere in orbitloop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from orbitloop.domain.units import Digest

_PREFIX = "sha256:"


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """The digest of ``data``."""
    return Digest(_PREFIX + hashlib.sha256(data).hexdigest())


def digest_of_parts(parts: Iterable[bytes]) -> Digest:
    """The digest of ``parts`` put together, without holding them all."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return Digest(_PREFIX + state.hexdigest())


def hexadecimal(digest: Digest) -> str:
    """The 64 hexadecimal digits alone: a digest as a file name."""
    return digest.removeprefix(_PREFIX)
