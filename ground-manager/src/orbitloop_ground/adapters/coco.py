"""Reader of COCO annotations: images, boxes, categories (https://cocodataset.org/#format-data).

A bad entry is named by file, id and reason; nothing is skipped in silence.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput
from orbitloop.domain.paths import contained_path

MAX_ANNOTATION_BYTES = 256 * 1024 * 1024
MAX_PIXELS = 100_000_000
"""Largest image that is opened: 300 MB as RGB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CocoImage:
    """One image of a set: where it lies, its size in pixels, its objects, and the set's own extra fields."""

    id: int
    path: Path
    width: int
    height: int
    truth: Truth
    extra: dict[str, Any]

    def load(self) -> Image.Image:
        """The picture as RGB; raises ``BadInput`` when the file is not an image of the stated size."""
        try:
            with Image.open(self.path) as picture:
                if picture.size != (self.width, self.height):
                    raise BadInput(
                        f"{self.path}: image is {picture.size[0]}x{picture.size[1]}, the annotations say "
                        f"{self.width}x{self.height}; correct the annotations or the file"
                    )
                return picture.convert("RGB")
        except FileNotFoundError as error:
            raise BadInput(f"{self.path}: no such image; is the data folder complete?") from error
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BadInput(f"{self.path}: cannot be read as an image ({error}); replace or remove it") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoSet:
    """A set of annotated images; ``classes`` in the order of the labels."""

    classes: tuple[str, ...]
    images: tuple[CocoImage, ...]

    def where(self, **fields: str) -> CocoSet:
        """The images whose extra fields have the given values, for instance ``split="test"``."""
        kept = tuple(image for image in self.images if all(image.extra.get(k) == v for k, v in fields.items()))
        return CocoSet(classes=self.classes, images=kept)


def read_coco(annotations: Path) -> CocoSet:
    """Read an ``annotations.json``; image paths are relative to its folder.

    Raises:
        BadInput: the file is missing, is not COCO, or an entry is wrong (named by file, id and reason).
    """
    try:
        if annotations.stat().st_size > MAX_ANNOTATION_BYTES:
            raise BadInput(f"{annotations}: larger than {MAX_ANNOTATION_BYTES} bytes; split the set")
        document = json.loads(annotations.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{annotations}: no such file; give the path of a COCO annotations file") from error
    except OSError as error:
        raise BadInput(f"{annotations}: cannot be read ({error.strerror}); give a COCO annotations file") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{annotations}: not JSON ({error})") from error
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise BadInput(f"{annotations}: COCO needs the lists 'images', 'annotations' and 'categories'")
    return _Reader(annotations, document).read()


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # JSON has integers that no float can hold
        return False


class _Reader:
    def __init__(self, source: Path, document: dict[str, Any]) -> None:
        self.source = source
        self.document = document

    def read(self) -> CocoSet:
        categories = self._unique("categories")
        labels = {identity: index for index, identity in enumerate(sorted(categories))}
        names = [categories[identity].get("name") for identity in sorted(categories)]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise BadInput(f"{self.source}: every category needs a name, and there must be at least one")
        images = self._unique("images")
        for identity, entry in images.items():
            self._check_size(identity, entry)
        objects: dict[int, list[tuple[list[float], int]]] = {identity: [] for identity in images}
        for identity, entry in self._unique("annotations").items():
            image, box = self._box(identity, entry, images)
            category = entry.get("category_id")
            if not isinstance(category, int) or category not in labels:
                raise self._bad("annotation", identity, f"category {category!r} is not listed")
            label = labels[category]
            if not entry.get("iscrowd", 0):
                objects[image].append((box, label))
        return CocoSet(
            classes=tuple(str(name) for name in names),
            images=tuple(self._image(identity, images[identity], objects[identity]) for identity in sorted(images)),
        )

    def _bad(self, what: str, identity: object, reason: str) -> BadInput:
        return BadInput(f"{self.source}: {what} {identity}: {reason}")

    def _unique(self, key: str) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for position, entry in enumerate(self.document[key]):
            identity = entry.get("id") if isinstance(entry, dict) else None
            if not isinstance(identity, int):
                raise self._bad(key, f"at position {position}", "has no integer id")
            if identity in found:
                raise self._bad(key, identity, "the id occurs twice")
            found[identity] = entry
        return found

    def _box(self, identity: int, entry: dict[str, Any], images: dict[int, dict[str, Any]]) -> tuple[int, list[float]]:
        image = entry.get("image_id")
        if not isinstance(image, int) or image not in images:
            raise self._bad("annotation", identity, f"image {image!r} is not listed")
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(value) for value in box):
            raise self._bad("annotation", identity, f"bbox must be four finite numbers, not {box!r}")
        x, y, width, height = (float(value) for value in box)
        if width <= 0 or height <= 0:
            raise self._bad("annotation", identity, f"bbox {box} has no area")
        across, down = images[image]["width"], images[image]["height"]
        if x < -1 or y < -1 or x + width > across + 1 or y + height > down + 1:
            raise self._bad("annotation", identity, f"bbox {box} leaves the image of {across}x{down} pixels")
        return image, [x, y, x + width, y + height]

    def _check_size(self, identity: int, entry: dict[str, Any]) -> None:
        width, height = entry.get("width"), entry.get("height")
        if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
            raise self._bad("image", identity, f"width and height must be positive integers, not {width!r}, {height!r}")
        if width * height > MAX_PIXELS:
            raise self._bad("image", identity, f"{width}x{height} are more than {MAX_PIXELS} pixels; cut the image")

    def _image(self, identity: int, entry: dict[str, Any], objects: list[tuple[list[float], int]]) -> CocoImage:
        name = entry.get("file_name")
        if not isinstance(name, str) or not name:
            raise self._bad("image", identity, "has no file_name")
        try:
            path = contained_path(self.source.parent, name)
        except BadInput as error:
            raise self._bad("image", identity, str(error)) from error
        return CocoImage(
            id=identity,
            path=path,
            width=entry["width"],
            height=entry["height"],
            truth=Truth(
                boxes=np.array([box for box, _ in objects], np.float32).reshape(-1, 4),
                labels=np.array([label for _, label in objects], np.int64),
            ),
            extra={k: v for k, v in entry.items() if k not in {"id", "file_name", "width", "height"}},
        )
