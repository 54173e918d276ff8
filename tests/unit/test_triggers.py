from datetime import UTC, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.triggers import (
    Comparison,
    DailyHours,
    MetricCondition,
    Metrics,
    Trigger,
    deployment_metrics,
    judge,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def asked(metric: str, operator: str, threshold: float) -> Trigger:
    return Trigger(condition=MetricCondition(metric=metric, comparison=Comparison.named(operator), threshold=threshold))


@pytest.mark.parametrize(
    ("metric", "operator", "threshold", "metrics", "holds"),
    [
        pytest.param("num_of_samples", ">", 500, {"num_of_samples": 500.0}, False, id="not more than itself"),
        pytest.param("num_of_samples", "gt", 500, {"num_of_samples": 501.0}, True, id="gt by its word"),
        pytest.param("num_of_samples", ">=", 500, {"num_of_samples": 500.0}, True, id="at least itself"),
        pytest.param("m[1]", ">", 0.1, {"m": [0.1, 0.2]}, True, id="the second of a list"),
        pytest.param("m[5]", ">", 0.1, {"m": [0.1, 0.2]}, False, id="beyond the list"),
        pytest.param("m[-1]", ">", 0.1, {"m": [0.1, 0.2]}, False, id="before the list"),
        pytest.param("m", ">", 0.14, {"m": [0.1, 0.2]}, True, id="a list counts by its mean"),
        pytest.param("m", ">", 0.16, {"m": [0.1, 0.2]}, False, id="whose mean is too low"),
        pytest.param("m", ">", 0.0, {"m": []}, False, id="an empty list"),
        pytest.param("m[0]", ">", 0.0, {"m": 1.0}, False, id="an index into one number"),
        pytest.param("absent", ">", 0.0, {"m": 1.0}, False, id="a metric that is not there"),
        pytest.param("m", "==", 0.1, {"m": 0.1000000001}, True, id="equal within a millionth"),
        pytest.param("m", "!=", 0.1, {"m": 0.1000000001}, False, id="nor different"),
        pytest.param("m", "le", 0.1, {"m": 0.1000000001}, True, id="nor more"),
        pytest.param("m", "lt", 0.1, {"m": 0.05}, True, id="less"),
    ],
)
def test_a_condition_compares_a_metric(
    metric: str, operator: str, threshold: float, metrics: Metrics, holds: bool
) -> None:
    assert judge(asked(metric, operator, threshold), metrics, NOON).holds is holds


def test_a_metric_that_is_not_there_is_named_with_those_that_are() -> None:
    reason = judge(asked("recal", ">", 0), {"recall": 1.0, "precision": 1.0}, NOON).reason
    assert reason == "there is no metric recal; there are precision, recall"


def test_an_empty_trigger_always_holds() -> None:
    assert judge(Trigger(), {}, NOON).holds


@pytest.mark.parametrize(
    ("start", "end", "at", "inside"),
    [
        pytest.param("10:00", "14:00", "12:00", True, id="by day"),
        pytest.param("10:00", "14:00", "14:00", True, id="the last minute counts"),
        pytest.param("10:00", "14:00", "14:01", False, id="the next does not"),
        pytest.param("23:00", "01:00", "23:30", True, id="before midnight"),
        pytest.param("23:00", "01:00", "00:59", True, id="after midnight"),
        pytest.param("23:00", "01:00", "12:00", False, id="not at noon"),
    ],
)
def test_hours_may_run_past_midnight(start: str, end: str, at: str, inside: bool) -> None:
    moment = datetime.fromisoformat(f"2026-03-01T{at}:00+00:00")
    assert DailyHours.between(start, end).contain(moment) is inside


def test_hours_are_utc_wherever_the_controller_runs() -> None:
    evening = datetime(2026, 3, 1, 20, tzinfo=timezone(timedelta(hours=8)))
    assert DailyHours.between("11:30", "12:30").contain(evening)


def test_wrong_hours_defer_until_they_begin() -> None:
    verdict = judge(Trigger(hours=DailyHours.between("02:00", "03:00")), {}, NOON)
    assert not verdict.holds
    assert verdict.opens == datetime(2026, 3, 2, 2, tzinfo=UTC)


def test_what_fails_its_condition_is_not_deferred() -> None:
    trigger = Trigger(condition=asked("m", ">", 1).condition, hours=DailyHours.between("02:00", "03:00"))
    assert judge(trigger, {"m": 0.0}, NOON).opens is None


@given(st.times(), st.times(), st.timedeltas(timedelta(0), timedelta(days=3000)))
def test_hours_contain_their_next_start(start: time, end: time, later: timedelta) -> None:
    hours, moment = DailyHours.between(f"{start:%H:%M}", f"{end:%H:%M}"), NOON + later
    begins = hours.next_start(moment)
    assert hours.contain(begins)
    assert timedelta(0) < begins - moment <= timedelta(days=1)


@pytest.mark.parametrize("text", ["24:01", "7:00", "noon", "12:60", "1200", 12 * 60 * "1"])
def test_a_malformed_hour_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="HH:MM"):
        DailyHours.between(text, "12:00")


def test_an_unknown_operator_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match="'=>' is no operator; write one of gt, >, ge"):
        Comparison.named("=>")


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_is_a_number(threshold: float) -> None:
    with pytest.raises(BadInput, match="write a number"):
        asked("m", ">", threshold)


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param({"p": 0.9}, {"p": 0.7}, {"p": 0.9, "p_delta": pytest.approx(0.2)}, id="numbers"),
        pytest.param({"p": [0.9, 0.8]}, {"p": [0.7]}, {"p": [0.9, 0.8], "p_delta": [pytest.approx(0.2)]}, id="lists"),
        pytest.param({"p": 0.9}, {}, {"p": 0.9}, id="the old model was not measured so"),
        pytest.param({"p": [0.9]}, {"p": 0.7}, {"p": [0.9]}, id="a list and a number have no difference"),
    ],
)
def test_a_deploy_trigger_may_ask_for_differences(new: Metrics, old: Metrics, expected: Metrics) -> None:
    assert deployment_metrics(new, old) == expected


def test_a_day_may_end_at_24_as_sednas_samples_write_it() -> None:
    day = DailyHours.between("22:00", "24:00")
    assert day.contain(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    assert not day.contain(datetime(2026, 3, 2, 0, 0, tzinfo=UTC))
    with pytest.raises(BadInput, match="24:00"):
        DailyHours.between("24:00", "02:00")
