"""ApplicationTransformation: an application, a data set and a Satellite, from which a selection logic is made."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from orbitloop.api.parts import ConditionedStatus, Opaque, Resource, Spec, Status


class LogicRollout(StrEnum):
    """Whether what is made is offered to the satellite."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class ApplicationTransformationSpec(Spec):
    """What is fitted to which computer.

    Attributes:
        application: ships, airplanes or clouds, or one of the image's own, as package.module:function.
        dataset: name of a Dataset in its namespace, of COCO annotations (format json) or for clouds of a table of chips
            (csv); without one, the set that the image brings.
        model: name of a Model in its namespace, for a reference that is a detector.
        satellite: name of a Satellite in its namespace, whose spec.compute says for which computer.
        capacity_permille: share of the captured bytes that the link carries; half of what is of value without it.
        deadline_milliseconds: time for a frame; by orbit and swath without it.
        contexts: rules of experts, the first that fits, such as water=ndwi:0.1:1; contexts are found without them.
        seed: of everything random.
        effort_percent: of the training steps.
        output_url: folder on the ground's storage, which the gateway can read; each transformation gets one in there.
        template: pod template; what it leaves out is filled in, the image too.
        rollout: Automatic, a SelectionLogic of the same name is made and kept up to date; or Manual.
    """

    application: str
    dataset: str = ""
    model: str = ""
    satellite: str
    capacity_permille: int | None = Field(default=None, ge=1, le=1000)
    deadline_milliseconds: int | None = Field(default=None, ge=1)
    contexts: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0, lt=2**31)
    effort_percent: int = Field(default=100, ge=1, le=10_000)
    output_url: str
    template: Opaque | None = None
    rollout: LogicRollout = LogicRollout.AUTOMATIC


class TransformationPhase(StrEnum):
    """What a transformation does, in one word."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"


class Artefact(Status):
    """What was made.

    Attributes:
        url: of selection.ols, without a signature; the report lies beside it.
        digest: sha256 of that file.
    """

    url: str
    digest: str


class Densities(Status):
    """Data value densities, as decimal numbers, expected by the frames that the logic was chosen by.

    Attributes:
        fitted: of what was made.
        bent_pipe: of sending everything until the pass is full.
        direct_deploy: of the application as it is.
        oracle: of who knows what is of value.
    """

    fitted: str = ""
    bent_pipe: str = ""
    direct_deploy: str = ""
    oracle: str = ""


class ApplicationTransformationStatus(ConditionedStatus):
    """How far it is.

    Attributes:
        phase: Pending, Running, Completed or Failed.
        job: name of the Job that carries out the present spec.
        artefact: what it made.
        density: how much of what comes down is of value.
        frame_milliseconds: what a frame takes on the satellite's computer, on average.
        deadline_milliseconds: what it may take.
        notes: what whoever lets it fly should know.
        selection_logic: name of the SelectionLogic that was made of it.
    """

    phase: TransformationPhase | None = None
    job: str = ""
    artefact: Artefact | None = None
    density: Densities | None = None
    frame_milliseconds: int | None = None
    deadline_milliseconds: int | None = None
    notes: tuple[str, ...] = ()
    selection_logic: str = ""


class ApplicationTransformation(Resource):
    """An application that is changed once, on the ground, for the computer that flies."""

    group: ClassVar[str] = "orbitloop.io"
    kind_name: ClassVar[str] = "ApplicationTransformation"

    kind: Literal["ApplicationTransformation"] = "ApplicationTransformation"
    spec: ApplicationTransformationSpec
    status: ApplicationTransformationStatus | None = None
