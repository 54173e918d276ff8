"""Lists of labelled pictures, as exports and rounds have them: ``path x0,y0,x1,y1,class …``, a picture a line."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.ports.trainer import Lesson

_log = logging.getLogger(__name__)

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000")
_MOST_PIXELS = 100_000_000
"""Of one picture: 300 MB as RGB."""


def lines_of(path: Path) -> list[str]:
    """The lines of a list that are not blank, the paths in them absolute.

    Raises:
        BadInput: the file is missing, or no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); it lists the pictures, one a line") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: no UTF-8 text ({error}); it lists the pictures, one a line") from error
    return [str(path.parent / line.strip()) for line in text.splitlines() if line.strip()]


def earlier_lists(path: Path) -> list[Path]:
    """What earlier rounds trained on, oldest first: ``train/1/data.txt`` and ``train/2/data.txt`` of
    ``train/3/data.txt``.
    """
    shelf, number = path.parent.parent, path.parent.name
    if not number.isdigit():
        return []
    before = sorted(int(one.name) for one in shelf.iterdir() if one.name.isdigit() and int(one.name) < int(number))
    return [earlier for one in before if (earlier := shelf / str(one) / path.name).is_file()]


def drawn(lines: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    """At most ``most`` of the lines, by chance, in their order."""
    if len(lines) <= most:
        return list(lines)
    return [lines[index] for index in sorted(rng.choice(len(lines), most, replace=False))]


def lessons_of(lines: Sequence[str], classes: Sequence[str], source: str) -> list[Lesson]:
    """The pictures of a list with their objects. One that cannot be read is logged and left out: what came down from a
    satellite must not keep it from learning.

    Args:
        classes: names of the classes that a model knows; labels are their positions.
        source: of the list, for errors.

    Raises:
        BadInput: a line says no boxes of such classes; or none of the pictures can be read.
    """
    made = []
    for number, line in enumerate(lines, start=1):
        path, *boxes = line.split()
        truth = _truth(boxes, len(classes), f"{source}: line {number}")
        try:
            made.append(Lesson(pixels=_pixels(Path(path)), truth=truth))
        except BadInput as error:
            _log.warning("picture_left_out: %s", error)
    if lines and not made:
        raise BadInput(f"{source}: none of its {len(lines)} pictures can be read; are they mounted where it says?")
    return made


def _pixels(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise BadInput(f"{path}: more than {_MOST_PIXELS} pixels; cut the picture")
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: cannot be read as a picture ({error})") from error


def _truth(words: Sequence[str], classes: int, where: str) -> Truth:
    rows = [row for word in words if (row := _box(word, classes, where))[2] > row[0] and row[3] > row[1]]
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Truth(boxes=table[:, :4], labels=table[:, 4].astype(np.int64))


def _box(word: str, classes: int, where: str) -> tuple[float, ...]:
    try:
        row = tuple(float(number) for number in word.split(","))
    except ValueError:
        row = ()
    if len(row) != 5 or not all(map(math.isfinite, row)):
        raise BadInput(f"{where}: {word!r} is no object; write x0,y0,x1,y1,class in pixels")
    if row[4] not in range(classes):
        raise BadInput(f"{where}: {word!r} is of class {row[4]:g}, and the model knows {classes}, counted from 0")
    return row
