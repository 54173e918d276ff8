"""Which reconciler looks after which kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orbitloop.wire.update_files import HOT_UPDATES
from orbitloop_operators.handlers.application_transformation import ApplicationTransformations
from orbitloop_operators.handlers.changes import Reconciler
from orbitloop_operators.handlers.contact_plan import ContactPlans
from orbitloop_operators.handlers.dataset import Datasets
from orbitloop_operators.handlers.ground_station import GroundStations
from orbitloop_operators.handlers.incremental_learning_job import IncrementalLearningJobs
from orbitloop_operators.handlers.joint_inference_service import JointInferenceServices
from orbitloop_operators.handlers.link_policy import LinkPolicies
from orbitloop_operators.handlers.model import Models
from orbitloop_operators.handlers.passes_ahead import Predictor
from orbitloop_operators.handlers.satellite import Satellites
from orbitloop_operators.handlers.selection_logic import SelectionLogics
from orbitloop_operators.handlers.stage_pods import Platform
from orbitloop_operators.handlers.unsupported import KINDS as UNSUPPORTED
from orbitloop_operators.handlers.unsupported import Unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the reconcilers are told of the cluster.

    Args:
        local_controller: what workers are told their Local Controller is at.
        tools_image: image with orbitloop's worker tools, for init containers.
        transformer_image: of transformations whose template names none.
        autoscaling_version: of HorizontalPodAutoscalers, ``v2`` or ``v2beta2``.
        hot_updates: folder of the nodes for new models.
        indexed_jobs: whether the cluster has Jobs whose pods have numbers and host names.
        host_names: whether pods find each other by the name of a Service.
    """

    local_controller: str
    tools_image: str
    autoscaling_version: str
    transformer_image: str = ""
    hot_updates: str = HOT_UPDATES
    indexed_jobs: bool = False
    host_names: bool = True


def reconcilers(rules: Rules, predict: Predictor) -> Mapping[tuple[str, str], Reconciler]:
    """All of them, by API version and kind.

    Args:
        predict: passes of a satellite over a station.
    """
    platform = Platform(
        local_controller=rules.local_controller,
        tools_image=rules.tools_image,
        hot_updates=rules.hot_updates,
        indexed_jobs=rules.indexed_jobs,
        host_names=rules.host_names,
    )
    return {
        ("sedna.io/v1alpha1", "Dataset"): Datasets(),
        ("sedna.io/v1alpha1", "IncrementalLearningJob"): IncrementalLearningJobs(platform=platform),
        ("sedna.io/v1alpha1", "JointInferenceService"): JointInferenceServices(
            local_controller=rules.local_controller, autoscaling_version=rules.autoscaling_version
        ),
        ("sedna.io/v1alpha1", "Model"): Models(),
        ("orbitloop.io/v1alpha1", "ApplicationTransformation"): ApplicationTransformations(
            image=rules.transformer_image, tools_image=rules.tools_image
        ),
        ("orbitloop.io/v1alpha1", "ContactPlan"): ContactPlans(predict=predict),
        ("orbitloop.io/v1alpha1", "GroundStation"): GroundStations(),
        ("orbitloop.io/v1alpha1", "LinkPolicy"): LinkPolicies(),
        ("orbitloop.io/v1alpha1", "Satellite"): Satellites(),
        ("orbitloop.io/v1alpha1", "SelectionLogic"): SelectionLogics(),
        **{("sedna.io/v1alpha1", kind): Unsupported(kind=kind) for kind in UNSUPPORTED},
    }
