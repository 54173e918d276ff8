"""A certificate authority of one process: made when it starts, never written down."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=90)
_ISSUER, _LONGEST_NAME = "orbitloop admission", 64
_SKEW = timedelta(hours=1)
"""By how much the API server's clock may be behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server's certificate.

    Args:
        authority: who vouches for it, PEM.
        chain: the certificate, PEM.
        key: its private key, PEM.
        expires: when it is no longer good.
    """

    authority: bytes
    chain: bytes
    key: bytes
    expires: datetime


class Authority:
    """Makes certificates, each by an authority of its own, whose key is thrown away at once."""

    def make(self, names: Sequence[str], now: datetime) -> Serving:
        """A certificate for a server.

        Args:
            names: DNS names and IP addresses; the first is its common name.
        """
        authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        issuer = _named(_ISSUER)
        authority = (
            _certificate(issuer, issuer, authority_key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
            .sign(authority_key, SHA256())
        )
        leaf = (
            _certificate(_named(names[0][:_LONGEST_NAME]), issuer, key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .sign(authority_key, SHA256())
        )
        return Serving(
            authority=authority.public_bytes(Encoding.PEM),
            chain=leaf.public_bytes(Encoding.PEM),
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            expires=now + LIFE,
        )

    def still_good(self, bundle: bytes, now: datetime) -> list[bytes]:
        """The authorities of a bundle that have not expired, PEM, the newest first; none of what is no certificate."""
        try:
            found = x509.load_pem_x509_certificates(bundle)
        except ValueError:
            return []
        good = [one for one in found if one.not_valid_after_utc > now]
        newest_first = sorted(good, key=lambda one: one.not_valid_before_utc, reverse=True)
        return [one.public_bytes(Encoding.PEM) for one in newest_first]


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + LIFE)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
