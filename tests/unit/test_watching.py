"""What people who watch a cluster are told."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from orbitloop.testing.builders import a_digest
from orbitloop_mission.cli.scene_table import SceneTable
from orbitloop_mission.watching.changes import Look, What, changes, new_entries, short, size
from orbitloop_mission.watching.metrics import compared, in_words
from orbitloop_mission.watching.views import JobView, SatelliteView, Scene, as_json, scene_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVALUATED = json.dumps({"output": {"models": [{"metrics": {"map50": 0.9}}, {"metrics": {"map50": 0.5}}]}})


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def a_step(stage: str, state: str, message: str = "", data: str = "", minute: int = 0) -> dict[str, Any]:
    at = stamp(NOON + timedelta(minutes=minute))
    return {
        "type": state, "status": "True", "stage": stage, "lastTransitionTime": at, "message": message, "data": data
    }  # fmt: skip


def a_job(**status: Any) -> dict[str, Any]:
    known = {
        "stage": "Train",
        "state": "Waiting",
        "phase": "Waiting",
        "round": 1,
        "message": "3 samples are too few",
        "samples": {"used": 0, "waiting": 3},
        "conditions": [a_step("Train", "Waiting", "3 samples are too few")],
    }
    return {"metadata": {"namespace": "lab", "name": "helmets"}, "status": known | status}


def a_satellite(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "lab", "name": "bupt-1"},
        "spec": {"nodeName": "edge-1"},
        "status": {"conditions": [], **status},
    }


DEPLOYING = a_job(
    stage="Deploy",
    state="Running",
    phase="Deploying",
    message="bupt-1 is offered the model",
    candidate={"url": "/m", "digest": a_digest(2)},
    satellites=[{"name": "bupt-1", "node": "edge-1", "offered": True, "flying": a_digest(1)}],
    conditions=[a_step("Eval", "Completed", "it is better", EVALUATED), a_step("Deploy", "Running", "offered")],
)


def a_scene(job: dict[str, Any] | None = None, satellite: dict[str, Any] | None = None) -> Scene:
    return scene_of([] if job is None else [job], [] if satellite is None else [satellite], [])


def lines(before: Scene, now: Scene) -> list[str]:
    return [line for change in changes(before, now) for line in change.lines]


def test_a_job_says_where_it_is_and_what_its_models_measured() -> None:
    (job,) = a_scene(DEPLOYING).jobs
    assert (job.round, job.phase, job.candidate) == (1, "Deploying", a_digest(2))
    assert in_words(job.metrics) == "map50 0.500 → 0.900"
    assert as_json(job)["metrics"] == {"map50": {"deployed": 0.5, "new": 0.9}}
    assert as_json(job)["step"]["message"] == "offered"


def test_a_job_that_nobody_has_taken_up_says_so() -> None:
    job = {"metadata": {"namespace": "lab", "name": "helmets"}}
    (change,) = changes(None, a_scene(job))
    assert "are the operators running" in change.lines[0]
    assert as_json(change.view)["step"] is None


@pytest.mark.parametrize("data", ["", "{", "[]", '{"output": {"models": [{"metrics": 3}, {"metrics": 4}]}}', "3"])
def test_words_of_another_controller_are_passed_over(data: str) -> None:
    job = a_job(conditions=[a_step("Eval", "Completed", "done", data)], phase="Pondering")
    (view,) = a_scene(job).jobs
    assert (view.metrics, view.phase) == ({}, "")


def test_a_satellite_knows_what_is_on_its_way_to_it_until_it_has_answered() -> None:
    assert scene_of([DEPLOYING], [a_satellite()], []).satellites[0].offered == a_digest(2)
    answered = a_job(**DEPLOYING["status"])
    answered["status"]["satellites"] = [{"name": "bupt-1", "offered": True, "outcome": "applied"}]
    assert scene_of([answered], [a_satellite()], []).satellites[0].offered == ""


def test_the_next_contact_is_over_the_station_that_the_contact_plan_says() -> None:
    aos = NOON + timedelta(hours=1)
    window = {
        "satellite": "bupt-1",
        "station": "tongchuan",
        "aos": stamp(aos),
        "los": stamp(aos + timedelta(minutes=8)),
    }
    plan = {"metadata": {"namespace": "lab", "name": "plan"}, "status": {"windows": [window]}}
    satellite = a_satellite(nextContact=stamp(aos), lastContact="yesterday", queuedSamples=3, queuedBytes=2_500_000)
    (one,) = scene_of([], [satellite], [plan]).satellites
    assert (one.station, one.next_end) == ("tongchuan", aos + timedelta(minutes=8))
    assert one.last_contact is None, "a field that cannot be read hides no other"
    (change,) = changes(None, scene_of([], [satellite], [plan]))
    assert change.lines == (
        "– flies, not heard yet, 3 samples wait on board (2.5 MB), next contact 01 Mar 13:00:00 UTC over tongchuan",
    )


def test_each_step_of_a_job_is_a_line_even_where_several_came_between_two_looks() -> None:
    told = lines(a_scene(a_job()), a_scene(DEPLOYING))
    assert told[0] == "round 1: Eval Completed: it is better (map50 0.500 → 0.900)"
    assert told[1] == "round 1: Deploy Running: offered"
    assert told[2:] == [f"{short(a_digest(2))} is offered to bupt-1", "bupt-1 is offered the model"]


def test_nothing_is_said_of_what_is_as_before() -> None:
    scene = scene_of([DEPLOYING], [a_satellite(queuedSamples=3)], [])
    assert changes(scene, scene_of([DEPLOYING], [a_satellite(queuedSamples=3)], [])) == ()


def test_what_came_and_what_went_is_said() -> None:
    empty, full = a_scene(), a_scene(a_job(), a_satellite())
    assert [change.what for change in changes(empty, full)] == [What.APPEARED, What.APPEARED]
    assert [(change.what, change.lines) for change in changes(full, empty)] == [(What.GONE, ("was deleted",))] * 2


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"flying": a_digest(3)}, "flies"),
        ({"selection": {"application": "ships", "version": 3, "digest": a_digest(4)}}, "frames go by ships 3"),
        ({"queuedSamples": 5, "queuedBytes": 900}, "5 samples wait on board (900 B)"),
        ({"conditions": [{"type": "InContact", "status": "True"}]}, "in contact"),
        ({"lastContact": stamp(NOON)}, "last heard 01 Mar 12:00:00 UTC"),
        ({"nextContact": stamp(NOON)}, "next contact 01 Mar 12:00:00 UTC"),
        ({"conditions": [{"type": "Ready", "status": "False", "message": "no such node"}]}, "no such node"),
    ],
)
def test_what_is_new_of_a_satellite_is_a_line(status: dict[str, Any], said: str) -> None:
    assert any(said in line for line in lines(a_scene(None, a_satellite()), a_scene(None, a_satellite(**status))))


def test_a_failure_says_when_it_is_tried_again() -> None:
    failed = a_job(phase="BackingOff", failures=1, lastError="exit code 1", retryAt=stamp(NOON))
    assert "exit code 1; tried again at 01 Mar 12:00:00 UTC" in lines(a_scene(a_job()), a_scene(failed))


def test_steps_that_were_forgotten_are_not_told_again() -> None:
    assert list(new_entries("abcd", "cdef")) == list("ef")
    assert list(new_entries("abcd", "abcd")) == []
    assert list(new_entries("", "ab")) == list("ab")


def test_metrics_of_a_model_that_is_compared_with_none_have_no_old_value() -> None:
    data = json.dumps({"output": {"models": [{"metrics": {"map50": [0.5, 1]}}]}})
    assert in_words(compared(data)) == "map50 – → [0.500, 1.000]"


@pytest.mark.parametrize(
    ("count", "said"), [(None, "–"), (0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2e9, "2.0 GB")]
)
def test_sizes_are_told_in_their_unit(count: int | None, said: str) -> None:
    assert size(count) == said


def test_a_terminal_shows_both_tables_and_how_long_ago_and_until() -> None:
    drawn = io.StringIO()
    table = SceneTable(Console(file=drawn, force_terminal=True, width=200))
    satellite = a_satellite(
        lastContact=stamp(NOON - timedelta(minutes=90)),
        nextContact=stamp(NOON + timedelta(seconds=75)),
        flying=a_digest(1),
    )
    scene = scene_of([DEPLOYING], [satellite], [])
    with table.live:
        table.seen(Look(scene=scene, changed=(), at=NOON))
        table.away("the API server does not answer")
    shown = drawn.getvalue()
    for said in ("lab/helmets", "lab/bupt-1", "map50 0.500 → 0.900", "1 h 30 min ago", "in 1 min 15 s", "Ctrl-C ends"):
        assert said in shown
    assert "the API server does not answer; this was so before" in shown


def test_a_narrow_terminal_cuts_no_digest() -> None:
    drawn = io.StringIO()
    scene = scene_of([DEPLOYING], [a_satellite(flying=a_digest(1), queuedSamples=7, queuedBytes=900)], [])
    SceneTable(Console(file=drawn, width=80)).print(scene, NOON)
    assert short(a_digest(1)) in drawn.getvalue()
    assert short(a_digest(2)) in drawn.getvalue()


def test_what_is_seen_is_plain_json() -> None:
    scene = scene_of([DEPLOYING], [a_satellite(lastContact=stamp(NOON))], [])
    views: list[JobView | SatelliteView] = [*scene.jobs, *scene.satellites]
    assert json.loads(json.dumps([as_json(view) for view in views]))[1]["last_contact"] == "2026-03-01T12:00:00+00:00"
