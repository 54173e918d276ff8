"""Data sets of a worker: lines, tables and annotations, as arrays ``x`` and ``y``.

Different from Sedna on purpose: a file that is named and missing is refused instead of skipped; samples of different
length become an array of objects; neither pandas nor pycocotools is needed, so that a table is an array.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.errors import BadInput
from orbitloop.worker.files import local_path


class BaseDataSource:
    """Samples ``x`` and their labels ``y``, once parsed.

    Args:
        data_type: ``train``, ``eval`` or ``test``; a test has no labels.
        func: applied to each sample as it is read.
    """

    def __init__(self, data_type: str = "train", func: Callable[[Any], Any] | None = None) -> None:
        self.data_type = data_type
        self.process_func = func
        self.x: Any = None
        self.y: Any = None
        self.meta_attr: Any = None

    def __len__(self) -> int:
        return 0 if self.x is None else len(self.x)

    def num_examples(self) -> int:
        """How many samples there are."""
        return len(self)

    @property
    def is_test_data(self) -> bool:
        """Whether there are no labels to expect."""
        return self.data_type == "test"

    def parse(self, *args: Any, **kwargs: Any) -> None:
        """Read the files; overridden by each format."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to parse")


class TxtDataParse(BaseDataSource):
    """One sample a line: ``func(line)``, or the line's words; the first is ``x``, the second ``y``."""

    def parse(self, *args: str | None, use_raw: bool = False, **_kwargs: Any) -> None:
        """Read every file that is named; empty names and empty lines are passed over.

        Args:
            *args: paths.
            use_raw: keep what ``func`` gives whole, as ``x``.

        Raises:
            BadInput: a file is missing, or no UTF-8.
        """
        items = [self._sample(line) for name in args if name for line in _lines(name)]
        if use_raw:
            self.x = _array(items)
            return
        rows = [item if isinstance(item, tuple | list) else (item,) for item in items]
        self.x = _array([row[0] for row in rows])
        if not self.is_test_data:
            self.y = _array([row[1] if len(row) > 1 else 0 for row in rows])

    def _sample(self, line: str) -> Any:
        return self.process_func(line) if self.process_func else line.split()


class CSVDataParse(BaseDataSource):
    """Rows of tables with a header; ``columns`` names those of ``x``."""

    columns: tuple[str, ...] = ()

    def parse(self, *args: str | None, label: str = "", usecols: str | Sequence[str] = (), **_kwargs: Any) -> None:
        """Read every file that is named.

        Args:
            *args: paths of files with the same header.
            label: the column that is ``y``.
            usecols: the columns that are ``x``, as a sequence or separated by commas; all but ``label`` if empty.

        Raises:
            BadInput: a file is missing, a column is, or files have different columns.
        """
        rows: list[dict[str, str]] = []
        for name in filter(None, args):
            rows.extend(_table(name))
        if self.process_func:
            rows = [self.process_func(row) for row in rows]
        if not rows:
            self.x, self.y = np.zeros((0, 0)), None if not label else np.zeros(0)
            return
        wanted = usecols.split(",") if isinstance(usecols, str) and usecols else list(usecols)
        self.columns = tuple(name for name in wanted or rows[0] if name != label)
        self.x = _numbers([[_cell(row, name) for name in self.columns] for row in rows])
        self.y = _numbers([_cell(row, label) for row in rows]) if label else None


class JSONDataParse(BaseDataSource):
    """COCO annotations: ``x`` are file names, ``y`` for each the boxes ``[x1, y1, x2, y2, class]`` as float32.

    Classes count from 0 in the order of their ids; ``class_names`` names them.
    """

    class_names: tuple[str, ...] = ()

    def parse(self, *args: str | None, **_kwargs: Any) -> None:
        """Read every file that is named.

        Raises:
            BadInput: a file is missing or holds no COCO annotations.
        """
        names: list[str] = []
        boxes: list[NDArray[np.float32]] = []
        for name in filter(None, args):
            try:
                for image, found in self._images(json.loads(_text(name))):
                    names.append(image)
                    boxes.append(found)
            except (ValueError, KeyError, TypeError) as error:
                raise BadInput(f"{name} holds no COCO annotations: {type(error).__name__} {error}") from error
        self.x = _array([self.process_func(name) if self.process_func else name for name in names])
        self.y = None if self.is_test_data else _objects(boxes)

    def _images(self, coco: dict[str, Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        kinds = sorted(coco["categories"], key=lambda kind: kind["id"])
        self.class_names = tuple(str(kind["name"]) for kind in kinds)
        number = {kind["id"]: position for position, kind in enumerate(kinds)}
        found: dict[Any, list[list[float]]] = {image["id"]: [] for image in coco["images"]}
        for note in coco["annotations"]:
            x, y, width, height = note["bbox"]
            found[note["image_id"]].append([x, y, x + width, y + height, number[note["category_id"]]])
        for image in coco["images"]:
            yield str(image["file_name"]), np.asarray(found[image["id"]], np.float32).reshape(-1, 5)


def _text(name: str) -> str:
    path: Path = local_path(name)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"the data set {path} cannot be read: {error.strerror}; check TRAIN/TEST_DATASET_URL") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"the data set {path} is no UTF-8 text: {error}") from error


def _lines(name: str) -> list[str]:
    return [stripped for line in _text(name).splitlines() if (stripped := line.strip())]


def _table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(name).splitlines(), strict=True))


def _cell(row: dict[str, str], column: str) -> str:
    if row.get(column) is None:
        raise BadInput(f"the table has no column {column!r} in a row; it has: {', '.join(map(str, row))}")
    return row[column]


def _numbers(cells: Sequence[Any]) -> NDArray[Any]:
    try:
        return np.asarray(cells, np.float64)
    except ValueError:
        return np.asarray(cells, object)


def _array(items: Sequence[Any]) -> NDArray[Any]:
    try:
        return np.array(items)
    except ValueError:
        return _objects(items)


def _objects(items: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(items), object)
    for position, item in enumerate(items):
        array[position] = item
    return array
