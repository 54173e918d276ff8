"""A job whose model flies: trained on the ground, offered to one satellite after the other, judged by their reports."""

from __future__ import annotations

from typing import Any

import pytest
from tests.job_world import (
    NOON,
    World,
    a_dataset,
    a_job,
    a_model,
    a_satellite,
    a_template,
    evaluated,
    merged,
    trained,
    words,
)

from orbitloop.testing.builders import a_digest

LATER = "2026-03-01T12:30:00Z"


def flying(*satellites: str, **changes: Any) -> World:
    """A job whose samples are on the first satellite's node, and whose model flies on all of them."""
    world = World()
    names = satellites or ("sat-1",)
    for name in names:
        world.put(a_satellite(name, f"node-{name}"))
    world.put(a_dataset(10, node=f"node-{names[0]}"))
    world.put(a_model("first", "/models/first.onnx"))
    world.put(a_model("served", "/models/served.onnx"))
    job = a_job(**merged({"deploySpec": {"template": {"spec": {"nodeName": None}}}}, changes))
    if satellites:
        job["metadata"]["annotations"] = {"orbitloop.io/satellites": ", ".join(satellites)}
    world.put(job)
    return world


def on_offer(*satellites: str) -> World:
    """The first round's model is on offer."""
    world = flying(*satellites)
    world.settle()
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    return world


def report(world: World, satellite: str, outcome: str | None = None, *, flying: str = "", contact: str = LATER) -> None:
    outcomes = {} if outcome is None else {a_digest(1): outcome}
    world.report(f"node-{satellite}", lastContact=contact, satellite={"flying": flying, "outcomes": outcomes})
    world.settle()


def offered(world: World) -> list[str]:
    return [one["name"] for one in world.status["satellites"] if one["offered"]]


def test_a_satellites_samples_are_trained_on_and_evaluated_on_the_ground() -> None:
    world = on_offer()
    for pod in ("helmets-train-1-1", "helmets-eval-1-1"):
        spec = world.pod(pod)["spec"]
        assert "nodeName" not in spec
        terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert terms == [{"matchExpressions": [{"key": "node-role.kubernetes.io/edge", "operator": "DoesNotExist"}]}]


def test_the_inference_worker_stays_on_its_satellite_through_loss_of_signal() -> None:
    world = flying()
    world.settle()
    spec = world.pod("helmets-inference-1")["spec"]
    assert spec["nodeName"] == "node-sat-1"
    assert [entry["key"] for entry in spec["tolerations"]] == [
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/not-ready",
    ]


def test_deploying_is_an_offer_and_no_pod() -> None:
    world = on_offer()
    assert world.at == "Deploy/Starting"
    assert not [name for name in world.pods() if "deploy" in name]
    assert offered(world) == ["sat-1"]
    assert world.status["candidate"]["digest"] == a_digest(1)


def test_the_next_contact_is_in_the_status_and_in_the_message() -> None:
    world = flying()
    world.put({**a_satellite("sat-1", "node-sat-1"), "status": {"nextContact": "2026-03-01T13:37:00Z"}})
    world.settle()
    assert world.status["nextContact"] == "2026-03-01T13:37:00Z"
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    assert "sat-1 (next contact 2026-03-01 13:37 UTC)" in world.status["message"]


