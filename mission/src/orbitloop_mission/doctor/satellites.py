"""Checks of the nodes, and of what has to run on those that are satellites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from orbitloop.domain.findings import Finding, doubtful, lacking, well
from orbitloop_mission.doctor.facts import (
    EDGE,
    LOCAL_CONTROLLER,
    ClusterFacts,
    Hidden,
    condition,
    edge_nodes,
    is_edge,
    name_of,
    named,
    pod_spec,
    unseen,
)
from orbitloop_mission.doctor.installation import is_ready, trouble
from orbitloop_operators.handlers.changes import Document

_AHEAD = timedelta(seconds=5)
_BEHIND = timedelta(seconds=60)
"""A lease is renewed every ten seconds; what a node that is Ready renewed before this was dated by a slow clock."""
_KEEPS_OUT = frozenset({"NoSchedule", "NoExecute"})
_OF_KUBERNETES = "node.kubernetes.io/"
"""Taints that come and go by themselves."""


def ground(facts: ClusterFacts) -> Iterator[Finding]:
    """There is a place for what runs on the ground."""
    if isinstance(facts.nodes, Hidden):
        yield unseen("nodes", facts.nodes)
        return
    here = [node for node in facts.nodes if not is_edge(node)]
    ready = [name_of(node) for node in here if _is_ready(node)]
    if ready:
        yield well("ground nodes", f"{', '.join(ready)} {'is' if len(ready) == 1 else 'are'} Ready")
    else:
        remedy = (
            f"kubectl describe nodes says why; nodes with the label {EDGE} are satellites, and count for nothing here"
        )
        yield lacking("ground nodes", "none is Ready", remedy)
    for node in here:
        if ready and not _is_ready(node):
            remedy = f"kubectl describe node {name_of(node)}"
            yield doubtful(f"node {name_of(node)}", _why_not_ready(node), remedy)


def satellites(facts: ClusterFacts) -> Iterator[Finding]:
    """Each satellite's node, and what has to run there."""
    if isinstance(facts.nodes, Hidden):
        return
    nodes = edge_nodes(facts)
    if not nodes:
        remedy = f"join one with keadm, or kubectl label node NAME {EDGE}="
        yield doubtful("satellites", f"no node has the label {EDGE}: satellites come by the gateway alone", remedy)
    for node in nodes:
        yield _place(node)
        yield _taint(node)
        yield from _clock(facts, node)
        yield from _object(facts, node)
        yield from _controller(facts, node)
        yield from _images(facts, node)


def _place(node: Document) -> Finding:
    about = f"{name_of(node)}: node"
    if _is_ready(node):
        return well(about, "Ready")
    remedy = "wait for its next pass (orbitloop watch says when); on the node, orbitloop-edge doctor"
    return doubtful(about, _why_not_ready(node), remedy)


def _taint(node: Document) -> Finding:
    about = f"{name_of(node)}: taint"
    kept = [one["key"] for one in _taints(node)]
    if kept:
        return well(about, f"{', '.join(kept)} keeps other workloads away")
    remedy = f"kubectl taint node {name_of(node)} {EDGE}=:NoSchedule; the Local Controller tolerates it"
    return doubtful(about, "none: workloads of the cloud may land on the satellite", remedy)


def _clock(facts: ClusterFacts, node: Document) -> Iterator[Finding]:
    about = f"{name_of(node)}: clock"
    leases = () if isinstance(facts.node_leases, Hidden) else facts.node_leases
    renewed = next((_moment(one["spec"].get("renewTime")) for one in leases if name_of(one) == name_of(node)), None)
    if renewed is None or not _is_ready(node):
        return
    remedy = "keep it by NTP or GNSS: passes begin and end by the clock"
    if renewed - facts.at > _AHEAD:
        yield doubtful(about, f"{(renewed - facts.at).total_seconds():.0f} s ahead of the API server", remedy)
    elif facts.at - renewed > _BEHIND:
        yield doubtful(about, f"up to {(facts.at - renewed).total_seconds():.0f} s behind the API server", remedy)
    else:
        yield well(about, "as the API server's, as far as its lease says")


def _object(facts: ClusterFacts, node: Document) -> Iterator[Finding]:
    about = f"{name_of(node)}: Satellite"
    if isinstance(facts.satellites, Hidden):
        yield unseen(about, facts.satellites)
        return
    ours = [one for one in facts.satellites if (one.get("spec") or {}).get("nodeName") == name_of(node)]
    if not ours:
        remedy = "kubectl apply a Satellite with this spec.nodeName; without one no job flies a model here"
        yield doubtful(about, "no Satellite names this node", remedy)
        return
    ready = condition(ours[0], "Ready")
    name = f"{ours[0]['metadata'].get('namespace', '')}/{name_of(ours[0])}"
    if ready.get("status") == "False":
        yield doubtful(about, f"{name}: {ready.get('message', '')}", f"kubectl describe satellite {name_of(ours[0])}")
    else:
        yield well(about, f"{name}: {ready.get('reason', 'not looked at yet')}")


