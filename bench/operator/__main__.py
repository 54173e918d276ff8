"""What the Global Manager takes, beside what the API server itself needs; written to build/bench/operator.json.

    python -m bench.operator [--jobs 100,300,1000] [--satellites 100]

Each number of jobs is applied, one object after another, to a fresh control plane, twice: to one where a client writes
the same first status at once (what the API server itself needs), and to one where the Global Manager runs. Then the
manager is killed and started again, and left alone for a minute.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.operator import load
from bench.operator.cluster import Api, FirstConditions, collection, control_plane
from bench.operator.manager import Manager
from hack.control_plane.binaries import Missing
from rich.console import Console
from rich.progress import track
from rich.table import Table

from orbitloop.adapters.durable import write_durably

_PATIENCE_S = 300.0
_CONSOLE = Console(stderr=True)
_REQUESTS = "orbitloop_operators_api_requests_total"
_LEASES_READ = '{resource="leases",status="200",verb="GET"}'
_RECONCILES = "orbitloop_operators_reconciles_total"


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="100,300,1000", help="how many, separated by commas (%(default)s)")
    parser.add_argument("--satellites", type=int, default=100, help="that they are spread over (%(default)s)")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds to look at idle (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("build/operator"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/operator.json"))
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    figures: dict[str, Any] = {"satellites": given.satellites, "scale": []}
    try:
        for jobs in map(int, given.jobs.split(",")):
            figures["scale"].append(measure(given.folder / str(jobs), jobs, given.satellites, given.idle))
    except Missing as missing:
        sys.stderr.write(f"bench.operator: {missing}; make control-plane builds it\n")
        return 1
    figures |= {name: figures["scale"][-1][name] for name in ("restart_s", "idle_requests_per_minute")}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_durably(given.out, json.dumps(figures, indent=2).encode())
    show(figures)
    _CONSOLE.print(str(given.out))
    return 0


def measure(folder: Path, jobs: int, satellites: int, idle: float) -> dict[str, Any]:
    """One number of jobs."""
    with control_plane(folder / "alone") as api:
        alone = apply(api, jobs, satellites, begin=lambda: None, follow=_written_by_a_client(api))
        idle_alone = _requests_in_a_minute(api, idle)
    with control_plane(folder / "managed") as api, (folder / "manager.log").open("ab") as log:
        manager = Manager.start(api.plane.kubeconfig, log)
        try:
            found = apply(api, jobs, satellites, begin=lambda: _until(manager.is_quiet), follow=lambda job: None)
            figures = _figures(jobs, found, alone)
            _until(manager.is_quiet)
            transitions = sum(found.conditions.values())
            figures["requests_per_transition"] = _requests(manager) / transitions
            figures["requests"] = manager.requests()
            figures["rss_mb"] = manager.resident_mb()
            written = _writes(manager)
            figures["idle_requests_per_minute"] = _requests_in_a_minute(api, idle) - idle_alone
            figures["idle_writes_per_minute"] = _writes(manager) - written
            manager.kill()
            manager, figures["restart_s"] = _restart(api, log, jobs)
            figures["restart_status_writes"] = manager.total(_REQUESTS, "/status")
        finally:
            manager.kill()
    return figures


def apply(
    api: Api, jobs: int, satellites: int, *, begin: Callable[[], object], follow: Callable[[dict[str, Any]], object]
) -> FirstConditionTimes:
    """Create everything as ``kubectl apply`` does, one after another; when each job was applied and first answered."""
    for document in load.surroundings(satellites):
        api.create(document)
    for number in range(jobs):
        api.create(load.dataset(number, satellites))
    begin()
    seen = FirstConditions(api, collection(load.job(0)))
    seen.start()
    applied: dict[str, float] = {}
    for number in track(range(jobs), description=f"applying {jobs} jobs", console=_CONSOLE):
        job = load.job(number)
        applied[job["metadata"]["name"]] = time.monotonic()
        api.create(job)
        follow(job)
    _until(lambda: len(seen.at) == jobs)
    return FirstConditionTimes(applied, seen)


class FirstConditionTimes:
    """From apply to the first condition, seconds; and how far each job came."""

    def __init__(self, applied: dict[str, float], seen: FirstConditions) -> None:
        self.seconds = [seen.at[name] - begun for name, begun in applied.items()]
        self.apply_s = max(applied.values()) - min(applied.values())
        self._seen = seen

    @property
    def conditions(self) -> dict[str, int]:
        """How many each has."""
        return self._seen.conditions

    @property
    def stages(self) -> set[tuple[str, str]]:
        """Where the jobs are."""
        return set(self._seen.stages.values())


def _figures(jobs: int, found: FirstConditionTimes, alone: FirstConditionTimes) -> dict[str, Any]:
    if found.stages != {("Train", "Waiting")}:
        raise SystemExit(f"not all jobs wait for samples: {found.stages}")
    return {
        "jobs": jobs,
        "first_condition_p50_s": _quantile(found.seconds, 0.50),
        "first_condition_p99_s": _quantile(found.seconds, 0.99),
        "api_server_p50_s": _quantile(alone.seconds, 0.50),
        "api_server_p99_s": _quantile(alone.seconds, 0.99),
        "apply_s": found.apply_s,
        "api_server_apply_s": alone.apply_s,
    }


def _written_by_a_client(api: Api) -> Callable[[dict[str, Any]], object]:
    """Writes the first status of each job, as soon as it is applied."""
    threads = ThreadPoolExecutor(8)

    def write(job: dict[str, Any]) -> None:
        path = f"{collection(job)}/{job['metadata']['name']}/status"
        now = datetime.now(UTC).isoformat()
        condition = {"type": "Waiting", "status": "True", "stage": "Train", "lastTransitionTime": now}
        api.ask("PATCH", path, {"status": {"conditions": [condition]}}, type="application/merge-patch+json")

    return lambda job: threads.submit(write, job)


def _restart(api: Api, log: Any, jobs: int) -> tuple[Manager, float]:
    """Start it on what is there: until it has looked at every job and has nothing left to do."""
    begun = time.monotonic()
    manager = Manager.start(api.plane.kubeconfig, log)
    _until(lambda: manager.total(_RECONCILES, 'kind="IncrementalLearningJob"') >= jobs)
    steady = time.monotonic() - begun
    _until(manager.is_quiet)
    return manager, steady


def _requests_in_a_minute(api: Api, seconds: float) -> float:
    before = api.requests()
    time.sleep(seconds)
    return (api.requests() - before - 1) * 60 / seconds  # one of them asked for the count


def _requests(manager: Manager) -> float:
    """What it asked so far, its lease left out; watches are not counted."""
    return manager.total(_REQUESTS) - manager.total(_REQUESTS, 'resource="leases"')


def _writes(manager: Manager) -> float:
    """What it wrote so far, renewals of its lease left out."""
    return _requests(manager) - manager.total(_REQUESTS, 'verb="GET"') + manager.total(_REQUESTS, _LEASES_READ)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"it did not come to rest within {_PATIENCE_S:.0f} s")
        time.sleep(0.05)


def _quantile(values: Sequence[float], share: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[round(100 * share) - 1]


def show(figures: dict[str, Any]) -> None:
    """The figures beside what is wanted."""
    names = ("jobs", "p50", "p99", "API server alone p99", "requests a transition", "resident", "restart")
    table = Table(*names)
    for each in figures["scale"]:
        table.add_row(
            str(each["jobs"]),
            f"{each['first_condition_p50_s']:.3f} s",
            f"{each['first_condition_p99_s']:.3f} s",
            f"{each['api_server_p99_s']:.3f} s",
            f"{each['requests_per_transition']:.2f}",
            f"{each['rss_mb']:.0f} MB",
            f"{each['restart_s']:.1f} s, {each['restart_status_writes']:.0f} written",
        )
    _CONSOLE.print(table)
    last = figures["scale"][-1]
    beyond = last["first_condition_p99_s"] - last["api_server_p99_s"]
    wanted = Table("figure", "wanted", "reached")
    for what, bound, reached, unit in (
        ("p99 beyond the API server's own", 2.0, beyond, "s"),
        ("resident", 300.0, last["rss_mb"], "MB"),
        ("restart", 15.0, last["restart_s"], "s"),
        ("statuses written by a restart", 0.0, last["restart_status_writes"], ""),
    ):
        wanted.add_row(what, f"≤ {bound:g} {unit}", f"{reached:.3g} {unit}", style="" if reached <= bound else "red")
    wanted.add_row("requests a minute when idle", "", f"{figures['idle_requests_per_minute']:.1f}")
    _CONSOLE.print(wanted)


if __name__ == "__main__":
    sys.exit(main())