def test_a_contact_without_a_report_of_the_model_is_a_beginning() -> None:
    world = on_offer()
    report(world, "sat-1", contact=NOON.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert world.at == "Deploy/Starting"
    report(world, "sat-1")
    assert world.at == "Deploy/Running"
    assert offered(world) == ["sat-1"]


def test_a_satellite_that_flies_the_model_ends_the_round() -> None:
    world = on_offer()
    report(world, "sat-1", "applied", flying=a_digest(1))
    assert world.steps[-5:] == [
        "Deploy/Ready",
        "Deploy/Starting",
        "Deploy/Running",
        "Deploy/Completed",
        "Train/Waiting",
    ]
    assert (world.status["round"], world.status["flying"]) == (2, a_digest(1))
    assert world.status["deployed"]["url"] == "/output/train/1/model.onnx"
    assert offered(world) == []


@pytest.mark.parametrize(
    ("outcome", "step", "says"),
    [("rolled_back", "RolledBack", "it is worse there"), ("refused", "Refused", "refused the model")],
)
def test_a_model_that_does_not_fly_closes_the_round_and_is_not_tried_again(outcome: str, step: str, says: str) -> None:
    world = on_offer()
    report(world, "sat-1", outcome)
    assert world.steps[-3:] == ["Deploy/Running", "Deploy/Failed", "Train/Waiting"]
    assert world.status["conditions"][-2]["reason"] == step
    assert says in world.status["lastError"]
    assert world.status["round"] == 2
    assert "deployed" not in world.status


def test_the_canary_first_then_the_next_ring() -> None:
    world = on_offer("sat-1", "sat-2", "sat-3", "sat-4")
    assert offered(world) == ["sat-1"]
    report(world, "sat-1", "applied")
    assert (world.at, offered(world)) == ("Deploy/Running", ["sat-2", "sat-3"])
    report(world, "sat-3", "applied")
    assert offered(world) == ["sat-2"]
    report(world, "sat-2", "refused")
    assert offered(world) == ["sat-4"]
    report(world, "sat-4", "applied")
    assert world.status["round"] == 2
    assert "flies on 3 of 4 satellites; refused by sat-2" in world.status["conditions"][-2]["message"]


def test_one_regression_withdraws_the_offer_from_all() -> None:
    world = on_offer("sat-1", "sat-2", "sat-3")
    report(world, "sat-1", "applied")
    report(world, "sat-2", "rolled_back")
    assert offered(world) == []
    assert world.status["round"] == 2
    assert "sat-2 rolled the model back" in world.status["lastError"]


def test_what_a_satellite_said_is_kept_while_nothing_is_heard() -> None:
    world = on_offer("sat-1", "sat-2", "sat-3")
    report(world, "sat-1", "applied", flying=a_digest(1))
    report(world, "sat-1", flying="")  # the operator was started again; the satellite repeats nothing
    assert world.status["satellites"][0]["outcome"] == "applied"
    assert world.status["satellites"][0]["flying"] == a_digest(1)


def test_a_report_that_cannot_be_read_is_no_news() -> None:
    world = on_offer()
    before = world.status
    world.report("node-sat-1", lastContact="soon", satellite={"flying": 7, "outcomes": "applied"})
    world.settle()
    assert world.status == before


def test_an_outcome_of_another_model_is_none_of_this_one() -> None:
    world = on_offer()
    world.report("node-sat-1", satellite={"outcomes": {a_digest("another"): "rolled_back"}})
    world.settle()
    assert world.at == "Deploy/Starting"


def test_a_model_without_a_digest_does_not_fly() -> None:
    world = flying()
    world.settle()
    world.end("helmets-train-1-1", words("train", results=[{"url": "/output/train/1/model.onnx"}]))
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    assert world.at == "Deploy/Failed"
    assert "has no digest" in world.status["lastError"]


@pytest.mark.parametrize(("hot", "revisions"), [(False, {"sat-1": 2, "sat-2": 1, "sat-3": 2}), (True, {})])
def test_without_hot_update_workers_begin_anew_where_the_model_flies(hot: bool, revisions: dict[str, int]) -> None:
    world = flying("sat-1", "sat-2", "sat-3", deploySpec={"model": {"hotUpdateEnabled": hot}})
    world.settle()
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    for satellite, outcome in (("sat-1", "applied"), ("sat-2", "refused"), ("sat-3", "applied")):
        report(world, satellite, outcome)
    assert world.status["round"] == 2
    expected = {f"helmets-inference-sat-{number}-{revisions.get(f'sat-{number}', 1)}" for number in (1, 2, 3)}
    for name in [name for name in world.pods() if "-inference-" in name and name not in expected]:
        world.end(name, "")
    world.settle()
    assert {name for name in world.pods() if "-inference-" in name} >= expected
    found = {one["satellite"]: one["revision"] for one in world.status["inference"]}
    assert found == {name: revisions.get(name, 1) for name in ("sat-1", "sat-2", "sat-3")}


def test_each_of_several_satellites_has_an_inference_worker_of_its_own() -> None:
    world = flying("sat-1", "sat-2", deploySpec={"template": a_template(nodeName="node-sat-1")})
    world.settle()
    nodes = {name: pod["spec"]["nodeName"] for name, pod in world.pods().items() if "inference" in name}
    assert nodes == {"helmets-inference-sat-1-1": "node-sat-1", "helmets-inference-sat-2-1": "node-sat-2"}
    world.end("helmets-inference-sat-2-1", code=1)
    world.pass_by(minutes=2)
    world.settle()
    assert sorted(name for name in world.pods() if "inference" in name) == [
        "helmets-inference-sat-1-1",
        "helmets-inference-sat-2-2",
    ]


def test_a_satellite_that_is_named_and_missing_is_told_of() -> None:
    world = flying("sat-1")
    job = dict(world.job)
    world.put({**job, "metadata": {**job["metadata"], "annotations": {"orbitloop.io/satellites": "sat-1,sat-9"}}})
    world.settle()
    world.pass_by(seconds=3)
    world.settle()
    assert (world.at, world.status["phase"]) == ("Train/Failed", "Blocked")
    assert "names sat-9, and namespace lab has no such Satellite" in world.status["message"]
    world.put(a_satellite("sat-9", "node-9"))
    world.settle()
    assert world.at == "Train/Starting"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({a_digest(1): "the gateway has no base"}, "; not yet to sat-1: the gateway has no base"),
        ({a_digest(2): "another model"}, "of sat-1"),
        ("nonsense", "; not yet to sat-1: node node-sat-1 says of its offers what cannot be read"),
    ],
    ids=["its model", "another one", "what nobody can read"],
)
def test_why_a_model_cannot_be_offered_is_in_the_message(said: Any, message: str) -> None:
    world = on_offer()
    world.report("node-sat-1", notOffered=said)
    world.settle()
    assert message in world.status["message"]
    assert world.status["message"].endswith("of sat-1") is (message == "of sat-1")


