"""Checks of what runs on the ground: the cluster itself, definitions, operators, gateway, Secrets, storage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from orbitloop.api.kinds import KINDS, VERSION, Kind
from orbitloop.crdgen import manifest
from orbitloop.domain.findings import Finding, doubtful, lacking, well
from orbitloop_mission.doctor.facts import (
    GATEWAY,
    LOCAL_CONTROLLER,
    NAME,
    OPERATORS,
    ClusterFacts,
    Hidden,
    Review,
    Secret,
    condition,
    labels,
    name_of,
    named,
    pod_spec,
    unseen,
)
from orbitloop_operators.handlers.changes import Document
from orbitloop_operators.handlers.watched import is_sednas_manager

_OLDEST = (1, 20)
_SKEW = timedelta(seconds=5)
_TOLD = 3
"""Names that a finding tells of many."""
_INSTALL = "helm install orbitloop charts/orbitloop -n {0} --create-namespace; see docs/howto/install-with-helm.md"


def server(facts: ClusterFacts) -> Iterator[Finding]:
    """It answers, in a version that we know."""
    numbers = re.match(r"v?(\d+)\.(\d+)", facts.version)
    if facts.away:
        remedy = "see that the cluster runs, and that kubectl get nodes works; or give --kubeconfig or --context"
        yield lacking("API server", f"{facts.server}: {facts.away}", remedy)
    elif numbers is not None and (int(numbers[1]), int(numbers[2])) < _OLDEST:
        yield doubtful(
            "API server", f"{facts.server} is Kubernetes {facts.version}", "use 1.20 or newer: older ones are untried"
        )
    else:
        yield well("API server", f"{facts.server}, Kubernetes {facts.version}")


def clock(facts: ClusterFacts) -> Iterator[Finding]:
    """Here and there it is the same time."""
    if facts.ahead is None:
        return
    if abs(facts.ahead) > _SKEW:
        off = f"{abs(facts.ahead).total_seconds():.0f} s {'ahead of' if facts.ahead > timedelta(0) else 'behind'}"
        yield doubtful(
            "clock", f"this machine is {off} the API server", "keep both by NTP: certificates and passes go by it"
        )
    else:
        yield well("clock", "as the API server's, within a few seconds")


def definitions(facts: ClusterFacts) -> Iterator[Finding]:
    """Our kinds are there, with all fields of this version."""
    if isinstance(facts.definitions, Hidden):
        yield unseen("definitions", facts.definitions)
        return
    known = {name_of(one): one for one in facts.definitions}
    absent = [kind.name for kind in KINDS if f"{kind.plural}.{kind.group}" not in known]
    if absent:
        remedy = "kubectl apply -f crds/"
        yield lacking("definitions", f"the cluster has no {_some(absent)}", remedy)
        return
    old = [
        f"{kind.name}.{path}" for kind in KINDS for path in _fields_missing(kind, known[f"{kind.plural}.{kind.group}"])
    ]
    if old:
        remedy = "kubectl apply -f crds/: Helm installs definitions, and never changes them"
        yield lacking("definitions", f"of another version, without {_some(old)}", remedy)
    else:
        yield well("definitions", f"all {len(KINDS)} kinds, with the fields of this version")


def _fields_missing(kind: Kind, definition: Document) -> Iterator[str]:
    versions = {one["name"]: one for one in definition["spec"]["versions"] if one.get("served")}
    if VERSION not in versions:
        yield VERSION
        return
    [ours] = manifest(kind)["spec"]["versions"]
    theirs = (versions[VERSION].get("schema") or {}).get("openAPIV3Schema") or {}
    yield from _missing(ours["schema"]["openAPIV3Schema"], theirs, "")
    if "status" not in (versions[VERSION].get("subresources") or {}):
        yield "status (as a subresource)"


def _missing(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths that a schema of ours has and another has not."""
    if theirs.get("x-kubernetes-preserve-unknown-fields"):
        return
    known = theirs.get("properties") or {}
    for name, part in (ours.get("properties") or {}).items():
        if name in known:
            yield from _missing(part, known[name], f"{path}{name}.")
        else:
            yield f"{path}{name}"
    for inner in ("items", "additionalProperties"):
        if isinstance(ours.get(inner), Mapping):
            yield from _missing(ours[inner], theirs.get(inner) or {}, path)


def rival(facts: ClusterFacts) -> Iterator[Finding]:
    """Nobody else looks after Sedna's kinds."""
    if isinstance(facts.deployments, Hidden):
        yield unseen("Sedna's manager", facts.deployments)
        return
    running = [one for one in facts.deployments if is_sednas_manager(one) and one["spec"].get("replicas", 1) > 0]
    if running:
        place = f"{running[0]['metadata']['namespace']}/{name_of(running[0])}"
        says = f"Deployment {place} runs: orbitloop leaves all of sedna.io to it"
        namespace, name = place.split("/")
        yield lacking(
            "Sedna's manager", says, f"kubectl -n {namespace} scale deployment {name} --replicas=0, or delete it"
        )
    else:
        yield well("Sedna's manager", "none beside ours")


