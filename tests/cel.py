"""The rules of a custom resource definition, evaluated as an API server does: by a schema, on a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import celpy
from celpy import celtypes
from celpy.evaluation import CELEvalError


@cache
def program(rule: str) -> Any:
    """A compiled rule."""
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def holds(rule: str, value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether ``rule`` holds of a value of this schema; an error of evaluation is a refusal, as on a server."""
    try:
        return bool(program(rule).evaluate({"self": typed(value, schema)}))
    except CELEvalError:
        return False


def typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value as CEL sees it: a number of the schema's type, a date as a timestamp, unknown fields not at all."""
    match schema.get("type"):
        case "number":
            return celtypes.DoubleType(value)
        case "integer":
            return celtypes.IntType(value)
        case "string" if schema.get("format") == "date-time":
            return celtypes.TimestampType(value if isinstance(value, datetime) else datetime.fromisoformat(value))
        case "string":
            return celtypes.StringType(value)
        case "boolean":
            return celtypes.BoolType(value)
        case "array":
            return celtypes.ListType([typed(entry, schema["items"]) for entry in value])
        case _:
            parts = fields(value, schema)
            return celtypes.MapType({celtypes.StringType(name): typed(part, inner) for name, part, inner in parts})


def fields(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """The fields of an object that its schema names, with their own schemas."""
    for name, part in value.items():
        inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if inner is not None and part is not None:
            yield name, part, inner


def complaints(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Where a document breaks the rules of its schema, and the message of each."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if not holds(rule["rule"], value, schema):
            yield path, rule["message"]
    if schema.get("type") == "array":
        for index, entry in enumerate(value):
            yield from complaints(entry, schema["items"], f"{path}[{index}]")
    elif schema.get("type") == "object":
        for name, part, inner in fields(value, schema):
            yield from complaints(part, inner, f"{path}.{name}" if path else name)
