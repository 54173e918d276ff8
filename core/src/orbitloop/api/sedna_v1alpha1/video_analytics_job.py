"""VideoAnalyticsJob: detections in a video."""

from __future__ import annotations

from typing import ClassVar, Literal

from orbitloop.api.parts import Resource
from orbitloop.api.sedna_v1alpha1.parts import BatchSpec, Reference, ServiceStatus


class VideoAnalyticsJobSpec(BatchSpec):
    """What runs.

    Attributes:
        model: what it runs.
    """

    model: Reference


class VideoAnalyticsJob(Resource):
    """Detections in a video."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "VideoAnalyticsJob"

    kind: Literal["VideoAnalyticsJob"] = "VideoAnalyticsJob"
    spec: VideoAnalyticsJobSpec
    status: ServiceStatus | None = None
