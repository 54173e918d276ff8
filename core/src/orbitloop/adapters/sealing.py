"""Sealed datagrams: who sent them, that nobody read or changed them, and that they are no repetition.

In the manner of CCSDS 355.0-B (Space Data Link Security): a key shared beforehand, and keys of each session and
direction derived from it by HKDF-SHA256 (RFC 5869) with a nonce of either side.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.wire.datagrams import HEADER, MAC, TAG, Kind, Options, lead

KEY = 32
_WINDOW = 4_096
_LOW = 2**32


@dataclass(frozen=True, slots=True, repr=False)
class LinkKey:
    """The secret that one satellite shares with the ground. Raises ``BadInput`` unless it has 32 bytes."""

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY:
            raise BadInput(f"a link key of {len(self.secret)} bytes; it must have {KEY}")

    def sign(self, *parts: bytes) -> bytes:
        """The authentication code of a handshake's datagram."""
        key = _derive(self.secret, b"", b"orbitloop handshake")
        return hmac.digest(key, b"".join(parts), hashlib.sha256)[:MAC]

    def check(self, code: bytes, *parts: bytes) -> None:
        """Raises ``Untrusted`` unless ``code`` is that of ``parts``."""
        if not hmac.compare_digest(code, self.sign(*parts)):
            raise Untrusted("a handshake that was not made with this link's key; it was dropped")

    def directions(self, nonces: bytes, options: Options) -> tuple[_Cipher, _Cipher]:
        """Ciphers of one session: satellite to ground, and ground to satellite."""
        kind = AESGCM if options & Options.AES_GCM else ChaCha20Poly1305
        return (
            kind(_derive(self.secret, nonces, b"orbitloop down")),
            kind(_derive(self.secret, nonces, b"orbitloop up")),
        )


_Cipher = AESGCM | ChaCha20Poly1305


def _derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY, salt=salt, info=info).derive(secret)


class Seal:
    """Seals one direction of a session; no sequence number is used twice."""

    def __init__(self, cipher: _Cipher, session: int) -> None:
        self._encrypt = cipher.encrypt
        self._session = session
        self.sequence = 0
        """Of the datagram that was sealed last."""

    def skip(self, count: int) -> None:
        """Leave sequence numbers out: what was sent before the next datagram has been overtaken by that many."""
        self.sequence += count

    def seal(self, kind: Kind, body: bytes) -> bytes:
        """``body`` as a datagram."""
        self.sequence = sequence = self.sequence + 1
        header = HEADER.pack(lead(kind), self._session, sequence % _LOW)
        return header + self._encrypt(sequence.to_bytes(12, "big"), body, header)


class Unseal:
    """Opens one direction of a session; each sequence number once."""

    def __init__(self, cipher: _Cipher) -> None:
        self._decrypt = cipher.decrypt
        self._seen = 0
        self.highest = 0
        """The highest sequence number that was seen."""

    def open(self, datagram: bytes) -> bytes:
        """The body of a datagram.

        Raises:
            Untrusted: not sealed with this session's key, or seen before.
        """
        if len(datagram) < HEADER.size + TAG:
            raise Untrusted("a datagram that is cut short; it was dropped")
        header = datagram[: HEADER.size]
        low = HEADER.unpack(header)[2]
        sequence = nearest(low, self.highest)
        behind = self.highest - sequence
        if behind >= _WINDOW or (behind >= 0 and self._seen >> behind & 1) or sequence <= 0:
            raise Replayed("a datagram that was seen before; it was dropped")
        try:
            body = self._decrypt(sequence.to_bytes(12, "big"), datagram[HEADER.size :], header)
        except InvalidTag:
            raise Untrusted("a datagram that was not sealed with this session's key; it was dropped") from None
        if behind < 0:
            self._seen = (self._seen << -behind | 1) & _MASK if -behind < _WINDOW else 1
            self.highest = sequence
        else:
            self._seen |= 1 << behind
        return body


_MASK = 2**_WINDOW - 1


class Replayed(Untrusted):
    """A datagram that was seen before."""


def nearest(low: int, highest: int) -> int:
    """The sequence number with these low 32 bits that is nearest to ``highest``."""
    guess = highest - highest % _LOW + low
    if guess > highest + _LOW // 2:
        return guess - _LOW
    if guess < highest - _LOW // 2:
        return guess + _LOW
    return guess
