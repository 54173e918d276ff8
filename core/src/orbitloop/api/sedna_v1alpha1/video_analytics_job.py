"""VideoAnalyticsJob: detections in a video."""

from __future__ import annotations

from typing import ClassVar, Literal

from orbitloop.api.parts import Opaque, Resource
from orbitloop.api.sedna_v1alpha1.parts import Reference, ServiceStatus, WorkerSpec


class VideoAnalyticsJobSpec(WorkerSpec):
    """What runs.

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
        model: what it runs.
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
    model: Reference


class VideoAnalyticsJob(Resource):
    """Detections in a video."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "VideoAnalyticsJob"

    kind: Literal["VideoAnalyticsJob"] = "VideoAnalyticsJob"
    spec: VideoAnalyticsJobSpec
    status: ServiceStatus | None = None
