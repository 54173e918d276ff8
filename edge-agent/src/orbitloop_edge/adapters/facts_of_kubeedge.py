"""What a doctor sees of KubeEdge on a node. Nothing is changed by looking."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbitloop_edge.adapters.facts_on_board import is_open
from orbitloop_edge.usecases.checks_of_kubeedge import EdgeNode

_BROKERS = (1883, 1884)
_CRI = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime")
"""What containerd calls its part for Kubernetes, in versions 1 and 2."""
_SOCKET = Path("/run/containerd/containerd.sock")
_PATIENCE_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where things are on the node, below ``root``: where it is seen from within a container."""

    root: Path = Path("/")
    edgecore: Path = Path("/etc/kubeedge/config/edgecore.yaml")
    cni: Path = Path("/etc/cni/net.d")
    containerd: Path = Path("/etc/containerd/config.toml")

    def seen(self, path: Path) -> Path:
        """Where ``path`` of the node is found."""
        return self.root / path.relative_to("/") if path.is_absolute() else path


def edge_node(places: Places, wanted_image: str, satellite: str) -> EdgeNode:
    """All that is judged."""
    edgecore, cni = places.seen(places.edgecore), places.seen(places.cni)
    settings, problem = _edgecore(edgecore)
    return EdgeNode(
        edgecore=str(places.edgecore),
        problem=problem,
        settings=settings,
        cni_folder=str(places.cni),
        cni=_configurations(cni),
        runtime_driver=_runtime_driver(places.seen(places.containerd)),
        running=_running(places.seen(Path("/proc"))),
        images=_images(places.seen(_SOCKET)),
        wanted_image=wanted_image,
        open_ports=frozenset(port for port in _BROKERS if is_open("127.0.0.1", port)),
        satellite=satellite,
    )


def _edgecore(path: Path) -> tuple[Mapping[str, str], str]:
    try:
        settings = scalars(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        return {}, f"{path} cannot be read ({error})"
    if not any(name.startswith("modules.") for name in settings):
        return settings, f"{path} is no configuration of edgecore: it has no modules"
    return settings, ""


def scalars(text: str) -> dict[str, str]:
    """The scalars of YAML in block style, as keadm writes it, by their path with dots; lists are passed over.

    Not YAML whole: flow style, anchors and text of several lines are not understood, and a path that they hide is not
    there. A library for the rest of it would be most of what a satellite has none of.
    """
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        name, colon, value = line.strip().partition(":")
        if not colon or name.startswith(("#", "- ")) or (value and not value.startswith(" ")):
            continue
        indent = len(line) - len(line.lstrip(" "))
        while above and above[-1][0] >= indent:
            above.pop()
        above.append((indent, name.strip("\"'")))
        value = value.partition(" #")[0].strip().strip("\"'")
        if value:
            found[".".join(part for _, part in above)] = value
    return found


def _configurations(folder: Path) -> tuple[str, ...] | None:
    try:
        return tuple(sorted(path.name for path in folder.iterdir() if path.suffix in {".conf", ".conflist", ".json"}))
    except PermissionError:
        return None
    except OSError:
        return ()


def _listed(folder: Path) -> tuple[Path, ...]:
    try:
        return tuple(folder.iterdir())
    except OSError:
        return ()


def _runtime_driver(path: Path) -> str | None:
    """``systemd`` or ``cgroupfs``: what containerd has runc use; ``None`` where that cannot be read."""
    try:
        plugins = tomllib.loads(path.read_text(encoding="utf-8")).get("plugins", {})
    except FileNotFoundError:
        return "cgroupfs"  # containerd's own default
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    for name in _CRI:
        options = _at(plugins, name, "containerd", "runtimes", "runc", "options")
        if options is not None:
            return "systemd" if options.get("SystemdCgroup") is True else "cgroupfs"
    return "cgroupfs"


def _at(document: Any, *path: str) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def _running(proc: Path) -> frozenset[str]:
    names = set()
    for place in _listed(proc):
        if place.name.isdigit():
            try:
                names.add((place / "comm").read_text().strip())
            except OSError:  # it has ended
                continue
    return frozenset(names)


def _images(socket: Path) -> frozenset[str] | None:
    ctr = shutil.which("ctr")
    if ctr is None:
        return None
    try:
        ran = subprocess.run(  # noqa: S603  # containerd's own program, asked what it holds
            [ctr, "--address", str(socket), "-n", "k8s.io", "images", "ls", "-q"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return frozenset(ran.stdout.split()) if ran.returncode == 0 else None
