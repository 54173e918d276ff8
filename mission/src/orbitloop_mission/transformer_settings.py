"""What the worker of an ApplicationTransformation is told, by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from orbitloop.domain.errors import BadInput
from orbitloop.wire.complaints import first_complaint


def _parts(text: Any) -> Any:
    return tuple(part.strip() for part in text.split(";") if part.strip()) if isinstance(text, str) else text


class TransformerSettings(BaseModel):
    """Each is the variable of the environment of the same name in capitals.

    Attributes:
        application: ships, airplanes, clouds, or one's own as ``package.module:function``.
        target: the computer: the name of a hardware target that comes along, its file, or its JSON.
        train_dataset_url: annotations, or for clouds a table of chips; the set that comes along without it.
        base_model_url: the model whose folder is the detector that is the reference, where one is.
        model_url: folder for what is made.
        capacity: share of the frames that the link carries; half of what is of value without it.
        deadline: seconds a frame; by orbit and swath without it.
        contexts: rules of experts, the first that fits, separated by ``;``.
        seed: seed of everything random.
        effort: factor on the training steps.
        orbitloop_termination_log: file for the last words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    application: str = Field(default="", min_length=1, validate_default=True)
    target: str = Field(default="", min_length=1, validate_default=True)
    train_dataset_url: str = ""
    base_model_url: str = ""
    model_url: str = Field(default="", min_length=1, validate_default=True)
    capacity: float | None = None
    deadline: float | None = None
    contexts: Annotated[tuple[str, ...], BeforeValidator(_parts)] = ()
    seed: int = 0
    effort: float = 1.0
    orbitloop_termination_log: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """The settings in an environment; what is empty or missing has its default.

        Raises:
            BadInput: a variable is missing or cannot be read; the message names it.
        """
        told = {name: text for name in cls.model_fields if (text := given.get(name.upper(), ""))}
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0]).upper()
            if not given.get(name):
                raise BadInput(f"the variable {name} is not set; see docs/reference/transformer.md") from None
            raise BadInput(
                f"the variable {name}: {first_complaint(error)}; see docs/reference/transformer.md"
            ) from None
