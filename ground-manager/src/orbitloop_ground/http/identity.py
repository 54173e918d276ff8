"""Who is speaking: the certificate that a connection was opened with."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from orbitloop_ground.usecases.refusals import Revoked

SATELLITE_URI = "urn:orbitloop:satellite:"
"""Followed by its name in every satellite's certificate."""
PEER = "orbitloop.peer"
"""Where a request's scope carries its :class:`Peer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Whom a certificate names, checked against the authority by the TLS handshake."""

    satellite: str
    serial: int


def peer_of(certificate: dict[str, Any] | None) -> Peer | None:
    """The satellite in a certificate as :meth:`ssl.SSLSocket.getpeercert` gives it, if it names one."""
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        if kind == "URI" and value.startswith(SATELLITE_URI):
            serial = int((certificate or {})["serialNumber"], 16)
            return Peer(satellite=value.removeprefix(SATELLITE_URI), serial=serial)
    return None


class Identities:
    """Who may speak: every satellite of the authority's, except ``revoked`` serial numbers."""

    def __init__(self, revoked: Container[int]) -> None:
        self._revoked = revoked

    def of(self, request: Request) -> str:
        """The satellite that sent ``request``.

        Raises:
            Revoked: its certificate was revoked; answered with 403.
        """
        peer: Peer | None = request.scope.get(PEER)
        if peer is None:
            raise HTTPException(401, "this connection shows no satellite's certificate; use its folder of keys")
        if peer.serial in self._revoked:
            raise Revoked(
                f"certificate {peer.serial:x} of {peer.satellite} was revoked; ask the ground's operator for new keys"
            )
        return peer.satellite