def _controller(facts: ClusterFacts, node: Document) -> Iterator[Finding]:
    about = f"{name_of(node)}: Local Controller"
    if isinstance(facts.daemon_sets, Hidden):
        yield unseen(about, facts.daemon_sets)
        return
    sets = named(facts.daemon_sets, LOCAL_CONTROLLER)
    if not sets:
        yield lacking(
            about, f"namespace {facts.namespace} has no DaemonSet of it", "set localController.enabled and stations"
        )
        return
    pods = [one for one in named(facts.pods, LOCAL_CONTROLLER) if one["spec"].get("nodeName") == name_of(node)]
    if not pods:
        yield lacking(about, "no pod of it is on this node", _what_keeps_it(sets, node))
        return
    yield from _offline(about, pods[0])
    if is_ready(pods[0]):
        yield well(about, f"pod {name_of(pods[0])} is ready")
    elif not _is_ready(node):
        yield doubtful(
            about, "not known while the node is out of contact", "orbitloop watch says when it is heard next"
        )
    else:
        remedy = f"kubectl -n {facts.namespace} describe pod {name_of(pods[0])}; on the node, orbitloop-edge doctor"
        yield lacking(about, trouble(pods[0]), remedy)


def _offline(about: str, pod: Document) -> Iterator[Finding]:
    """What a pod must not have to come back on a node that starts out of contact."""
    spec = pod["spec"]
    if spec.get("automountServiceAccountToken") is not False:
        remedy = "set automountServiceAccountToken: false, as the chart does"
        yield lacking(about, "it has a token: on KubeEdge it does not come back after a start out of contact", remedy)
    if not spec.get("hostNetwork"):
        remedy = "set hostNetwork: true, as the chart does"
        yield doubtful(about, "it is not on the node's network: workers there find no port 9100", remedy)


def _what_keeps_it(sets: tuple[Document, ...], node: Document) -> str:
    refused = [
        one["key"] for one in _taints(node) if not any(_tolerates(pod_spec(daemon), one) for daemon in sets)
    ]  # fmt: skip
    if refused:
        return f"add to localController.tolerations: {{key: {refused[0]}, operator: Exists}}"
    return "compare localController.nodeSelector and satellites with the node's labels: kubectl get node --show-labels"


def _images(facts: ClusterFacts, node: Document) -> Iterator[Finding]:
    about = f"{name_of(node)}: images"
    pods = [one for one in named(facts.pods, LOCAL_CONTROLLER) if one["spec"].get("nodeName") == name_of(node)]
    if any(map(is_ready, pods)):
        return
    held = {name for image in (node.get("status") or {}).get("images") or () for name in image.get("names") or ()}
    wanted = {
        container["image"]
        for one in named(facts.daemon_sets, LOCAL_CONTROLLER)
        for container in pod_spec(one)["containers"]
    }
    for image in sorted(wanted):
        if image in held:
            yield well(about, f"{image} is on the node")
        else:
            remedy = f"put it there before launch: ctr -n k8s.io images import FILE, or kind load docker-image {image}"
            tells = (
                "is not among the images that the node tells of"
                if held
                else "may be there: the node tells of no images"
            )
            yield doubtful(about, f"{image} {tells}", remedy)


def _taints(node: Document) -> list[Mapping[str, Any]]:
    """Those that stay."""
    found = (node.get("spec") or {}).get("taints") or ()
    return [one for one in found if one.get("effect") in _KEEPS_OUT and not one["key"].startswith(_OF_KUBERNETES)]


def _tolerates(spec: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """As Kubernetes matches tolerations."""
    return any(
        one.get("key") in {None, "", taint["key"]}
        and one.get("effect") in {None, "", taint["effect"]}
        and (one.get("operator") == "Exists" or (one.get("value") or "") == (taint.get("value") or ""))
        for one in spec.get("tolerations") or ()
    )


def _is_ready(node: Document) -> bool:
    return condition(node, "Ready").get("status") == "True"


def _why_not_ready(node: Document) -> str:
    ready = condition(node, "Ready")
    heard = _moment(ready.get("lastHeartbeatTime"))
    last = "" if heard is None else f", last heard {heard:%Y-%m-%d %H:%M:%S} UTC"
    return f"not Ready ({ready.get('reason', 'nothing is known of it')}){last}"


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