def operators(facts: ClusterFacts) -> Iterator[Finding]:
    """The Global Manager runs."""
    if isinstance(facts.deployments, Hidden):
        yield unseen("operators", facts.deployments)
        return
    everywhere = [one for one in facts.deployments if name_of(one) == OPERATORS]
    here = [one for one in everywhere if one["metadata"]["namespace"] == facts.namespace]
    if not here:
        elsewhere = [str(one["metadata"]["namespace"]) for one in everywhere]
        remedy = f"give --namespace {elsewhere[0]}" if elsewhere else _INSTALL.format(facts.namespace)
        where = f", but in {elsewhere[0]}" if elsewhere else ""
        yield lacking("operators", f"namespace {facts.namespace} has no Deployment {OPERATORS}{where}", remedy)
    elif not (here[0].get("status") or {}).get("availableReplicas"):
        yield lacking("operators", f"not available: {_why(facts, OPERATORS)}", _logs(facts, f"deployment/{OPERATORS}"))
    else:
        yield well("operators", "the Deployment is available")


def lease(facts: ClusterFacts) -> Iterator[Finding]:
    """One of the operators holds the Lease, and renews it."""
    held = facts.lease
    if isinstance(held, Hidden):
        yield unseen("lease", held)
        return
    spec = {} if held is None else held.get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), _moment(spec.get("renewTime"))
    lasts = timedelta(seconds=int(spec.get("leaseDurationSeconds") or 15))
    if not holder or renewed is None:
        yield lacking("lease", "nobody holds it: nothing is reconciled", _logs(facts, f"deployment/{OPERATORS}"))
    elif facts.at - renewed > 2 * lasts:
        says = f"{holder} renewed it last at {renewed:%Y-%m-%d %H:%M:%S} UTC, which is too long ago"
        yield lacking("lease", says, _logs(facts, f"deployment/{OPERATORS}"))
    else:
        yield well("lease", f"held by {holder}")


def webhook(facts: ClusterFacts) -> Iterator[Finding]:
    """What users write is judged."""
    if isinstance(facts.webhook, Hidden):
        yield unseen("admission", facts.webhook)
    elif facts.webhook is None:
        remedy = (
            "set operators.admission, or kubectl apply -f operators/manifests/: else conditions say the same, later"
        )
        yield doubtful("admission", "there is no ValidatingWebhookConfiguration orbitloop", remedy)
    elif facts.reviewed is Review.REFUSED:
        yield well("admission", "the webhook answers: what it has to refuse was refused (a dry run)")
    elif facts.reviewed is Review.PASSED:
        remedy = "see that the API server reaches Service orbitloop-operators, port 443; " + _logs(
            facts, f"deployment/{OPERATORS}"
        )
        yield doubtful("admission", "the webhook does not answer: what it has to refuse passed (a dry run)", remedy)
    else:
        says = f"whether it answers was not to be found out ({facts.review})"
        yield doubtful("admission", says, "ask as somebody who may create a Satellite in namespace default")


def gateway(facts: ClusterFacts) -> Iterator[Finding]:
    """The gateway runs, and satellites can find it."""
    if isinstance(facts.stateful_sets, Hidden):
        yield unseen("gateway", facts.stateful_sets)
        return
    sets = named(facts.stateful_sets, GATEWAY)
    if not sets:
        yield _no_gateway(facts)
        return
    wanted, ready = sets[0]["spec"].get("replicas", 1), (sets[0].get("status") or {}).get("readyReplicas", 0)
    if ready < wanted:
        says = f"{ready} of {wanted} are ready: {_why(facts, GATEWAY)}"
        yield lacking("gateway", says, _logs(facts, f"statefulset/{GATEWAY}"))
    else:
        yield well("gateway", f"{ready} of {wanted} are ready")
    yield from _reach(facts)


def _no_gateway(facts: ClusterFacts) -> Finding:
    told = [
        word
        for one in named(facts.deployments, OPERATORS)
        for container in pod_spec(one)["containers"]
        for word in container.get("args") or ()
        if word.startswith("--gateway=")
    ]
    if told:
        return well("gateway", f"elsewhere, {told[0].removeprefix('--gateway=')}: not looked at")
    remedy = "set gateway.enabled, or gateway.url of one elsewhere; without it no satellite is reached"
    return lacking("gateway", f"namespace {facts.namespace} has no StatefulSet {GATEWAY}", remedy)


def _reach(facts: ClusterFacts) -> Iterator[Finding]:
    services = named(facts.services, GATEWAY)
    is_inside = all(one["spec"].get("type", "ClusterIP") == "ClusterIP" for one in services)
    has_port = any(
        port.get("hostPort")
        for one in named(facts.stateful_sets, GATEWAY)
        for container in pod_spec(one)["containers"]
        for port in container.get("ports") or ()
    )
    if services and is_inside and not has_port and not facts.ingresses:
        remedy = "set gateway.service.type to NodePort, gateway.hostPort, or gateway.ingress.enabled"
        yield doubtful(
            "way to it", "the gateway has an address in the cluster alone, which no satellite reaches", remedy
        )
        return
    silent = [one for one in facts.reached if one.problem]
    if facts.reached and len(silent) == len(facts.reached):
        says = f"nobody answers at {silent[0].address} from here ({silent[0].problem})"
        yield doubtful(
            "way to it", says, "try from where satellites call; firewalls, externalTrafficPolicy, or --no-reach"
        )
    elif facts.reached:
        answers = next(one for one in facts.reached if not one.problem)
        yield well("way to it", f"{answers.address} answers from here")


