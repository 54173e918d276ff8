"""What was seen of a cluster. Of Secrets only the names of what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orbitloop.domain.findings import Finding, doubtful
from orbitloop_edge.usecases.checks_on_board import KEY_FILES
from orbitloop_operators.handlers.changes import Document

EDGE = "node-role.kubernetes.io/edge"
"""Label, and taint, of a satellite's node."""
NAME, PART = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
OPERATORS, GATEWAY, LOCAL_CONTROLLER = "orbitloop-operators", "orbitloop-gateway", "orbitloop-local-controller"
GROUND_KEYS = ("gateway.key", "gateway.pem", "authority.pem", "signing.key")


@dataclass(frozen=True, slots=True)
class Hidden:
    """What could not be seen, and why."""

    why: str


Listing = tuple[Document, ...] | Hidden
"""Objects of a kind."""


class Review(StrEnum):
    """What became of an object that our webhook has to refuse."""

    REFUSED = "refused"
    PASSED = "passed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A Secret that pods ask for.

    Args:
        wanted: names that have to be in it.
        optional: whether pods start without it.
        found: names that are in it; ``None``: there is no such Secret.
    """

    name: str
    wanted: tuple[str, ...]
    optional: bool = False
    found: frozenset[str] | Hidden | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A call to the gateway from here; ``problem`` is empty where somebody answered."""

    address: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """All that is judged.

    Args:
        server: URL of the API server.
        namespace: of the installation.
        away: why the API server does not answer; then nothing else was looked at.
        version: of Kubernetes.
        at: the time, by the API server.
        ahead: by how much the clock here is ahead of the API server's; ``None``: not known.
        reviewed: what became of an object that our webhook has to refuse, and ``review`` what was said.
        reached: calls to the gateway; none where nobody was to call.
    """

    server: str
    namespace: str
    away: str = ""
    version: str = ""
    at: datetime
    ahead: timedelta | None = None
    definitions: Listing = ()
    deployments: Listing = ()
    stateful_sets: Listing = ()
    daemon_sets: Listing = ()
    pods: Listing = ()
    services: Listing = ()
    ingresses: Listing = ()
    claims: Listing = ()
    nodes: Listing = ()
    node_leases: Listing = ()
    satellites: Listing = ()
    lease: Document | Hidden | None = None
    webhook: Document | Hidden | None = None
    reviewed: Review = Review.UNKNOWN
    review: str = ""
    secrets: tuple[Secret, ...] = field(default=())
    reached: tuple[Reached, ...] = field(default=())


def unseen(about: str, hidden: Hidden) -> Finding:
    """It could not be looked at."""
    return doubtful(
        about, f"not seen: {hidden.why}", "ask somebody who may look, or bind the ClusterRole view to the user"
    )


def named(listing: Listing, label: str) -> tuple[Document, ...]:
    """The objects that carry the name of one of our parts."""
    return () if isinstance(listing, Hidden) else tuple(one for one in listing if labels(one).get(NAME) == label)


def labels(document: Document) -> Mapping[str, str]:
    """Of an object."""
    return document["metadata"].get("labels") or {}


def name_of(document: Document) -> str:
    """Of an object."""
    return str(document["metadata"]["name"])


def is_edge(node: Document) -> bool:
    """Whether a node is a satellite's."""
    return EDGE in labels(node)


def edge_nodes(facts: ClusterFacts) -> tuple[Document, ...]:
    """The satellites' nodes."""
    return () if isinstance(facts.nodes, Hidden) else tuple(node for node in facts.nodes if is_edge(node))


def condition(document: Document, kind: str) -> Mapping[str, Any]:
    """A condition of an object; empty if it has none."""
    found = (document.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one.get("type") == kind), {})


def pod_spec(workload: Document) -> Mapping[str, Any]:
    """What a Deployment, StatefulSet or DaemonSet makes its pods of."""
    found: Mapping[str, Any] = workload["spec"]["template"]["spec"]
    return found


def wanted_secrets(facts: ClusterFacts) -> tuple[Secret, ...]:
    """The Secrets that what keeps and serves asks for: by what its volumes are called, and by its environment."""
    found: dict[str, Secret] = {}
    for workload in (*_ours(facts.stateful_sets), *_ours(facts.daemon_sets)):
        for secret in (*_mounted(facts, workload), *_in_environment(workload)):
            known = found.get(secret.name, secret)
            wanted = tuple(dict.fromkeys((*known.wanted, *secret.wanted)))
            found[secret.name] = replace(secret, wanted=wanted, optional=known.optional and secret.optional)
    return tuple(found.values())


def _ours(listing: Listing) -> tuple[Document, ...]:
    return () if isinstance(listing, Hidden) else tuple(one for one in listing if labels(one).get(PART) == "orbitloop")


def _mounted(facts: ClusterFacts, workload: Document) -> Iterator[Secret]:
    contents = {
        "keys-secret": GROUND_KEYS,
        "links-secret": tuple(f"{name_of(node)}.key" for node in edge_nodes(facts)) if _takes_datagrams(facts) else (),
        "token": ("token",),
        "from": KEY_FILES,
    }
    for volume in pod_spec(workload).get("volumes") or ():
        source = volume.get("secret")
        if source is not None:
            wanted = contents.get(volume["name"], ())
            yield Secret(name=source["secretName"], wanted=wanted, optional=bool(source.get("optional")))


def _in_environment(workload: Document) -> Iterator[Secret]:
    spec = pod_spec(workload)
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for variable in container.get("env") or ():
            source = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if source is not None:
                yield Secret(name=source["name"], wanted=(source["key"],), optional=bool(source.get("optional")))


def _takes_datagrams(facts: ClusterFacts) -> bool:
    return any(
        port.get("protocol") == "UDP" for service in named(facts.services, GATEWAY) for port in service["spec"]["ports"]
    )


def gateway_addresses(facts: ClusterFacts) -> tuple[tuple[str, int], ...]:
    """Hosts and TCP ports at which satellites may find the gateway, from outside of the cluster."""
    pods = named(facts.pods, GATEWAY)
    hosts = tuple(dict.fromkeys(host for pod in pods if (host := (pod.get("status") or {}).get("hostIP"))))
    found = [(host, port["nodePort"]) for port in _tcp_ports(facts) if port.get("nodePort") for host in hosts]
    for pod in pods:
        for container in pod["spec"]["containers"]:
            ports = (port for port in container.get("ports") or () if port.get("protocol", "TCP") == "TCP")
            found += [(host, port["hostPort"]) for port in ports if port.get("hostPort") for host in hosts]
    for service in named(facts.services, GATEWAY):
        balanced = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        found += [(one.get("ip") or one["hostname"], 8400) for one in balanced if one.get("ip") or one.get("hostname")]
    return tuple(dict.fromkeys(found))


def _tcp_ports(facts: ClusterFacts) -> Iterator[Mapping[str, Any]]:
    for service in named(facts.services, GATEWAY):
        yield from (port for port in service["spec"]["ports"] if port.get("protocol", "TCP") == "TCP")
