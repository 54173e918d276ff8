"""The folder of keys that a satellite is launched with: ``docs/howto/identities.md`` says how it is made."""

from __future__ import annotations

import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path

from orbitloop.domain.errors import BadInput

GATEWAY_NAME = "gateway.orbitloop"
"""In the certificate of every gateway of the ground, whatever address the link gives it."""
_SATELLITE_URI = "urn:orbitloop:satellite:"
_URI_TAG = 0x86
_LINK_KEY = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Credentials:
    """What a satellite proves itself by, and knows the ground by.

    Args:
        satellite: its name, as its certificate says.
        tls: for connections to the gateway: shows this certificate, trusts the mission's authority alone.
        link_key: 32 bytes shared with the ground, for datagrams.
        ground_key: the ground's Ed25519 public key, 64 hexadecimal digits.
    """

    satellite: str
    tls: ssl.SSLContext = field(repr=False)
    link_key: bytes = field(repr=False)
    ground_key: str


def read_credentials(folder: Path) -> Credentials:
    """The keys in ``folder``.

    Raises:
        BadInput: one is missing or damaged, or others than the owner may read a private one.
    """
    for name in ("satellite.key", "link.key"):
        if _mode(folder / name) & (stat.S_IRWXG | stat.S_IRWXO):
            raise BadInput(f"{folder / name}: others than its owner may use this private key; chmod 600 it")
    try:
        link_key = (folder / "link.key").read_bytes()
        satellite = _name(ssl.PEM_cert_to_DER_cert((folder / "satellite.pem").read_text()))
        ground_key = (folder / "ground.pub").read_text().strip()
        tls = _context(folder)
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder}: not the keys of a satellite ({error}); copy its folder again") from error
    if len(link_key) != _LINK_KEY:
        raise BadInput(f"{folder / 'link.key'} has {len(link_key)} bytes instead of {_LINK_KEY}; make the keys again")
    return Credentials(satellite=satellite, tls=tls, link_key=link_key, ground_key=ground_key)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; copy the satellite's folder of keys whole") from None


def _context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(folder / "authority.pem")
    context.load_cert_chain(folder / "satellite.pem", folder / "satellite.key")
    return context


def _name(certificate: bytes) -> str:
    """The satellite that a DER certificate names as a URI among its alternative names (RFC 5280, 4.2.1.6).

    Found by its tag and length: a parser of certificates would cost the Local Controller 13 MB, and this is its own.
    """
    marker = _SATELLITE_URI.encode()
    begins = certificate.find(marker)
    if begins < 2 or certificate[begins - 2] != _URI_TAG:  # tag and length stand before it
        raise ValueError("its certificate names no satellite")
    return certificate[begins + len(marker) : begins + certificate[begins - 1]].decode("ascii")
