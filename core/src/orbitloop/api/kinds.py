"""All kinds, by name: what they are called, what their tables show, and how a document becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orbitloop.api.orbitloop_v1alpha1.application_transformation import ApplicationTransformation
from orbitloop.api.orbitloop_v1alpha1.contact_plan import ContactPlan
from orbitloop.api.orbitloop_v1alpha1.ground_station import GroundStation
from orbitloop.api.orbitloop_v1alpha1.link_policy import LinkPolicy
from orbitloop.api.orbitloop_v1alpha1.satellite import Satellite
from orbitloop.api.orbitloop_v1alpha1.selection_logic import SelectionLogic
from orbitloop.api.parts import Resource
from orbitloop.api.sedna_v1alpha1.dataset import Dataset
from orbitloop.api.sedna_v1alpha1.feature_extraction_service import FeatureExtractionService
from orbitloop.api.sedna_v1alpha1.federated_learning_job import FederatedLearningJob
from orbitloop.api.sedna_v1alpha1.incremental_learning_job import IncrementalLearningJob
from orbitloop.api.sedna_v1alpha1.joint_inference_service import JointInferenceService
from orbitloop.api.sedna_v1alpha1.lifelong_learning_job import LifelongLearningJob
from orbitloop.api.sedna_v1alpha1.model import Model
from orbitloop.api.sedna_v1alpha1.object_search_service import ObjectSearchService
from orbitloop.api.sedna_v1alpha1.object_tracking_service import ObjectTrackingService
from orbitloop.api.sedna_v1alpha1.reid_job import ReidJob
from orbitloop.api.sedna_v1alpha1.video_analytics_job import VideoAnalyticsJob
from orbitloop.domain.errors import BadInput

VERSION = "v1alpha1"


class BadField(BadInput):
    """A field is missing, unknown or of the wrong type.

    Args:
        message: what is wrong, and where.
        path: where it is, from the root of the document.
    """

    def __init__(self, message: str, path: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What ``kubectl get`` shows: a heading, where it is in the document, and its type."""

    heading: str
    path: str
    type: str = "string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of custom resource.

    Args:
        resource: its type.
        plural: its name in paths.
        short: its short name for kubectl; empty: none.
        columns: between the name and the age.
    """

    resource: type[Resource]
    plural: str
    short: str = ""
    columns: tuple[Column, ...] = ()

    @property
    def name(self) -> str:
        """The kind, as manifests have it."""
        return self.resource.kind_name

    @property
    def group(self) -> str:
        """Its API group."""
        return self.resource.group

    @property
    def api_version(self) -> str:
        """Group and version, as manifests have them."""
        return f"{self.group}/{VERSION}"


_STATE = Column(heading="State", path='.status.conditions[?(@.status=="True")].type')
_NODE = Column(heading="Node", path=".spec.nodeName")
_NEXT = Column(heading="Next-Contact", path=".status.nextContact")  # kubectl shows a date as time gone by

KINDS: tuple[Kind, ...] = (
    Kind(
        resource=Dataset,
        plural="datasets",
        columns=(
            _NODE,
            Column(heading="Samples", path=".status.numberOfSamples", type="integer"),
            Column(heading="URL", path=".spec.url"),
        ),
    ),
    Kind(
        resource=Model,
        plural="models",
        columns=(
            Column(heading="Format", path=".spec.format"),
            Column(heading="Round", path=".status.round", type="integer"),
            Column(heading="Digest", path=".status.digest"),
        ),
    ),
    Kind(
        resource=IncrementalLearningJob,
        plural="incrementallearningjobs",
        short="il",
        columns=(
            Column(heading="Stage", path=".status.stage"),
            Column(heading="State", path=".status.state"),
            Column(heading="Round", path=".status.round", type="integer"),
            Column(heading="Flying", path=".status.flying"),
            _NEXT,
            Column(heading="Queued", path=".status.samples.waiting", type="integer"),
        ),
    ),
    Kind(resource=JointInferenceService, plural="jointinferenceservices", short="ji", columns=(_STATE,)),
    Kind(resource=FederatedLearningJob, plural="federatedlearningjobs", short="fl", columns=(_STATE,)),
    Kind(resource=LifelongLearningJob, plural="lifelonglearningjobs", short="ll", columns=(_STATE,)),
    Kind(resource=FeatureExtractionService, plural="featureextractionservices", short="fe", columns=(_STATE,)),
    Kind(resource=VideoAnalyticsJob, plural="videoanalyticsjobs", short="va", columns=(_STATE,)),
    Kind(resource=ReidJob, plural="reidjobs", short="reid", columns=(_STATE,)),
    Kind(resource=ObjectSearchService, plural="objectsearchservices", short="objs", columns=(_STATE,)),
    Kind(resource=ObjectTrackingService, plural="objecttrackingservices", short="objt", columns=(_STATE,)),
    Kind(
        resource=Satellite,
        plural="satellites",
        short="sat",
        columns=(
            _NODE,
            Column(heading="Flying", path=".status.flying"),
            Column(heading="Last-Contact", path=".status.lastContact", type="date"),
            _NEXT,
            Column(heading="Queued", path=".status.queuedSamples", type="integer"),
        ),
    ),
    Kind(
        resource=GroundStation,
        plural="groundstations",
        short="gs",
        columns=(
            Column(heading="Latitude", path=".spec.latitudeMicrodegrees", type="integer"),
            Column(heading="Longitude", path=".spec.longitudeMicrodegrees", type="integer"),
        ),
    ),
    Kind(
        resource=ContactPlan,
        plural="contactplans",
        short="cp",
        columns=(
            Column(heading="First", path=".status.windows[0].aos"),
            Column(heading="Valid-Until", path=".status.validUntil"),
        ),
    ),
    Kind(
        resource=LinkPolicy,
        plural="linkpolicies",
        short="lp",
        columns=(Column(heading="Update", path=".spec.updateBudgetBytes", type="integer"),),
    ),
    Kind(
        resource=SelectionLogic,
        plural="selectionlogics",
        short="sel",
        columns=(
            Column(heading="Satellites", path=".spec.satellites"),
            Column(heading="State", path=".status.state"),
            Column(heading="Version", path=".status.version", type="integer"),
        ),
    ),
    Kind(
        resource=ApplicationTransformation,
        plural="applicationtransformations",
        short="at",
        columns=(
            Column(heading="Application", path=".spec.application"),
            Column(heading="Satellite", path=".spec.satellite"),
            Column(heading="Phase", path=".status.phase"),
            Column(heading="Density", path=".status.density.fitted"),
        ),
    ),
)

_BY_NAME = {(kind.api_version, kind.name): kind for kind in KINDS}


def kind_of(document: Mapping[str, Any]) -> Kind:
    """The kind of a document. Raises ``BadInput`` for one that there is not."""
    version, name = document.get("apiVersion"), document.get("kind")
    found = _BY_NAME.get((str(version), str(name)))
    if found is None:
        raise BadInput(f"there is no kind {name!r} of {version!r}; there are {', '.join(kind.name for kind in KINDS)}")
    return found


def parse(document: Mapping[str, Any]) -> Resource:
    """The resource that ``document`` describes.

    Raises:
        BadField: a field is missing, unknown or of the wrong type; says which, and where.
        BadInput: its kind is unknown.
    """
    kind = kind_of(document)
    try:
        return kind.resource.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        metadata = document.get("metadata")
        name = metadata.get("name", "without a name") if isinstance(metadata, Mapping) else "without a name"
        raise BadField(f"{kind.name} {name}: {path}: {first['msg']}", first["loc"]) from None
