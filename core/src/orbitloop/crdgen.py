"""Custom resource definitions, made from the types in :mod:`orbitloop.api`.

Plain ones, without CEL rules: ``kubectl apply -f crds/`` takes them on every server since Kubernetes 1.16, and each is
far below the 262,144 bytes that an annotation of ``kubectl apply`` may take.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from orbitloop.api.kinds import KINDS, VERSION, Kind

_KEPT = (
    "type",
    "format",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxItems",
    "x-kubernetes-preserve-unknown-fields",
)


def manifest(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of ``kind``."""
    fields = kind.resource.model_fields
    schema = {
        "type": "object",
        "description": (kind.resource.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _structural(_model_of(fields["spec"].annotation), defaults=True),
            "status": _structural(_model_of(fields["status"].annotation), defaults=False),
        },
    }
    columns = [
        {"name": column.heading, "type": column.type, "jsonPath": column.path}
        for column in kind.columns
    ]  # fmt: skip
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    names = {"kind": kind.name, "listKind": f"{kind.name}List", "plural": kind.plural, "singular": kind.name.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": {**names, "shortNames": [kind.short]} if kind.short else names,
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [*columns, age],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def files() -> dict[str, str]:
    """The definitions, by file name; YAML."""
    return {f"{kind.group}_{kind.plural}.yaml": _HEADER + "\n".join(_lines(manifest(kind))) + "\n" for kind in KINDS}


_HEADER = "# Generated from orbitloop.api; `python -m orbitloop_mission.generate` writes it anew.\n"


def _model_of(annotation: Any) -> type[BaseModel]:
    """The model of a field that may be ``None``."""
    if isinstance(annotation, type):
        return annotation
    [model] = [part for part in annotation.__args__ if part is not type(None)]
    assert isinstance(model, type)
    return model


def _structural(model: type[BaseModel], *, defaults: bool) -> dict[str, Any]:
    """A structural schema: references resolved, descriptions from the types' docstrings."""
    whole = model.model_json_schema(by_alias=True)
    return _converted(whole, whole.get("$defs", {}), defaults=defaults)


def _converted(schema: Mapping[str, Any], known: Mapping[str, Any], *, defaults: bool) -> dict[str, Any]:
    described = {"description": schema["description"]} if "description" in schema else {}
    if "$ref" in schema:
        return _converted(known[schema["$ref"].rpartition("/")[2]], known, defaults=defaults) | described
    if "anyOf" in schema:  # a field that may be left out
        [present] = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return _converted(present, known, defaults=defaults) | described
    made: dict[str, Any] = described | {key: schema[key] for key in _KEPT if key in schema}
    if "exclusiveMaximum" in schema:
        made |= {"maximum": schema["exclusiveMaximum"], "exclusiveMaximum": True}
    if defaults and schema.get("default") not in (None, "", [], {}) and not isinstance(schema["default"], dict | list):
        made["default"] = schema["default"]
    if "properties" in schema:
        made["properties"] = {
            name: _converted(part, known, defaults=defaults) for name, part in schema["properties"].items()
        }
    if schema.get("required"):
        made["required"] = list(schema["required"])
    if "items" in schema:
        made["items"] = _converted(schema["items"], known, defaults=defaults)
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _converted(schema["additionalProperties"], known, defaults=defaults)
    return made


def _lines(value: Any, indent: str = "") -> Iterator[str]:
    """YAML of what is made of mappings, lists and scalars; scalars as JSON writes them, which is YAML too."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _entry(f"{indent}{key}:", part, indent + "  ")
    else:
        for part in value:
            if isinstance(part, Mapping) and part:
                first, *others = _lines(part, indent + "  ")
                yield f"{indent}- {first.lstrip()}"
                yield from others
            else:
                yield f"{indent}- {_scalar(part)}"


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list) and value:
        yield head
        yield from _lines(value, indent)
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
