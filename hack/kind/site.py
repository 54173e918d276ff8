"""What a ground and its satellites hold before anything is installed: keys, folders, the first model, contacts."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hack.images.docker import Failed
from hack.kind import views
from hack.kind.programs import GROUND, Programs

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.plans import read_plan, write_plan
from orbitloop.domain.contacts import ContactWindow
from orbitloop_ground.cli import main as ground

NAMESPACE = "orbitloop-system"
STATION = "ground"
LABELS = "/data/annotations.json"
MODEL = "/srv/orbitloop/model"
USER = 65532
"""Whom the chart's processes run as."""

_FIRST_MODEL = Path(__file__).parents[2] / "examples" / "models" / "airplane-1m"
_MODEL_FILES = ("detector.json", "weights.safetensors", "graph.onnx")
_AHEAD = timedelta(days=7)
_MOST_PASSES = 8_000
"""In a plan: a ConfigMap takes a megabyte, and a pass is about a hundred bytes."""
_MOST_PUBLISHED = 200
"""Windows that a ContactPlan takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When satellites are in contact: for ``contact``, then not for ``away``, which may be zero."""

    contact: timedelta
    away: timedelta


@dataclass(frozen=True, slots=True)
class Folder:
    """Where this machine keeps what the cluster was made with."""

    path: Path

    @property
    def keys(self) -> Path:
        """Of the ground and of each satellite."""
        return self.path / "keys"

    @property
    def token(self) -> Path:
        """What gateway and operators share."""
        return self.path / "token"

    @property
    def plan(self) -> Path:
        """The contact plan."""
        return self.path / "passes.csv"

    @property
    def values(self) -> Path:
        """What the chart is told beside values-kind.yaml."""
        return self.path / "values.json"

    def remember(self, cluster: str) -> None:
        """This is the cluster that the folder belongs to from now on."""
        write_durably(self.path / "cluster", cluster.encode())

    def knows(self, cluster: str) -> bool:
        """Whether the folder belongs to that cluster."""
        try:
            return (self.path / "cluster").read_text(encoding="utf-8") == cluster
        except FileNotFoundError:
            return False


def make_keys(folder: Folder, satellites: Sequence[str]) -> bool:
    """Keys for all that have none yet; whether any was made. Raises :class:`Failed`."""
    lacking = [name for name in satellites if not (folder.keys / "satellites" / name / "satellite.key").exists()]
    made = ["keys", str(folder.keys), *(word for name in lacking for word in ("--satellite", name))]
    if lacking and ground(made):
        raise Failed(f"no keys could be made in {folder.keys}, as said above")
    if not folder.token.exists():
        write_durably(folder.token, secrets.token_urlsafe(32).encode())
    return bool(lacking)


def make_plan(folder: Folder, rhythm: Rhythm, satellites: Sequence[str]) -> None:
    """Passes from now on, of all satellites at once: for a week, or as many as a ConfigMap takes."""
    now = datetime.now(UTC).replace(microsecond=0)
    windows = list[ContactWindow]()
    aos = now
    while aos < now + _AHEAD and len(windows) + len(satellites) <= _MOST_PASSES:
        los = aos + rhythm.contact if rhythm.away else now + _AHEAD
        # each satellite has an antenna of its own
        windows += [
            ContactWindow(aos=aos, los=los, station=STATION, satellite=name, antenna=f"{STATION}-{name}")
            for name in satellites
        ]
        aos = los + rhythm.away
    write_plan(folder.plan, windows)


def give_secrets(programs: Programs, folder: Folder) -> None:
    """The gateway's keys and the token. Idempotent."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    programs.kube("apply", "-f", "-", given=json.dumps(namespace))
    given = {
        "orbitloop-gateway-keys": f"--from-file={folder.keys / 'ground'}",
        "orbitloop-link-keys": f"--from-file={folder.keys / 'ground' / 'links'}",
        "orbitloop-operator-token": f"--from-file=token={folder.token}",
    }
    for name, source in given.items():
        made = programs.kube(
            "-n", NAMESPACE, "create", "secret", "generic", name, source, "--dry-run=client", "-o", "json"
        )
        programs.kube("apply", "-f", "-", given=made)


def furnish_ground(programs: Programs) -> None:
    """Labels of what the camera sees, the first model, and folders that training may write to."""
    model = [(f"data/model/{name}", (_FIRST_MODEL / name).read_bytes()) for name in _MODEL_FILES]
    files = [(LABELS.lstrip("/"), views.all_annotations().encode()), *model]
    _unpack(programs, GROUND, files)
    programs.inside(GROUND, f"mkdir -p /data /output && chown {USER}:{USER} /data /output")


def furnish_satellite(programs: Programs, folder: Folder, satellite: str) -> None:
    """Keys and the first model."""
    keys = [
        (f"etc/orbitloop/keys/{path.name}", path.read_bytes())
        for path in sorted((folder.keys / "satellites" / satellite).iterdir())
    ]
    model = [(f"{MODEL.lstrip('/')}/{name}", (_FIRST_MODEL / name).read_bytes()) for name in _MODEL_FILES]
    _unpack(programs, satellite, [*keys, *model])
    programs.inside(satellite, "chmod 0700 /etc/orbitloop/keys && mkdir -p /var/lib/orbitloop-frames")


def chart_values(folder: Folder, satellites: Sequence[str], settings: str) -> None:
    """What the chart is told: whose samples are exported, when there is contact, and more of satellite.toml."""
    exports = [{"satellite": name, "to": f"/data/{name}", "every": 5} for name in satellites]
    told = {
        "gateway": {"exports": exports, "settings": {"labels": LABELS}},
        "localController": {
            "model": MODEL,
            "files": {"passes.csv": folder.plan.read_text(encoding="utf-8")},
            "settings": '[contacts]\nplan = "/config/passes.csv"\npoll_seconds = 5\n' + settings,
        },
    }
    write_durably(folder.values, json.dumps(told).encode())


def contact_plan(folder: Folder) -> str:
    """The next passes as a ContactPlan, for whoever looks into the cluster."""
    now = datetime.now(UTC)
    ahead = [window for window in read_plan(folder.plan) if window.los > now][:_MOST_PUBLISHED]
    windows = [
        {"satellite": w.satellite, "station": w.station, "aos": w.aos.isoformat(), "los": w.los.isoformat()}
        for w in ahead
    ]
    return json.dumps(
        {
            "apiVersion": "orbitloop.io/v1alpha1",
            "kind": "ContactPlan",
            "metadata": {"name": "kind", "namespace": "default"},
            "spec": {"windows": windows},
        }
    )


def _unpack(programs: Programs, node: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Put files below a node's root, each at once in place of what was there."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    programs.inside(node, "tar -C / --no-same-owner -xf -", given=packed.getvalue())
