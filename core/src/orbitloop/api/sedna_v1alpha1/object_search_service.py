"""ObjectSearchService: where somebody is seen."""

from __future__ import annotations

from typing import ClassVar, Literal

from orbitloop.api.parts import Opaque, Resource, Spec
from orbitloop.api.sedna_v1alpha1.parts import ServiceStatus, WorkerSpec


class ObjectSearchServiceSpec(Spec):
    """What runs.

    Attributes:
        user_worker: answers users.
        tracking_workers: follow what cameras see.
        reid_workers: a Deployment's spec: recognise again.
    """

    user_worker: WorkerSpec
    tracking_workers: tuple[WorkerSpec, ...]
    reid_workers: Opaque


class ObjectSearchService(Resource):
    """Where somebody is seen."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "ObjectSearchService"

    kind: Literal["ObjectSearchService"] = "ObjectSearchService"
    spec: ObjectSearchServiceSpec
    status: ServiceStatus | None = None
