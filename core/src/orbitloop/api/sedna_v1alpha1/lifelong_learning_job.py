"""LifelongLearningJob: a knowledge base of tasks that grows."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime

from orbitloop.api.parts import Opaque, Resource, Spec, Status
from orbitloop.api.sedna_v1alpha1.parts import StageCondition, TrainDataset, TriggerSpec, WorkerSpec


class LifelongTrainSpec(WorkerSpec):
    """How a round is trained.

    Attributes:
        trigger: when.
    """

    trigger: TriggerSpec


class LifelongLearningJobSpec(Spec):
    """A job that never ends.

    Attributes:
        dataset: where the samples come from.
        train_spec: how a round is trained.
        eval_spec: how it is judged.
        deploy_spec: how it is deployed.
        credential_name: Secret for output_dir on s3.
        output_dir: folder of what the rounds make.
    """

    dataset: TrainDataset
    train_spec: LifelongTrainSpec
    eval_spec: WorkerSpec
    deploy_spec: WorkerSpec
    credential_name: str = ""
    output_dir: str


class LifelongLearningJobStatus(Status):
    """How far a job is.

    Attributes:
        conditions: the steps, in Sedna's form.
        start_time: when the job was first seen.
        completion_time: when it was over.
        knowledge_base: AIModels, AIClasses and samples, as Sedna writes them.
    """

    conditions: tuple[StageCondition, ...] = ()
    start_time: AwareDatetime | None = None
    completion_time: AwareDatetime | None = None
    knowledge_base: Opaque | None = None


class LifelongLearningJob(Resource):
    """Learn task after task, and keep what was learned."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "LifelongLearningJob"

    kind: Literal["LifelongLearningJob"] = "LifelongLearningJob"
    spec: LifelongLearningJobSpec
    status: LifelongLearningJobStatus | None = None
