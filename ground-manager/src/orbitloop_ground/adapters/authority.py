"""The mission's own certificate authority (X.509, RFC 5280) and every key that it gives out, as files.

ECDSA over P-256 for TLS; 32 random bytes a satellite for the datagrams of its link, shared before launch as in CCSDS
355.0-B; Ed25519 for the ground's signature on updates. How the folders are laid out, ``docs/howto/identities.md`` says.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import TypeAdapter, ValidationError

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.signatures import SigningKey
from orbitloop.domain.errors import BadInput
from orbitloop.ports.clock import Clock
from orbitloop.wire.messages import Name
from orbitloop_ground.adapters.certificates import GATEWAY_NAME, Leaf, Role, identity_of, leaf, names_of, root
from orbitloop_ground.adapters.revocations import RevocationList

_LINK_KEY = 32
_PRIVATE = 0o600
_name: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One certificate that was given out."""

    name: str
    role: Role
    serial: int
    expires: datetime
    revoked: bool


class Authority:
    """The keys of one mission under ``folder``. Adds what is missing and never overwrites; renewing is asked for.

    Args:
        folder: made if missing; its ``authority`` part belongs on no machine that serves or flies.
        lifetime: how long a new certificate holds.
    """

    def __init__(self, folder: Path, clock: Clock, *, lifetime: timedelta = timedelta(days=5 * 365)) -> None:
        if lifetime <= timedelta(0):
            raise BadInput(f"a certificate that holds for {lifetime} is of no use; give it at least a day")
        self._folder = folder
        self._clock = clock
        self._lifetime = lifetime
        self.ground = folder / "ground"
        for part in (folder, folder / "authority", folder / "authority" / "issued", self.ground / "links"):
            part.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._revoked = RevocationList(self.ground / "revoked.json")
        self._key, self._certificate = self._open()

    def satellite(self, name: str) -> Path:
        """The folder that goes on board ``name``."""
        return self._folder / "satellites" / name

    def equip_ground(self, names: Sequence[str] = ()) -> Path:
        """Make what the gateways need and is missing; returns their folder.

        Args:
            names: DNS names and addresses by which clients other than satellites reach them.

        Raises:
            BadInput: the certificate that is there was made for other names.
        """
        made = self.ground / "gateway.pem"
        if not made.exists():
            self._give_gateway(names)
        elif absent := set(names) - set(names_of(_read(made))):
            raise BadInput(f"{made} does not name {', '.join(sorted(absent))}; renew the gateway with every name")
        return self.ground

    def equip(self, name: str) -> Path:
        """Make what a satellite needs and is missing; returns the folder that goes on board.

        Raises:
            BadInput: the name cannot be one, or its keys were revoked.
        """
        _checked(name)
        if (self.satellite(name) / "satellite.pem").exists():
            if all(identity.revoked for identity in self.identities() if identity.name == name):
                raise BadInput(f"the keys of {name} were revoked; renew them")
            return self.satellite(name)
        return self.renew(name)

    def renew(self, name: str) -> Path:
        """New keys for a satellite, whatever it has; its old certificate holds until it expires or is revoked.

        The link key is shared before launch and stays, unless it was revoked.
        """
        _checked(name)
        folder = self.satellite(name)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        link = self.ground / "links" / f"{name}.key"
        if not link.exists():
            write_durably(link, secrets.token_bytes(_LINK_KEY), mode=_PRIVATE)
        key, certificate = self._issue(Leaf(name=name, role=Role.SATELLITE))
        write_durably(folder / "link.key", link.read_bytes(), mode=_PRIVATE)
        write_durably(folder / "authority.pem", _pem(self._certificate))
        write_durably(folder / "ground.pub", SigningKey(self.ground / "signing.key").public.encode())
        write_durably(folder / "satellite.key", key, mode=_PRIVATE)
        write_durably(folder / "satellite.pem", certificate)
        return folder

    def renew_gateway(self, names: Sequence[str] = ()) -> Path:
        """A new key and certificate for the gateways."""
        self._give_gateway(names)
        return self.ground

    def revoke(self, name: str) -> int:
        """No certificate of a satellite that was given out so far, nor its link key, is taken from now on.

        Returns:
            How many certificates were revoked by this call.

        Raises:
            BadInput: it was given none.
        """
        given = [
            identity for identity in self.identities() if identity.name == name and identity.role is Role.SATELLITE
        ]
        if not given:
            raise BadInput(f"no satellite {name} was given keys in {self._folder}")
        standing = [identity.serial for identity in given if not identity.revoked]
        self._revoked.add(name, standing, self._clock.now())
        (self.ground / "links" / f"{name}.key").unlink(missing_ok=True)
        return len(standing)

    def identities(self) -> list[Identity]:
        """Every certificate that was given out, by name and expiry."""
        given = [_read(path) for path in (self._folder / "authority" / "issued").glob("*.pem")]
        found = [
            Identity(
                name=name,
                role=role,
                serial=certificate.serial_number,
                expires=certificate.not_valid_after_utc,
                revoked=certificate.serial_number in self._revoked,
            )
            for certificate in given
            for name, role in [identity_of(certificate)]
        ]
        return sorted(found, key=lambda identity: (identity.role, identity.name, identity.expires))

    def _open(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        home = self._folder / "authority"
        if not (home / "authority.pem").exists():
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = root(key, self._clock.now(), 2 * self._lifetime)
            write_durably(home / "authority.key", _private_pem(key), mode=_PRIVATE)
            write_durably(home / "authority.pem", _pem(certificate))
        try:
            key = cast(
                ec.EllipticCurvePrivateKey,
                serialization.load_pem_private_key((home / "authority.key").read_bytes(), None),
            )
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"{home / 'authority.key'}: no usable key ({error}); restore it from a copy") from error
        return key, _read(home / "authority.pem")

    def _give_gateway(self, names: Sequence[str]) -> None:
        key, certificate = self._issue(Leaf(name=GATEWAY_NAME, role=Role.GATEWAY, names=tuple(names)))
        write_durably(self.ground / "authority.pem", _pem(self._certificate))
        SigningKey(self.ground / "signing.key")
        write_durably(self.ground / "gateway.key", key, mode=_PRIVATE)
        write_durably(self.ground / "gateway.pem", certificate)

    def _issue(self, wanted: Leaf) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        ends = min(self._clock.now() + self._lifetime, self._certificate.not_valid_after_utc)
        certificate = leaf(wanted, key.public_key(), (self._clock.now(), ends), (self._certificate, self._key))
        issued = self._folder / "authority" / "issued" / f"{certificate.serial_number:x}.pem"
        write_durably(issued, _pem(certificate))
        return _private_pem(key), _pem(certificate)


def _checked(name: str) -> None:
    try:
        _name.validate_python(name)
    except ValidationError:
        raise BadInput(
            f"{name!r} can be no satellite's name; use up to 128 letters, digits, dots, dashes and underscores"
        ) from None


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: no certificate ({error}); restore it from a copy") from error


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
