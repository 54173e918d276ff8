"""The gateway's side of mutual TLS."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from orbitloop.domain.errors import BadInput


def gateway_context(folder: Path) -> ssl.SSLContext:
    """TLS 1.3 that shows the gateway's certificate and demands one of the authority's.

    Args:
        folder: the ground's folder of keys.

    Raises:
        BadInput: a file is missing or damaged, or others may read the private key.
    """
    key = folder / "gateway.key"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # a session that is resumed would outlive its certificate
    try:
        if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise BadInput(f"{key}: others than its owner may use this private key; chmod 600 it")
        context.load_cert_chain(folder / "gateway.pem", key)
        context.load_verify_locations(folder / "authority.pem")
    except OSError as error:
        raise BadInput(
            f"{folder}: not the keys of a gateway ({error}); make them with orbitloop-ground keys"
        ) from error
    return context
