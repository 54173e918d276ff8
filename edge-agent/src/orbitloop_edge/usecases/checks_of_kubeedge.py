"""What KubeEdge needs on a satellite's node, judged from what was seen there: facts go in, findings come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from orbitloop.domain.findings import Finding, doubtful, lacking, well

DRIVER = "modules.edged.tailoredKubeletConfig.cgroupDriver"
META_SERVER = "modules.metaManager.metaServer.enable"
NODE_NAME = "modules.edged.hostnameOverride"
MQTT_MODE = "modules.eventBus.mqttMode"
_BROKERS = {"0": (1884,), "1": (1883, 1884), "2": (1883,)}
"""Ports that the event bus uses, by its mode: inside edgecore, both, a broker beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeNode:
    """What was seen of KubeEdge on a node.

    Args:
        edgecore: path of ``edgecore.yaml``.
        problem: why that cannot be read; empty where it could be.
        settings: its scalars, by path, as text.
        cni: names of the CNI configurations in ``cni_folder``; ``None`` where it may not be looked into.
        runtime_driver: ``systemd`` or ``cgroupfs``, by containerd's configuration; ``None``: not known.
        running: names of the programs that run.
        images: what containerd holds; ``None`` where it could not be asked.
        wanted_image: what the Local Controller runs from.
        open_ports: of the MQTT ports of this machine, those that somebody listens on.
        satellite: name of the satellite; empty where no configuration was given.
    """

    edgecore: str
    problem: str = ""
    settings: Mapping[str, str]
    cni_folder: str
    cni: tuple[str, ...] | None
    runtime_driver: str | None
    running: frozenset[str]
    images: frozenset[str] | None
    wanted_image: str
    open_ports: frozenset[int] = frozenset()
    satellite: str = ""


def examined(seen: EdgeNode) -> tuple[Finding, ...]:
    """All findings, in the order in which one would mend things."""
    return tuple(finding for check in CHECKS for finding in check(seen))


def _edgecore(seen: EdgeNode) -> Iterator[Finding]:
    if seen.problem:
        yield lacking("edgecore", seen.problem, "keadm join writes it; or give --edgecore its path")
    elif "edgecore" not in seen.running:
        yield lacking("edgecore", "it does not run", "systemctl status edgecore; journalctl -u edgecore says why")
    else:
        yield well("edgecore", f"it runs, and {seen.edgecore} reads")


def _kubelet(seen: EdgeNode) -> Iterator[Finding]:
    rivals = sorted(seen.running & {"kubelet", "kube-proxy"})
    if rivals:
        says = f"{' and '.join(rivals)} runs beside edgecore, which refuses such a node"
        yield lacking("kubelet", says, f"systemctl disable --now {' '.join(rivals)}")
    else:
        yield well("kubelet", "none beside edgecore")


def _cni(seen: EdgeNode) -> Iterator[Finding]:
    if seen.cni:
        yield well("CNI", f"{seen.cni_folder} has {', '.join(seen.cni)}")
    elif seen.cni is None:
        yield doubtful("CNI", f"{seen.cni_folder} may not be looked into", "ask as root, on the node")
    else:
        remedy = (
            "put a bridge or loopback configuration there; the node is not Ready without, even for pods on its network"
        )
        yield lacking("CNI", f"{seen.cni_folder} has no configuration", remedy)


def _cgroups(seen: EdgeNode) -> Iterator[Finding]:
    edgecore, runtime = seen.settings.get(DRIVER), seen.runtime_driver
    if seen.problem:
        return
    if edgecore is None or runtime is None:
        unread = f"{DRIVER} of {seen.edgecore}" if edgecore is None else "containerd's configuration"
        yield doubtful("cgroup driver", f"{unread} does not say", "see that edgecore and containerd have the same one")
    elif edgecore != runtime:
        remedy = f"keadm join --cgroupdriver={runtime}, or set {DRIVER} to it and restart edgecore"
        yield lacking("cgroup driver", f"edgecore has {edgecore}, containerd {runtime}: no pod starts", remedy)
    else:
        yield well("cgroup driver", f"{edgecore}, in edgecore and containerd")


def _meta_server(seen: EdgeNode) -> Iterator[Finding]:
    if seen.problem:
        return
    if seen.settings.get(META_SERVER, "false") == "true":
        says = "it is on: any program on the node may read Secrets of the cluster by 127.0.0.1:10550"
        yield doubtful("metaServer", says, f"set {META_SERVER} to false and restart edgecore; nothing of ours asks it")
    else:
        yield well("metaServer", "off")


def _name(seen: EdgeNode) -> Iterator[Finding]:
    node = seen.settings.get(NODE_NAME)
    if node is None or not seen.satellite:
        return
    if node != seen.satellite:
        says = f"the node is called {node}, the satellite {seen.satellite}"
        yield doubtful(
            "name", says, "the chart calls a satellite as its node unless localController.satellites names it"
        )
    else:
        yield well("name", f"node and satellite are called {node}")


def _broker(seen: EdgeNode) -> Iterator[Finding]:
    mode = seen.settings.get(MQTT_MODE, "2")
    shut = [port for port in _BROKERS.get(mode, ()) if port not in seen.open_ports]
    if seen.problem or mode not in _BROKERS:
        return
    if shut:
        says = f"nobody listens on 127.0.0.1:{', '.join(map(str, shut))} (mqttMode {mode})"
        remedy = "start mosquitto, or set mqttMode to 0: device twins wait for it; learning does not use it"
        yield doubtful("MQTT", says, remedy)
    else:
        yield well("MQTT", f"127.0.0.1:{', '.join(map(str, _BROKERS[mode]))} (mqttMode {mode})")


def _images(seen: EdgeNode) -> Iterator[Finding]:
    remedy = (
        f"before launch: ctr -n k8s.io images import FILE, with {seen.wanted_image}; a contact is no time to pull it"
    )
    if seen.images is None:
        says = "containerd could not be asked"
        yield doubtful("images", says, "run as root where ctr is; orbitloop doctor sees them from the ground")
    elif not any(image == seen.wanted_image or image.endswith(f"/{seen.wanted_image}") for image in seen.images):
        yield lacking("images", f"{seen.wanted_image} is not on the node", remedy)
    else:
        yield well("images", f"{seen.wanted_image} is on the node")


CHECKS: tuple[Callable[[EdgeNode], Iterator[Finding]], ...] = (
    _edgecore,
    _kubelet,
    _cni,
    _cgroups,
    _meta_server,
    _name,
    _broker,
    _images,
)
"""Every check on a node of KubeEdge."""
