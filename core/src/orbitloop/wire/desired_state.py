"""What the ground wants a node to be like. Tolerant: what this version does not know is passed over."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.errors import BadInput
from orbitloop.wire.complaints import first_complaint


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WantedDataset(_Part):
    """A dataset to watch.

    Args:
        url: of its index.
        format: of its index, as its manifest says; whoever watches it says if that is none.
    """

    url: str
    format: str


class HotUpdate(_Part):
    """Where an inference worker follows new models.

    Args:
        folder: on the node.
        seen_at: where the worker sees that folder.
    """

    folder: str = Field(min_length=1)
    seen_at: str = Field(min_length=1, alias="seenAt")


class WantedModel(_Part):
    """A file that has to be the model that flies, for inference workers of the user's own.

    Args:
        url: of the file; with ``hot_update`` only its name counts.
        format: what the workers load: ``onnx`` or ``safetensors``.
        hot_update: where running workers take it over; ``None``: the file itself is replaced.
    """

    url: str
    format: str
    hot_update: HotUpdate | None = Field(default=None, alias="hotUpdate")


class DesiredNode(_Part):
    """All that is wanted of one node.

    Args:
        version: of the document.
        node: whose it is.
        datasets: to watch, by ``NAMESPACE/NAME``.
        models: to keep up to date, by ``NAMESPACE/NAME`` of their job.
    """

    version: int = Field(ge=1)
    node: str = ""
    datasets: dict[str, WantedDataset] = Field(default_factory=dict)
    models: dict[str, WantedModel] = Field(default_factory=dict)


def read_desired_state(document: bytes) -> DesiredNode:
    """What a document says.

    Raises:
        BadInput: no JSON object of this form; the message names the first field that does not fit.
    """
    try:
        return DesiredNode.model_validate_json(document)
    except ValidationError as error:
        raise BadInput(f"desired state: {first_complaint(error)}") from error
