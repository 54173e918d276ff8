"""ObjectTrackingService: where somebody goes."""

from __future__ import annotations

from typing import ClassVar, Literal

from orbitloop.api.parts import Opaque, Resource, Spec
from orbitloop.api.sedna_v1alpha1.parts import ServiceStatus, WorkerSpec


class ObjectTrackingServiceSpec(Spec):
    """What runs.

    Attributes:
        tracking_workers: follow what cameras see.
        reid_workers: a Deployment's spec: recognise again.
    """

    tracking_workers: tuple[WorkerSpec, ...]
    reid_workers: Opaque


class ObjectTrackingService(Resource):
    """Where somebody goes."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "ObjectTrackingService"

    kind: Literal["ObjectTrackingService"] = "ObjectTrackingService"
    spec: ObjectTrackingServiceSpec
    status: ServiceStatus | None = None
