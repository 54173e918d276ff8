"""The vectors as our library judges them: the same ones, without an implementation around it, and the hours too."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.conformance.vectors import Vector, triggers

from orbitloop.api.sedna_v1alpha1.parts import TriggerSpec
from orbitloop.domain.errors import BadInput
from orbitloop.domain.triggers import NUM_OF_SAMPLES, Metrics, deployment_metrics, judge

NOON = datetime.fromisoformat("2026-03-01T12:00:00+00:00")


def holds(trigger: Vector, metrics: Metrics, at: datetime = NOON) -> bool:
    """Whether a trigger holds, as its user writes it."""
    return judge(TriggerSpec.model_validate(trigger).to_domain(), metrics, at).holds


def condition(vector: Vector, metric: str) -> Vector:
    """The trigger of a vector."""
    return {"condition": {"metric": metric, "operator": vector["operator"], "threshold": vector["threshold"]}}


@pytest.mark.parametrize("vector", triggers("train"))
def test_a_training_begins_by_its_samples(vector: Vector) -> None:
    metrics = {NUM_OF_SAMPLES: float(vector["samples"])}
    assert holds(condition(vector, NUM_OF_SAMPLES), metrics) is vector["holds"]


@pytest.mark.parametrize("vector", triggers("deploy"))
def test_a_deployment_is_judged_by_its_metrics(vector: Vector) -> None:
    metrics = deployment_metrics(vector["new"], vector["old"])
    assert holds(condition(vector, vector["metric"]), metrics) is vector["holds"]


@pytest.mark.parametrize("vector", triggers("hours"))
def test_hours_hold_by_the_clock(vector: Vector) -> None:
    at = datetime.fromisoformat(f"2026-03-01T{vector['at']}:30+00:00")
    assert holds({"timer": {"start": vector["start"], "end": vector["end"]}}, {}, at) is vector["holds"]


def test_nothing_asked_always_holds() -> None:
    assert holds({}, {})


def test_hours_and_condition_must_both_hold() -> None:
    asked = {"condition": {"metric": "p", "operator": ">", "threshold": 0.5}}
    assert holds(asked | {"timer": {"start": "11:00", "end": "13:00"}}, {"p": 0.9})
    assert not holds(asked | {"timer": {"start": "13:00", "end": "14:00"}}, {"p": 0.9})
    assert not holds(asked | {"timer": {"start": "11:00", "end": "13:00"}}, {"p": 0.1})


@pytest.mark.stricter
@pytest.mark.parametrize("vector", triggers("malformed"))
def test_what_makes_no_sense_is_refused_by_name(vector: Vector) -> None:
    written = {name: vector[name] for name in ("condition", "timer") if name in vector}
    with pytest.raises(BadInput, match=vector["names"]):
        TriggerSpec.model_validate(written).to_domain()
