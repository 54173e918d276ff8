"""Custom resource definitions, made from the types in :mod:`orbitloop.api`.

Plain ones, without CEL rules: ``kubectl apply -f crds/`` takes them on every server since Kubernetes 1.16, and each is
far below the 262,144 bytes that an annotation of ``kubectl apply`` may take. And the same with the rules of
:mod:`orbitloop.api.rules`, for servers since Kubernetes 1.25.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from orbitloop.api.kinds import KINDS, VERSION, Kind
from orbitloop.api.rules import Rule, rules_of

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


_MOST_ENTRIES, _LONGEST_TEXT = 256, 1024
"""Bounds on what a rule looks at: a server refuses rules whose cost it cannot bound."""


def manifest(kind: Kind, *, with_rules: bool = False) -> dict[str, Any]:
    """The CustomResourceDefinition of ``kind``; with its rules in CEL for a server that evaluates them."""
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
    if with_rules:
        for rule in rules_of(kind.name):
            _add(rule, schema)
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


@functools.cache  # each is asked for by itself, and all are made at once
def files(*, with_rules: bool = False) -> dict[str, str]:
    """The definitions, by file name; YAML."""
    return {
        f"{kind.group}_{kind.plural}.yaml": _HEADER + "\n".join(_lines(manifest(kind, with_rules=with_rules))) + "\n"
        for kind in KINDS
    }


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


def _add(rule: Rule, schema: dict[str, Any]) -> None:
    """Write a rule into the schema of its kind, at its field, and bound what it looks at."""
    if not rule.check.cel:
        return
    place = schema
    for part in rule.path.replace("[]", ".[]").split("."):
        place = place["items"] if part == "[]" else place["properties"][part]
        _bound(place)
    _open(place, rule.check.opens)
    _bound_all(place)
    place.setdefault("x-kubernetes-validations", []).append({"rule": rule.check.cel, "message": rule.message})


def _bound(place: dict[str, Any]) -> None:
    match place.get("type"):
        case "array":
            place.setdefault("maxItems", _MOST_ENTRIES)
        case "string" if "format" not in place:
            place.setdefault("maxLength", _LONGEST_TEXT)
        case "object" if "additionalProperties" in place:
            place.setdefault("maxProperties", _MOST_ENTRIES)


def _bound_all(place: dict[str, Any]) -> None:
    """Bound a field, and all that is in it."""
    _bound(place)
    for part in (*place.get("properties", {}).values(), *([place["items"]] if "items" in place else ())):
        _bound_all(part)


def _open(place: dict[str, Any], properties: Mapping[str, Any]) -> None:
    """Name ``properties`` in what is passed on whole; the rest of it still is."""
    for name, part in properties.items():
        known = place.setdefault("properties", {}).setdefault(name, {})
        known.update({key: value for key, value in part.items() if key != "properties"})
        _open(known, part.get("properties", {}))


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
