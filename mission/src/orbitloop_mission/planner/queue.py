"""A queue of things that wait for the link, as a file that people and programs write: JSON or CSV."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from orbitloop.adapters.tables import read_table
from orbitloop.domain.errors import BadInput
from orbitloop.domain.planning import Item, check_queue
from orbitloop.domain.samples import Reason
from orbitloop.domain.traffic import Direction, TrafficClass
from orbitloop.domain.units import Bytes


class Entry(BaseModel):
    """One thing that waits; see :class:`~orbitloop.domain.planning.Item`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="its name, unlike any other's")
    bytes: int = Field(description="its size")
    value: float = Field(description="what it is worth; 0 or more")
    traffic: TrafficClass
    direction: Direction
    created: AwareDatetime = Field(description="since when it waits")
    across: int = Field(default=0, description="bytes that are across already")
    deadline: AwareDatetime | None = None
    reason: Reason | None = Field(default=None, description="of a sample")
    resumable: bool = Field(default=True, description="whether a cut transfer goes on where it was")

    def item(self) -> Item:
        """The value that the planner takes. Raises ``BadInput`` if the figures make no sense."""
        return Item(
            id=self.id,
            size=Bytes(self.bytes),
            value=self.value,
            traffic=self.traffic,
            direction=self.direction,
            created=self.created,
            across=Bytes(self.across),
            deadline=self.deadline,
            reason=self.reason,
            resumable=self.resumable,
        )


REQUIRED = tuple(name for name, field in Entry.model_fields.items() if field.is_required())
OPTIONAL = tuple(name for name, field in Entry.model_fields.items() if not field.is_required())


def read_queue(path: Path) -> list[Item]:
    """The items of ``path``: a JSON list of objects where its name ends in ``.json``, else CSV with the same columns.

    Raises:
        BadInput: the file is missing or malformed; the message names the line or the entry.
    """
    rows = _json(path) if path.suffix.lower() == ".json" else _csv(path)
    items = [_item(place, fields) for place, fields in rows]
    try:
        check_queue(items)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return items


def _csv(path: Path) -> list[tuple[str, object]]:
    return [
        (row.place, {column: text for column, text in row.fields.items() if text})
        for row in read_table(path, required=REQUIRED, optional=OPTIONAL)
    ]


def _json(path: Path) -> list[tuple[str, object]]:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadInput(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error})") from error
    if not isinstance(found, list):
        raise BadInput(f"{path}: not a list of objects")
    return [(f"{path}, entry {number}", fields) for number, fields in enumerate(found, start=1)]


def _item(place: str, fields: object) -> Item:
    try:
        return Entry.model_validate(fields).item()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(f"{place}: {where + ': ' if where else ''}{first['msg']}") from error
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from error
