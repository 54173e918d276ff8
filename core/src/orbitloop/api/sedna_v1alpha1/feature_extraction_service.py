"""FeatureExtractionService: features of what cameras see."""

from __future__ import annotations

from typing import ClassVar, Literal

from orbitloop.api.parts import Opaque, Resource
from orbitloop.api.sedna_v1alpha1.parts import Reference, ServiceStatus, WorkerSpec


class FeatureExtractionServiceSpec(WorkerSpec):
    """What runs.

    Attributes:
        selector: as in a Deployment.
        replicas: as in a Deployment.
        strategy: as in a Deployment.
        min_ready_seconds: as in a Deployment.
        revision_history_limit: as in a Deployment.
        paused: as in a Deployment.
        progress_deadline_seconds: as in a Deployment.
        kafka_support: whether results go to Kafka.
        model: what it runs.
    """

    selector: Opaque
    replicas: int | None = None
    strategy: Opaque | None = None
    min_ready_seconds: int | None = None
    revision_history_limit: int | None = None
    paused: bool | None = None
    progress_deadline_seconds: int | None = None
    kafka_support: bool = False
    model: Reference


class FeatureExtractionService(Resource):
    """Features of what cameras see."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "FeatureExtractionService"

    kind: Literal["FeatureExtractionService"] = "FeatureExtractionService"
    spec: FeatureExtractionServiceSpec
    status: ServiceStatus | None = None
