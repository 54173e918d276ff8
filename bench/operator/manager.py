"""The Global Manager as a process, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(slots=True, kw_only=True)
class Manager:
    """One running process."""

    process: subprocess.Popen[str]
    port: int

    @classmethod
    def start(cls, kubeconfig: Path, log: IO[bytes]) -> Manager:
        """Start it; it answers probes from now on."""
        command = [sys.executable, "-m", "orbitloop_operators", "run", "--probes-port", "0"]
        command += ["--kubeconfig", str(kubeconfig), "--lease-namespace", "default"]
        command += ["--lease-identity", "bench"]  # as a pod whose container is started again
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SystemExit(f"the operators did not start; see {log.name}")
        return cls(process=process, port=json.loads(line)["probes_port"])

    def metrics(self) -> dict[str, float]:
        """Everything it counts, by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(r"^(\w+(?:\{.*\})?) ([0-9.e+-]+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    def total(self, name: str, holds: str = "") -> float:
        """Sum of a metric over its labels, of those that hold a text."""
        return sum(value for key, value in self.metrics().items() if key.startswith(name) and holds in key)

    def requests(self) -> dict[str, float]:
        """How many of each kind it sent: ``POST pods 201``."""
        found: dict[str, float] = {}
        for key, value in self.metrics().items():
            if key.startswith("orbitloop_operators_api_requests_total"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', key))
                found[f"{labels['verb']} {labels['resource']} {labels['status']}"] = value
        return found

    def resident_mb(self) -> float:
        """The most memory that it ever had resident, MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6  # type: ignore[index]

    def is_quiet(self) -> bool:
        """Whether nothing is due: what waits, waits for a time of its own."""
        before = self.total("orbitloop_operators_reconciles_total")
        time.sleep(0.5)
        return before == self.total("orbitloop_operators_reconciles_total")

    def kill(self) -> None:
        """As a crash would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
