"""The form of ``report.json`` as others read it: a JSON Schema, and a page of tables. Both are generated files."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from orbitloop_mission.report.schema import MissionReport

Schema: TypeAlias = dict[str, Any]

_INTRODUCTION = """\
# The mission report

<!-- Generated from orbitloop_mission.report.schema; never edited by hand. -->

A mission writes `report.json`, described here, and `report.html`, which shows the same figures. The tables are made
from the same types as the [JSON Schema](report.schema.json); fields that neither knows are refused.
"""


def schema() -> Schema:
    """The JSON Schema of ``report.json`` (draft 2020-12), as it is written: every field that is written is required."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **MissionReport.model_json_schema(mode="serialization"),
    }


def schema_text() -> str:
    """The schema, sorted and indented: the same text at every call."""
    return f"{json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False)}\n"


def page_text() -> str:
    """The reference page: a table for the report and for each of its parts, in the order of their first mention."""
    whole = schema()
    parts: dict[str, Schema] = whole["$defs"]
    order = _mentioned(whole, parts)
    chapters = [_chapter("report.json", whole, parts), *(_chapter(name, parts[name], parts) for name in order)]
    return "\n".join([_INTRODUCTION, *chapters])


def _mentioned(whole: Schema, parts: dict[str, Schema]) -> list[str]:
    order: list[str] = []
    waiting = [whole]
    for part in waiting:
        for field in part["properties"].values():
            name = _part_of(field)
            if name in parts and "properties" in parts[name] and name not in order:
                order.append(name)
                waiting.append(parts[name])
    return order


def _chapter(name: str, part: Schema, parts: dict[str, Schema]) -> str:
    rows = "".join(
        f"| `{field}` | {_type(form)} | {_unit(form)} | {_meaning(form, parts)} |\n"
        for field, form in part["properties"].items()
    )
    return f"## {name}\n\n{part['description']}\n\n| field | type | unit | meaning |\n|---|---|---|---|\n{rows}"


def _part_of(form: Schema) -> str:
    reference: str = form.get("$ref") or form.get("items", {}).get("$ref", "")
    return reference.rpartition("/")[2]


def _type(form: Schema) -> str:
    if "anyOf" in form:
        return " or ".join(_type(choice) for choice in form["anyOf"])
    if "$ref" in form:
        name = _part_of(form)
        return "string" if name == "RoundOutcome" else f"[{name}](#{name.lower()})"
    if "const" in form:
        return f"`{form['const']}`"
    if form.get("format") == "date-time":
        return "time"
    if form["type"] == "array":
        return f"list of {_items(form)}"
    return str(form["type"])


def _items(form: Schema) -> str:
    items = form["items"]
    if items.get("type") == "array":
        return f"lists of {items['minItems']} or {items['maxItems']} numbers"
    return _type(items) if "$ref" in items else f"{_type(items)}s"


def _unit(form: Schema) -> str:
    choices = [form, form.get("items", {}), *form.get("anyOf", [])]
    return next((str(choice["unit"]) for choice in choices if "unit" in choice), "")


def _meaning(form: Schema, parts: dict[str, Schema]) -> str:
    text: str = form.get("description") or parts.get(_part_of(form), {}).get("description", "")
    return " ".join(text.split()).replace("|", "\\|")
