"""Ed25519 signatures (RFC 8032) by ``cryptography``: the ground signs updates, satellites check them."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.errors import BadInput, Untrusted


class SigningKey:
    """The ground's private key, 32 bytes in a file that only its owner may read.

    Args:
        path: the file; a new key is made if there is none.

    Raises:
        BadInput: the file is no key, or others may read it.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, Ed25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise BadInput(f"{path}: others than its owner may read this private key; chmod 600 it, or make a new one")
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
        except ValueError as error:
            raise BadInput(f"{path}: not an Ed25519 key of 32 bytes ({error}); restore it from a copy") from error

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of ``message``."""
        return self._key.sign(message)

    @property
    def public(self) -> str:
        """The public key as 64 hexadecimal digits: what a satellite is launched with."""
        return self._key.public_key().public_bytes_raw().hex()


class VerifyingKey:
    """The ground's public key on board.

    Args:
        public: 64 hexadecimal digits.
    """

    def __init__(self, public: str) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        except ValueError as error:
            raise BadInput(f"{public!r} is no Ed25519 public key of 64 hexadecimal digits ({error})") from error

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raises ``Untrusted`` unless ``signature`` is the ground's for ``message``."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature as error:
            raise Untrusted("the update's signature is not the ground's; not flown") from error
