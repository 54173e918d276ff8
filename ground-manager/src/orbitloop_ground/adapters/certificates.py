"""The three kinds of certificate (X.509 version 3, RFC 5280): the authority's, a gateway's and a satellite's."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orbitloop.domain.errors import BadInput

GATEWAY_NAME = "gateway.orbitloop"
"""In every gateway's certificate: satellites know the ground by it, whatever address the link gives it."""
SATELLITE_URI = "urn:orbitloop:satellite:"
"""Followed by its name in every satellite's certificate."""

_SLACK = timedelta(days=1)
"""A certificate holds from a little before it is made: clocks in orbit differ."""
_LONGEST_COMMON_NAME = 64


class Role(StrEnum):
    """Who a certificate is for."""

    GATEWAY = "gateway"
    SATELLITE = "satellite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A certificate that is wanted; ``names`` are more DNS names and addresses of a gateway."""

    name: str
    role: Role
    names: tuple[str, ...] = ()


def root(key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta) -> x509.Certificate:
    """The authority's own certificate."""
    name = _common("orbitloop mission authority")
    return (
        _builder(key.public_key(), (now, now + lifetime))
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def leaf(
    wanted: Leaf,
    key: ec.EllipticCurvePublicKey,
    holds: tuple[datetime, datetime],
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
) -> x509.Certificate:
    """A gateway's or a satellite's certificate."""
    issuer, signer = authority
    if wanted.role is Role.GATEWAY:
        purpose = ExtendedKeyUsageOID.SERVER_AUTH
        alternatives = [_general(name) for name in dict.fromkeys((GATEWAY_NAME, *wanted.names))]
    else:
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        alternatives = [x509.UniformResourceIdentifier(SATELLITE_URI + wanted.name)]
    known_by = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(key, holds)
        .subject_name(_common(wanted.name))
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known_by), critical=False)
        .sign(signer, hashes.SHA256())
    )


def identity_of(certificate: x509.Certificate) -> tuple[str, Role]:
    """Whose certificate it is. Raises ``BadInput`` if it is none of ours."""
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    for uri in alternatives.get_values_for_type(x509.UniformResourceIdentifier):
        if uri.startswith(SATELLITE_URI):
            return uri.removeprefix(SATELLITE_URI), Role.SATELLITE
    if GATEWAY_NAME in alternatives.get_values_for_type(x509.DNSName):
        return GATEWAY_NAME, Role.GATEWAY
    raise BadInput(f"certificate {certificate.serial_number:x} names neither a satellite nor a gateway")


def names_of(certificate: x509.Certificate) -> list[str]:
    """DNS names and addresses in a certificate."""
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = alternatives.get_values_for_type(x509.IPAddress)
    return alternatives.get_values_for_type(x509.DNSName) + [str(address) for address in addresses]


def _builder(key: ec.EllipticCurvePublicKey, holds: tuple[datetime, datetime]) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(holds[0] - _SLACK)
        .not_valid_after(holds[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_LONGEST_COMMON_NAME])])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise BadInput(f"gateway name {name!r}: {error}; use a DNS name or an address") from error
