"""FederatedLearningJob: nodes that train one model on data that stays where it is."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from orbitloop.api.parts import Opaque, Resource, Spec
from orbitloop.api.sedna_v1alpha1.parts import Reference, ServiceStatus, WorkerSpec


class AggregationWorkerSpec(WorkerSpec):
    """Who puts the models together.

    Attributes:
        model: what is trained.
    """

    model: Reference


class TrainingWorkerSpec(WorkerSpec):
    """One who trains.

    Attributes:
        dataset: what on.
    """

    dataset: Reference


class S3Transmitter(Spec):
    """Models are exchanged through a bucket.

    Attributes:
        agg_data_path: where.
        credential_name: Secret for it.
    """

    agg_data_path: str = Field(alias="aggDataPath")
    credential_name: str = ""


class Transmitter(Spec):
    """How models are exchanged.

    Attributes:
        s3: through a bucket.
        ws: through the aggregation worker; the default.
    """

    s3: S3Transmitter | None = None
    ws: Opaque | None = None


class FederatedLearningJobSpec(Spec):
    """Who trains, and who puts together.

    Attributes:
        aggregation_worker: who puts the models together.
        training_workers: who train.
        pretrained_model: what they begin with.
        transmitter: how models are exchanged.
    """

    aggregation_worker: AggregationWorkerSpec
    training_workers: tuple[TrainingWorkerSpec, ...]
    pretrained_model: Reference | None = None
    transmitter: Transmitter | None = None


class FederatedLearningJob(Resource):
    """Train one model on data that stays where it is."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "FederatedLearningJob"

    kind: Literal["FederatedLearningJob"] = "FederatedLearningJob"
    spec: FederatedLearningJobSpec
    status: ServiceStatus | None = None
