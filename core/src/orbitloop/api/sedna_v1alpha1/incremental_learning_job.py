"""IncrementalLearningJob: train, evaluate, deploy, again and again."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from orbitloop.api.parts import Resource, Spec, Status
from orbitloop.api.sedna_v1alpha1.parts import (
    ConditionType,
    HardExampleMining,
    Reference,
    StageCondition,
    TrainDataset,
    TriggerSpec,
    WorkerSpec,
)
from orbitloop.domain.rollout import Outcome


class Via(StrEnum):
    """What makes the pods of a worker that is several pods."""

    AUTO = "Auto"
    PODS = "Pods"
    INDEXED_JOB = "IndexedJob"
    PYTORCH_JOB = "PyTorchJob"
    TRAIN_JOB = "TrainJob"


class TrainSpec(WorkerSpec):
    """How a round is trained.

    Attributes:
        trigger: when a round begins, by num_of_samples, the samples for training that no round has used, or,
            once there is one, by drift: how far what the satellite sees has moved.
        pods: how many pods train it together, as torchrun has them.
        via: what makes these pods, where there are several; Auto takes the best that the cluster has.
    """

    trigger: TriggerSpec
    pods: int = Field(default=1, ge=1, le=64)
    via: Via = Via.AUTO


class EvalSpec(WorkerSpec):
    """How a round's model is judged.

    Attributes:
        initial_model: what the first round's model is compared with; else what is deployed.
    """

    initial_model: Reference | None = Field(default=None, alias="initialEvalModel")


class DeployedModel(Spec):
    """What is deployed.

    Attributes:
        name: of a Model in the same namespace, which says where it is put.
        hot_update_enabled: the running worker loads the new model; else it is started again.
        poll_period_seconds: how often the worker looks for a new one.
    """

    name: str = Field(min_length=1)
    hot_update_enabled: bool = False
    poll_period_seconds: int = Field(default=60, ge=1)


class DeploySpec(WorkerSpec):
    """How, and when, a better model is deployed.

    Attributes:
        model: what is deployed.
        trigger: when; its metrics are those of the evaluation, NAME and NAME_delta. Outside its hours the model waits.
        hard_example_mining: which results count as hard.
    """

    model: DeployedModel
    trigger: TriggerSpec
    hard_example_mining: HardExampleMining


class IncrementalLearningJobSpec(Spec):
    """A job that never ends.

    Attributes:
        dataset: where the samples come from.
        initial_model: what the first round is trained from.
        train_spec: how a round is trained.
        eval_spec: how its model is judged.
        deploy_spec: how a better one is deployed.
        credential_name: Secret for output_dir on s3.
        output_dir: folder of what the rounds make.
    """

    dataset: TrainDataset
    initial_model: Reference
    train_spec: TrainSpec
    eval_spec: EvalSpec
    deploy_spec: DeploySpec
    credential_name: str = ""
    output_dir: str


class Phase(StrEnum):
    """What a job does, in one word."""

    WAITING = "Waiting"
    TRAINING = "Training"
    EVALUATING = "Evaluating"
    DEPLOYING = "Deploying"
    BACKING_OFF = "BackingOff"
    BLOCKED = "Blocked"


class SampleCounts(Status):
    """Samples of a job.

    Attributes:
        used: samples of the dataset that rounds have used; the next round begins there.
        waiting: samples that no round has used.
        source: URL of the index that they are counted in.
        shrank_at: when the index was found to have fewer samples than rounds have used.
    """

    used: int = 0
    waiting: int = 0
    source: str = ""
    shrank_at: AwareDatetime | None = None


class Segment(Status):
    """Samples that one round took.

    Attributes:
        round: that took them.
        begin: the first one, counted from 0.
        end: the first one after them.
    """

    round: int
    begin: int
    end: int


class RoundModel(Status):
    """A model that a round made or replaced.

    Attributes:
        url: of its file.
        format: of its file.
        digest: sha256 of its file.
        metrics: of its evaluation, as JSON: a number, or one a class, by name.
    """

    url: str
    format: str = ""
    digest: str = ""
    metrics: str = ""


class SatelliteRollout(Status):
    """How far one satellite is with the model that this round made.

    Attributes:
        name: of the Satellite.
        node: its node.
        ring: 0 for the canary, which is served first; the next ring follows once this one flies the model.
        offered: whether the model is to be offered to it.
        flying: digest of the model that it said last it flies.
        outcome: applied, rolled_back or refused, once it has said so.
    """

    name: str
    node: str = ""
    ring: int = 0
    offered: bool = False
    flying: str = ""
    outcome: Outcome | None = None


class InferenceWorker(Status):
    """The pod that uses the deployed model.

    Attributes:
        satellite: that it is for; empty on the ground.
        revision: its number, which grows each time that it is made anew.
        state: Pending, Blocked, Running, Ended.
        message: what is wrong with it, and what to do.
    """

    satellite: str = ""
    revision: int = 1
    state: str = ""
    message: str = ""


class IncrementalLearningJobStatus(Status):
    """How far a job is.

    Attributes:
        conditions: the last thirty steps, in Sedna's form.
        start_time: when the job was first seen.
        completion_time: never set, as in Sedna: the job does not end.
        phase: what it does, in one word.
        stage: Train, Eval or Deploy.
        state: how far the stage is.
        round: from 1.
        attempt: of the stage, from 1.
        failures: how often the stage failed in this round.
        failed_at: when it did last.
        retry_at: when it is tried again, or a window opens.
        last_error: why the last failure was, with the remedy.
        message: what it waits for.
        observed_generation: of the spec that was looked at last.
        samples: how many there are.
        segments: samples of the last five rounds, the present one included; what is not trained on evaluates.
        node: on which the last round was trained: what rounds make is in its output_dir.
        candidate: the model that this round made.
        flying: digest of the deployed model.
        deployed: the deployed model, once a round has deployed one.
        next_contact: when the satellite can be heard next.
        satellites: how far each satellite is, in the order in which they are served.
        inference: the inference workers.
    """

    conditions: tuple[StageCondition, ...] = ()
    start_time: AwareDatetime | None = None
    completion_time: AwareDatetime | None = None
    phase: Phase | None = None
    stage: str = ""
    state: ConditionType | None = None
    round: int = 1
    attempt: int = 1
    failures: int = 0
    failed_at: AwareDatetime | None = None
    retry_at: AwareDatetime | None = None
    last_error: str = ""
    message: str = ""
    observed_generation: int | None = None
    samples: SampleCounts = SampleCounts()
    segments: tuple[Segment, ...] = ()
    node: str = ""
    candidate: RoundModel | None = None
    flying: str = ""
    deployed: RoundModel | None = None
    next_contact: AwareDatetime | None = None
    satellites: tuple[SatelliteRollout, ...] = ()
    inference: tuple[InferenceWorker, ...] = ()


class IncrementalLearningJob(Resource):
    """Train on new samples, evaluate, deploy what is better; again and again."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "IncrementalLearningJob"

    kind: Literal["IncrementalLearningJob"] = "IncrementalLearningJob"
    spec: IncrementalLearningJobSpec
    status: IncrementalLearningJobStatus | None = None