def secrets(facts: ClusterFacts) -> Iterator[Finding]:
    """Secrets that pods mount are there, with all that has to be in them."""
    for secret in facts.secrets:
        yield _secret(facts, secret)


def _secret(facts: ClusterFacts, secret: Secret) -> Finding:
    about, found = f"Secret {secret.name}", secret.found
    if isinstance(found, Hidden):
        return unseen(about, found)
    again = f"kubectl -n {facts.namespace} create secret generic {secret.name} …; see docs/howto/install-with-helm.md"
    if found is None:
        if secret.optional:
            return well(
                about, "not there, and need not be" if not secret.wanted else "not there: no datagrams are taken"
            )
        return lacking(about, f"namespace {facts.namespace} has none", again)
    absent = [name for name in secret.wanted if name not in found]
    if absent:
        judged = doubtful if secret.optional else lacking
        return judged(about, f"it has no {_some(absent)}", f"make it anew of the whole folder of keys: {again}")
    return well(
        about, f"it has {_some(sorted(secret.wanted or found))}" if found else "it is empty, and need not be more"
    )


def storage(facts: ClusterFacts) -> Iterator[Finding]:
    """Volumes are bound."""
    if isinstance(facts.claims, Hidden):
        yield unseen("storage", facts.claims)
        return
    phases = {name_of(one): (one.get("status") or {}).get("phase", "Pending") for one in facts.claims}
    wanted = {
        volume["persistentVolumeClaim"]["claimName"]
        for one in named(facts.stateful_sets, GATEWAY)
        for volume in pod_spec(one).get("volumes") or ()
        if "persistentVolumeClaim" in volume
    }
    for path in _node_folders(facts):
        yield well("storage", f"{path} of the gateway's node")
    for name in sorted(wanted | phases.keys()):
        phase = phases.get(name, "not there")
        remedy = f"kubectl -n {facts.namespace} describe pvc {name}: a storage class, or gateway.persistence.hostPath"
        if phase == "Bound":
            yield well(f"volume {name}", "bound")
        else:
            yield lacking(f"volume {name}", phase, remedy)


def _node_folders(facts: ClusterFacts) -> Iterator[str]:
    for one in named(facts.stateful_sets, GATEWAY):
        volumes = {volume["name"]: volume for volume in pod_spec(one).get("volumes") or ()}
        if "hostPath" in volumes.get("folder", {}):
            yield volumes["folder"]["hostPath"]["path"]


def other_pods(facts: ClusterFacts) -> Iterator[Finding]:
    """Whatever else is in the namespace is ready: a database, a broker."""
    if isinstance(facts.pods, Hidden):
        yield unseen("pods", facts.pods)
        return
    judged = {OPERATORS, GATEWAY, LOCAL_CONTROLLER}
    for pod in facts.pods:
        if labels(pod).get(NAME) in judged or (pod.get("status") or {}).get("phase") == "Succeeded" or is_ready(pod):
            continue
        remedy = f"kubectl -n {facts.namespace} describe pod {name_of(pod)}"
        yield lacking(f"pod {name_of(pod)}", trouble(pod), remedy)


def is_ready(pod: Document) -> bool:
    """Whether a pod is ready."""
    return condition(pod, "Ready").get("status") == "True"


def trouble(pod: Document) -> str:
    """Why a pod is not ready, in Kubernetes' own words."""
    status = pod.get("status") or {}
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = one.get("state") or {}
        waiting, ended = state.get("waiting"), state.get("terminated") or (one.get("lastState") or {}).get("terminated")
        if waiting and waiting.get("reason") not in {"PodInitializing", "ContainerCreating"}:
            return f"{one['name']}: {waiting.get('reason')} {waiting.get('message', '')}".strip()
        if ended and ended.get("exitCode"):
            return f"{one['name']} ended with {ended['exitCode']} {ended.get('message', '')}".strip()
    placed = condition(pod, "PodScheduled")
    if placed.get("status") == "False":
        return str(placed.get("message") or "no node takes it")
    return f"{status.get('phase', 'Pending')}, and not ready yet"


def _why(facts: ClusterFacts, part: str) -> str:
    pods = [pod for pod in named(facts.pods, part) if not is_ready(pod)]
    return trouble(pods[0]) if pods else "it has no pod yet"


def _logs(facts: ClusterFacts, what: str) -> str:
    return f"kubectl -n {facts.namespace} describe {what}; kubectl -n {facts.namespace} logs {what} --all-containers"


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return f"{', '.join(names[:_TOLD])}{more}"
