"""What is seen of a cluster. Nothing is changed by looking: the one object that is created is so as a dry run."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from orbitloop.api.kinds import KINDS
from orbitloop.api.orbitloop_v1alpha1.satellite import Satellite
from orbitloop.domain.errors import NotYet, Refused
from orbitloop_mission.cluster_reader import ClusterReader, NotServed
from orbitloop_mission.doctor.facts import (
    ClusterFacts,
    Hidden,
    Listing,
    Reached,
    Review,
    Secret,
    gateway_addresses,
    wanted_secrets,
)
from orbitloop_operators.adapters.api_server import path_to
from orbitloop_operators.handlers.changes import Document

WEBHOOK = "rules.orbitloop.io"
_LEASES, _REVIEWS = "coordination.k8s.io/v1", "admissionregistration.k8s.io/v1"
_PATIENCE_S = 5.0
_UNREACHED = 0
_TO_BE_REFUSED = (f"1 {'0' * 66}9", f"2 {'0' * 66}9")
"""The form of a two-line element set, which definitions let pass, with checksums that only our webhook looks at."""
_SATELLITES = next(kind for kind in KINDS if kind.resource is Satellite)


def seen(reader: ClusterReader, namespace: str, *, reach: bool) -> ClusterFacts:
    """What there is.

    Args:
        namespace: of the installation.
        reach: whether to call the gateway from here.
    """
    asked = datetime.now(UTC)
    answer = reader.ask("/version")
    here = asked + (datetime.now(UTC) - asked) / 2
    if answer.status == _UNREACHED or not answer.is_good:
        return ClusterFacts(server=reader.server, namespace=namespace, away=answer.message, at=here)
    at = parsedate_to_datetime(answer.date) if answer.date else None
    facts = ClusterFacts(
        server=reader.server,
        namespace=namespace,
        version=str(answer.document.get("gitVersion", "")),
        at=at or here,
        ahead=None if at is None else here - at,
        definitions=_listed(reader, "apiextensions.k8s.io/v1", "customresourcedefinitions"),
        deployments=_listed(reader, "apps/v1", "deployments"),
        stateful_sets=_listed(reader, "apps/v1", "statefulsets", namespace),
        daemon_sets=_listed(reader, "apps/v1", "daemonsets", namespace),
        pods=_listed(reader, "v1", "pods", namespace),
        services=_listed(reader, "v1", "services", namespace),
        ingresses=_listed(reader, "networking.k8s.io/v1", "ingresses", namespace),
        claims=_listed(reader, "v1", "persistentvolumeclaims", namespace),
        nodes=_listed(reader, "v1", "nodes"),
        node_leases=_listed(reader, _LEASES, "leases", "kube-node-lease"),
        satellites=_listed(reader, _SATELLITES.api_version, _SATELLITES.plural),
        lease=_read(reader, path_to(_LEASES, "leases", namespace, "orbitloop-operators")),
        webhook=_read(reader, path_to(_REVIEWS, "validatingwebhookconfigurations", name="orbitloop")),
    )
    reviewed, review = _review(reader)
    secrets = tuple(_with_contents(reader, namespace, secret) for secret in wanted_secrets(facts))
    reached = tuple(_reached(*address) for address in gateway_addresses(facts)) if reach else ()
    return replace(facts, reviewed=reviewed, review=review, secrets=secrets, reached=reached)


def _listed(reader: ClusterReader, api_version: str, plural: str, namespace: str = "") -> Listing:
    try:
        found: Sequence[Document] = reader.listed(api_version, plural, namespace)
    except NotServed:  # which kinds there are is a check of its own
        return ()
    except (Refused, NotYet) as error:
        return Hidden(str(error))
    return tuple(found)


def _read(reader: ClusterReader, path: str) -> Document | Hidden | None:
    try:
        return reader.read(path)
    except (Refused, NotYet) as error:
        return Hidden(str(error))


def _with_contents(reader: ClusterReader, namespace: str, secret: Secret) -> Secret:
    """With the names of what is in it; what stands there is dropped at once."""
    found = _read(reader, path_to("v1", "secrets", namespace, secret.name))
    names = frozenset(found.get("data") or ()) if found is not None and not isinstance(found, Hidden) else found
    return replace(secret, found=names)


def _review(reader: ClusterReader) -> tuple[Review, str]:
    document = {
        "apiVersion": _SATELLITES.api_version,
        "kind": _SATELLITES.name,
        "metadata": {"name": "orbitloop-doctor"},
        "spec": {"nodeName": "orbitloop-doctor", "elements": list(_TO_BE_REFUSED)},
    }
    answer = reader.tries(path_to(_SATELLITES.api_version, _SATELLITES.plural, "default"), document)
    if answer.is_good:
        return Review.PASSED, ""
    return (Review.REFUSED if f'"{WEBHOOK}"' in answer.message else Review.UNKNOWN), answer.message


def _reached(host: str, port: int) -> Reached:
    address = f"{host}:{port}"
    try:
        socket.create_connection((host, port), timeout=_PATIENCE_S).close()
    except OSError as error:
        return Reached(address=address, problem=str(error.strerror or error))
    return Reached(address=address)