def test_what_was_trained_on_one_node_of_the_ground_is_evaluated_there_and_trained_on_there_again() -> None:
    world = flying()
    world.settle()
    pod = dict(world.pod("helmets-train-1-1"))
    world.put({**pod, "spec": {**pod["spec"], "nodeName": "ground-2"}})
    world.end("helmets-train-1-1", trained())
    world.settle()
    affinity = world.pod("helmets-eval-1-1")["spec"]["affinity"]["nodeAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["ground-2"]}]
    assert world.status["node"] == "ground-2"


def test_a_satellite_that_flies_the_model_needs_not_say_that_it_was_applied() -> None:
    world = on_offer()
    report(world, "sat-1", flying=a_digest(1))
    assert world.status["round"] == 2
    assert world.status["deployed"]["digest"] == a_digest(1)


def test_satellites_whose_names_begin_alike_do_not_wait_for_each_others_workers() -> None:
    world = flying("sat-1", "sat-1-2")
    world.settle()
    world.end("helmets-inference-sat-1-1", code=1)
    world.pass_by(minutes=2)
    world.settle()
    assert sorted(name for name in world.pods() if "inference" in name) == [
        "helmets-inference-sat-1-2",
        "helmets-inference-sat-1-2-1",
    ]


def test_an_inference_worker_that_cannot_be_given_what_flies_says_why() -> None:
    world = on_offer()
    world.run("helmets-inference-1")
    model = {"flying": a_digest(1), "error": "not as 'pth'"}
    world.report("node-sat-1", lastContact=LATER, models={"lab/helmets": model})
    world.settle()
    [worker] = world.status["inference"]
    why = "sat-1 flies a model that it could not give to its inference worker: not as 'pth'"
    assert (worker["state"], worker["message"]) == ("Running", why)
    world.report("node-sat-1", lastContact=LATER, models={"lab/helmets": model | {"error": ""}})
    world.settle()
    assert world.status["inference"][0].get("message", "") == ""
