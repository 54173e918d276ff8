"""The status of a pod is what a kubelet would write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from orbitloop_mission.local_node.statuses import (
    ContainerState,
    Running,
    State,
    Terminated,
    Waiting,
    phase_of,
    states_of,
    status_of,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAITS, RUNS = Waiting(reason="ContainerCreating"), Running(since=NOW)


def ended(code: int) -> Terminated:
    reason = "Completed" if code == 0 else "Error"
    return Terminated(code=code, signal=0, reason=reason, message="bye", began=NOW, ended=NOW)


def container(state: State, last: Terminated | None = None) -> ContainerState:
    return ContainerState(name="c", image="i", state=state, last=last)


@pytest.mark.parametrize(
    ("first", "main", "policy", "phase"),
    [
        ([], [WAITS], "Never", "Pending"),
        ([], [RUNS], "Never", "Running"),
        ([], [RUNS, WAITS], "Never", "Running"),
        ([], [ended(0)], "Never", "Succeeded"),
        ([], [ended(0)], "OnFailure", "Succeeded"),
        ([], [ended(0)], "Always", "Running"),
        ([], [ended(1)], "Never", "Failed"),
        ([], [ended(1)], "OnFailure", "Running"),
        ([], [ended(1), RUNS], "Never", "Running"),
        ([], [ended(1), ended(0)], "Never", "Failed"),
        ([RUNS], [WAITS], "Never", "Pending"),
        ([ended(1)], [WAITS], "Never", "Failed"),
        ([ended(1)], [WAITS], "OnFailure", "Pending"),
        ([ended(0)], [RUNS], "Never", "Running"),
    ],
)
def test_the_phase_follows_from_the_containers(first: list[State], main: list[State], policy: str, phase: str) -> None:
    assert phase_of([container(one) for one in first], [container(one) for one in main], policy) == phase


def test_a_container_that_waits_for_its_next_start_keeps_the_pod_running() -> None:
    assert phase_of([], [container(Waiting(reason="CrashLoopBackOff"), ended(1))], "Always") == "Running"


def test_a_restart_is_counted_and_the_last_end_is_kept() -> None:
    begun = container(WAITS).now(RUNS)
    again = begun.now(ended(3)).now(Waiting(reason="CrashLoopBackOff")).now(RUNS)
    assert (begun.restarts, begun.last) == (0, None)
    assert (again.restarts, again.last) == (1, ended(3))


def pod(status: dict[str, Any]) -> dict[str, Any]:
    spec = {"initContainers": [{"name": "i", "image": "i"}], "containers": [{"name": "c", "image": "c"}]}
    return {"metadata": {"name": "p", "uid": "u"}, "spec": spec, "status": status}


def test_the_whole_status() -> None:
    states = states_of(pod({}))
    states["i"] = states["i"].now(RUNS).now(ended(0))
    states["c"] = states["c"].now(RUNS)
    made = status_of(pod({}), states, "Running", NOW)
    assert made["initContainerStatuses"][0]["ready"] is True
    assert made["initContainerStatuses"][0]["state"] == {
        "terminated": {
            "exitCode": 0,
            "reason": "Completed",
            "message": "bye",
            "startedAt": "2026-03-01T12:00:00Z",
            "finishedAt": "2026-03-01T12:00:00Z",
        }
    }
    assert made["containerStatuses"] == [
        {
            "name": "c",
            "image": "c",
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-03-01T12:00:00Z"}},
            "lastState": {},
        }
    ]
    assert {one["type"]: one["status"] for one in made["conditions"]} == {
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }


def test_a_condition_keeps_its_time_while_it_stays() -> None:
    first = status_of(pod({}), states_of(pod({})), "Pending", NOW)
    later = NOW.replace(hour=13)
    again = status_of(pod(first), states_of(pod(first)), "Pending", later)
    assert again["conditions"] == first["conditions"]
    assert again["startTime"] == "2026-03-01T12:00:00Z"


def test_what_ran_when_the_machine_stopped_is_counted_as_a_restart() -> None:
    states = states_of(pod({}))
    states["c"] = states["c"].now(RUNS)
    found = states_of(pod(status_of(pod({}), states, "Running", NOW)))
    assert (found["i"].restarts, found["c"].restarts) == (0, 1)
