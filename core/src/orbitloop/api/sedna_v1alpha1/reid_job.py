"""ReidJob: the same person in several videos."""

from __future__ import annotations

from typing import ClassVar, Literal

from orbitloop.api.parts import Resource
from orbitloop.api.sedna_v1alpha1.parts import BatchSpec, ServiceStatus


class ReidJobSpec(BatchSpec):
    """What runs."""


class ReidJob(Resource):
    """The same person in several videos."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "ReidJob"

    kind: Literal["ReidJob"] = "ReidJob"
    spec: ReidJobSpec
    status: ServiceStatus | None = None
