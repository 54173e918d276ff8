"""Parts that several of Sedna's kinds share."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import AwareDatetime, Field

from orbitloop.api.parts import Opaque, Spec, Status
from orbitloop.domain.triggers import Comparison, DailyHours, MetricCondition, Trigger


class Reference(Spec):
    """Another resource of the same namespace.

    Attributes:
        name: its name.
    """

    name: str = Field(min_length=1)


class TrainDataset(Spec):
    """Where the samples come from.

    Attributes:
        name: of a Dataset in the same namespace.
        train_prob: share of new samples that is trained on; the others evaluate.
    """

    name: str = Field(min_length=1)
    train_prob: float


class KeyValue(Spec):
    """A named value, both as text.

    Attributes:
        key: its name.
        value: as text.
    """

    key: str
    value: str


class HardExampleMining(Spec):
    """Which results count as hard.

    Attributes:
        name: of the rule: IBT, CrossEntropy, Threshold, Random, CloudOnly, EdgeOnly.
        parameters: of the rule; numbers are written as text.
    """

    name: str
    parameters: tuple[KeyValue, ...] = ()


class Timer(Spec):
    """Hours of each day, UTC; past midnight where the start is after the end.

    Attributes:
        start: HH:MM.
        end: HH:MM, that minute included; or 24:00.
    """

    start: str
    end: str


class TriggerCondition(Spec):
    """A metric compared with a number.

    Attributes:
        operator: gt or >, ge or >=, eq or = or ==, ne or !=, le or <=, lt or <.
        threshold: the number.
        metric: its name; name[i] picks one of a list, a list without an index counts by its mean.
    """

    operator: str
    threshold: float
    metric: str


class TriggerSpec(Spec):
    """When a stage begins: the timer and the condition must both hold; one that is left out always holds.

    Attributes:
        check_period_seconds: how often it is looked at where nothing says that the metric has changed.
        timer: hours of the day; outside of them the stage waits.
        condition: on a metric.
    """

    check_period_seconds: int = 60
    timer: Timer | None = None
    condition: TriggerCondition | None = None

    def to_domain(self) -> Trigger:
        """The trigger that is judged. Raises ``BadInput`` for an unknown operator, no time of day or no number."""
        asked, timer = self.condition, self.timer
        condition, hours = None, None
        if asked is not None:
            comparison = Comparison.named(asked.operator)
            condition = MetricCondition(metric=asked.metric, comparison=comparison, threshold=asked.threshold)
        if timer is not None:
            hours = DailyHours.between(timer.start, timer.end)
        return Trigger(condition=condition, hours=hours, check_period=timedelta(seconds=self.check_period_seconds))


class WorkerSpec(Spec):
    """A worker.

    Attributes:
        template: pod template, passed on whole.
    """

    template: Opaque


class BatchSpec(WorkerSpec):
    """What runs, as a Job of Kubernetes.

    Attributes:
        parallelism: as in a Job.
        completions: as in a Job.
        active_deadline_seconds: as in a Job.
        backoff_limit: as in a Job.
        selector: as in a Job.
        manual_selector: as in a Job.
        ttl_seconds_after_finished: as in a Job.
        completion_mode: as in a Job.
        suspend: as in a Job.
        pod_failure_policy: as in a Job.
        pod_replacement_policy: as in a Job.
        success_policy: as in a Job.
        backoff_limit_per_index: as in a Job.
        max_failed_indexes: as in a Job.
        managed_by: as in a Job.
        kafka_support: whether results go to Kafka.
    """

    parallelism: int | None = None
    completions: int | None = None
    active_deadline_seconds: int | None = None
    backoff_limit: int | None = None
    selector: Opaque | None = None
    manual_selector: bool | None = None
    ttl_seconds_after_finished: int | None = None
    completion_mode: str | None = None
    suspend: bool | None = None
    pod_failure_policy: Opaque | None = None
    pod_replacement_policy: str | None = None
    success_policy: Opaque | None = None
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    managed_by: str | None = None
    kafka_support: bool = False


class ScaledWorkerSpec(WorkerSpec):
    """A worker that may have replicas.

    Attributes:
        model: what it serves.
        hpa: minReplicas, maxReplicas, metrics and behavior of a HorizontalPodAutoscaler.
    """

    model: Reference
    hpa: Opaque | None = None


class ConditionType(StrEnum):
    """How far a stage is, in Sedna's words."""

    WAITING = "Waiting"
    READY = "Ready"
    STARTING = "Starting"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"


class StageCondition(Status):
    """One step of a job, in Sedna's form.

    Attributes:
        type: how far the stage is.
        status: always True, as Sedna writes it.
        stage: Train, Eval or Deploy.
        last_heartbeat_time: when it was seen last.
        last_transition_time: when it began.
        reason: why, one word in camel case.
        message: why, for people.
        data: input and output of the stage as JSON.
    """

    type: ConditionType
    status: str = "True"
    stage: str
    last_heartbeat_time: AwareDatetime | None = None
    last_transition_time: AwareDatetime | None = None
    reason: str = ""
    message: str = ""
    data: str = ""


class ServiceCondition(Status):
    """One state of a service or of a job without stages, in Sedna's form.

    Attributes:
        type: in Sedna's words: Pending, Running, Training, Complete, Failed.
        status: True, False or Unknown.
        reason: why, one word in camel case.
        message: why, for people.
        data: input and output of the job as JSON.
        last_probe_time, last_heartbeat_time: when it was seen last.
        last_transition_time: when it began.
    """

    type: str
    status: str
    last_probe_time: AwareDatetime | None = None
    last_heartbeat_time: AwareDatetime | None = None
    last_transition_time: AwareDatetime | None = None
    reason: str = ""
    message: str = ""
    data: str = ""


class ServiceStatus(Status):
    """Status of what runs pods.

    Attributes:
        conditions: the states, in Sedna's form.
        start_time: when it was first seen.
        completion_time: when it was over.
        active: running pods.
        succeeded: pods that ended well.
        failed: pods that failed.
        phase: Pending, Running, Succeeded or Failed.
        metrics: what its workers report.
        observed_generation: of the spec that was looked at last.
    """

    conditions: tuple[ServiceCondition, ...] = ()
    start_time: AwareDatetime | None = None
    completion_time: AwareDatetime | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    phase: str = ""
    metrics: tuple[KeyValue, ...] = ()
    observed_generation: int | None = None
