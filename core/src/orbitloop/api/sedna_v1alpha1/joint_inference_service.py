"""JointInferenceService: a small model at the edge, a large one in the cloud."""

from __future__ import annotations

from typing import ClassVar, Literal

from orbitloop.api.parts import Resource, Spec
from orbitloop.api.sedna_v1alpha1.parts import HardExampleMining, ScaledWorkerSpec, ServiceStatus


class EdgeWorkerSpec(ScaledWorkerSpec):
    """The small model.

    Attributes:
        hard_example_mining: which results the large model is asked about.
    """

    hard_example_mining: HardExampleMining


class JointInferenceServiceSpec(Spec):
    """Two models that answer together.

    Attributes:
        edge_worker: the small one, on a satellite or an edge node.
        cloud_worker: the large one.
    """

    edge_worker: EdgeWorkerSpec
    cloud_worker: ScaledWorkerSpec


class JointInferenceService(Resource):
    """A small model at the edge that asks a large one about hard examples."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "JointInferenceService"

    kind: Literal["JointInferenceService"] = "JointInferenceService"
    spec: JointInferenceServiceSpec
    status: ServiceStatus | None = None
