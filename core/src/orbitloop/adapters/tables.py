"""Small CSV files that people write: read strictly, and refused with the line at fault."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orbitloop.domain.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table, with where it stands.

    Args:
        place: file and line, to begin a complaint with.
        fields: text by column; columns that the file leaves out are missing.
    """

    place: str
    fields: Mapping[str, str]

    def text(self, column: str) -> str:
        """What stands in ``column``. Raises ``BadInput`` if nothing does."""
        found = self.fields.get(column, "")
        if not found or found != found.strip():
            raise BadInput(f"{self.place}: {column} {found!r} must be a word without spaces around it")
        return found

    def optional(self, column: str) -> str:
        """What stands in ``column``; empty if nothing does, or if the file has no such column."""
        return self.text(column) if self.fields.get(column) else ""

    def number(self, column: str, default: float) -> float:
        """The number in ``column``, or ``default`` where none is given. Raises ``BadInput`` if it is no number."""
        given = self.optional(column)
        if not given:
            return default
        try:
            return float(given)
        except ValueError as error:
            raise BadInput(f"{self.place}: {column} {given!r} is not a number") from error


def read_table(path: Path, *, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """The rows of a CSV file (RFC 4180, UTF-8) whose first line names its columns, in any order.

    Raises:
        BadInput: the file is missing, empty or not UTF-8; a column is missing, unknown or named twice; a line is blank
            or has another number of fields than the first.
    """
    lines = _lines(path)
    if not lines:
        raise BadInput(f"{path}: empty; the first line must name the columns {', '.join((*required, *optional))}")
    (_, header), *rest = lines
    _check_header(path, header, required, optional)
    return [_row(path, number, header, fields) for number, fields in rest]


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and fields of every line; that of the last line where a field spans several."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadInput(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text; save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        return [(reader.line_num, fields) for fields in reader]
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _check_header(path: Path, header: list[str], required: Sequence[str], optional: Sequence[str]) -> None:
    known = (*required, *optional)
    for column in header:
        if column not in known:
            raise BadInput(f"{path}, line 1: column {column!r} is unknown; use {', '.join(known)}")
        if header.count(column) > 1:
            raise BadInput(f"{path}, line 1: column {column} stands there twice")
    for column in required:
        if column not in header:
            raise BadInput(f"{path}, line 1: column {column} is missing")


def _row(path: Path, number: int, header: list[str], fields: list[str]) -> Row:
    place = f"{path}, line {number}"
    if not fields:
        raise BadInput(f"{place}: blank; delete the line")
    if len(fields) != len(header):
        raise BadInput(f"{place}: {len(fields)} fields for {len(header)} columns")
    return Row(place=place, fields=dict(zip(header, fields, strict=True)))
