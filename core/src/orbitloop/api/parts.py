"""What every custom resource is made of."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

Opaque = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, mode="validation")
]
"""A part that Kubernetes itself defines: passed on whole, labels and annotations of templates included."""


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Put what the docstrings of ``model`` and its bases say of each field into its JSON schema."""
    schema["description"], _ = _documented(inspect.getdoc(model) or "")
    described: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel):
            described |= _documented(inspect.cleandoc(base.__doc__ or ""))[1]
    for name, field in model.model_fields.items():
        if name in described:
            schema["properties"][field.alias or name]["description"] = described[name]


def _documented(docstring: str) -> tuple[str, dict[str, str]]:
    """The summary of a docstring, and what its ``Attributes`` are."""
    summary, _, rest = docstring.partition("\n\n")
    described: dict[str, str] = {}
    last: list[str] = []
    for line in rest.partition("Attributes:")[2].splitlines():
        names, colon, text = line.strip().partition(": ")
        if colon and line.startswith("    ") and not line.startswith("     "):
            described |= dict.fromkeys(names.split(", "), text)
            last = names.split(", ")
        elif described and line.strip():
            described |= {name: f"{described[name]} {line.strip()}" for name in last}
    return " ".join(summary.split()), described


class Spec(BaseModel):
    """What a user writes: frozen, and strict about fields that there are not."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, json_schema_extra=_describe
    )


class Status(BaseModel):
    """What a controller writes: fields from another version are passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, json_schema_extra=_describe
    )


class Condition(Status):
    """A condition in the form that Kubernetes itself uses.

    Attributes:
        type: what is said, in camel case.
        status: True, False or Unknown.
        reason: why, one word in camel case.
        message: why, for people: what happened, and what to do.
        observed_generation: of the spec that it is about.
        last_transition_time: when the status changed last.
    """

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: AwareDatetime | None = None


class ConditionedStatus(Status):
    """A status with conditions.

    Attributes:
        conditions: one a type.
        observed_generation: of the spec that was looked at last.
    """

    conditions: tuple[Condition, ...] = ()
    observed_generation: int | None = None


class Resource(BaseModel):
    """A custom resource: each kind is a subclass that says what its spec and status are."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    group: ClassVar[str]
    kind_name: ClassVar[str]

    api_version: str
    kind: str
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        """Where it lives; empty if nothing says so."""
        return str(self.metadata.get("namespace", ""))

    @property
    def annotations(self) -> dict[str, str]:
        """The object's annotations."""
        found: dict[str, str] = self.metadata.get("annotations") or {}
        return found
