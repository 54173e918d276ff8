"""Model: a model file."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from orbitloop.api.parts import ConditionedStatus, Resource, Spec
from orbitloop.api.sedna_v1alpha1.parts import KeyValue


class ModelSpec(Spec):
    """Where a model is.

    Attributes:
        url: of its file: a path on the node of whoever uses it, or s3://bucket/key.
        format: pb, ckpt, pth, onnx, om and so on.
        devices: kinds of processor that it is made for.
        credential_name: Secret for s3.
    """

    url: str
    format: str
    devices: tuple[str, ...] = Field(default=(), alias="device_soc_versions")
    credential_name: str = ""


class ModelStatus(ConditionedStatus):
    """What is known of a model.

    Attributes:
        update_time: when it changed last.
        metrics: of its last evaluation.
        digest: sha256 of its file.
        size_bytes: length of its file.
        parent: digest of the model that it was trained from.
        round: of the job that made it.
    """

    update_time: AwareDatetime | None = None
    metrics: tuple[KeyValue, ...] = ()
    digest: str = ""
    size_bytes: int | None = None
    parent: str = ""
    round: int | None = None


class Model(Resource):
    """A model file, and what is known of it."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "Model"

    kind: Literal["Model"] = "Model"
    spec: ModelSpec
    status: ModelStatus | None = None
