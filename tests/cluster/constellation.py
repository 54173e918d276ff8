"""The cluster that `make kind-up` makes, as the tests see it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hack.kind.bring_up import programs_for
from hack.kind.programs import Programs
from hack.kind.site import NAMESPACE, Folder

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "02-incremental-learning"
SATELLITE = "orbitloop-worker"
JOB = "aircraft"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Constellation:
    """A ground and a satellite."""

    folder: Folder
    programs: Programs

    @classmethod
    def up(cls, folder: Path, *options: str) -> Constellation:
        """As `make kind-up` does it, on a machine without a registry unless ``ORBITLOOP_ONLINE`` is set."""
        offline = () if os.environ.get("ORBITLOOP_ONLINE") else ("--offline",)
        run_kind(folder, *offline, "up", *options)
        return cls(Folder(folder), programs_for(offline=False, folder=Folder(folder)))

    def kube(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl says."""
        return self.programs.kube(*arguments, given=given)

    def object(self, kind: str, name: str, namespace: str = "default") -> Document:
        """An object of the cluster."""
        found: Document = json.loads(self.kube("-n", namespace, "get", kind, name, "-o", "json"))
        return found

    def objects(self, kind: str, namespace: str = NAMESPACE, labels: str = "") -> list[Document]:
        """Objects of the cluster."""
        chosen = ("-l", labels) if labels else ()
        found: list[Document] = json.loads(self.kube("-n", namespace, "get", kind, "-o", "json", *chosen))["items"]
        return found

    def apply(self, documents: list[Document]) -> None:
        """As kubectl does it."""
        self.kube("apply", "-f", "-", given=yaml.safe_dump_all(documents))

    def job(self, name: str = JOB) -> Document:
        """The job's status."""
        return dict(self.object("incrementallearningjob", name).get("status") or {})

    def file(self, node: str, path: str) -> bytes:
        """A file of a node."""
        return base64.b64decode(self.programs.inside(node, f"base64 -w0 {path}"))

    def on_board(self) -> Document:
        """What the satellite wrote of itself last, read on the spot and not over its link."""
        return dict(json.loads(self.programs.inside(SATELLITE, "cat /var/lib/orbitloop/status.json")))

    def telling(self) -> str:
        """All that helps when something did not happen."""
        statuses = "jsonpath={range .items[*]}{.status}{'\\n'}{end}"
        parts = [
            self.kube("-n", "default", "get", "il,at,sel", "-o", statuses)[-3_000:],
            self.kube("get", "pods", "-A", "-o", "wide"),
            self.kube("-n", NAMESPACE, "logs", "deployment/orbitloop-operators", "--tail=30"),
            self.kube("-n", NAMESPACE, "logs", "orbitloop-gateway-0", "-c", "gateway", "--tail=30"),
        ]
        return "\n".join(parts)

    def until(self, true: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{self.telling()}"
            time.sleep(1)


def run_kind(folder: Path, *arguments: str) -> None:
    """`python -m hack.kind`, whose words are shown."""
    subprocess.run([sys.executable, "-m", "hack.kind", "--folder", str(folder), *arguments], cwd=ROOT, check=True)


def example() -> list[Document]:
    """What `kubectl apply -f examples/02-incremental-learning/` applies, in its order."""
    files = sorted(EXAMPLE.glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


@dataclass(slots=True)
class Meter:
    """Bytes over a satellite's interface, looked at five times a second by its own node."""

    samples: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, bytes down and bytes up, since the node started."""

    def fastest_down(self, seconds: float) -> float:
        """The highest rate over any so many seconds, in bits per second."""
        return self._fastest(seconds, 1)

    def fastest_up(self, seconds: float) -> float:
        """The same towards the satellite."""
        return self._fastest(seconds, 2)

    def _fastest(self, seconds: float, column: int) -> float:
        best, first = 0.0, 0
        for last in self.samples:
            while last[0] - self.samples[first][0] > seconds:
                first += 1
            spent = last[0] - self.samples[first][0]
            if spent > seconds / 2:
                best = max(best, (last[column] - self.samples[first][column]) * 8 / spent)
        return best


@contextmanager
def metering(constellation: Constellation) -> Iterator[Meter]:
    """A meter that runs meanwhile; it ends early if the node does."""
    script = (
        "cd /sys/class/net/eth0/statistics; "
        "while :; do read now _ </proc/uptime; read down <tx_bytes; read up <rx_bytes; "
        'echo "$now $down $up"; sleep 0.2; done'
    )
    meter = Meter()

    def read(lines: Any) -> None:
        for line in lines:
            now, down, up = line.split()
            meter.samples.append((float(now), int(down), int(up)))

    command = [constellation.programs.docker, "exec", SATELLITE, "bash", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=read, args=(process.stdout,))
        reader.start()
        try:
            yield meter
        finally:
            process.kill()
            reader.join()
