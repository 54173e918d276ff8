"""Training crops: scale, flips, quarter turns, light, and mosaics of four (Bochkovskiy et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orbitloop.domain.detection import Floats

PAD = 114
VISIBLE = 0.35
"""A box that a crop cuts down to less than this share of its area is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImage:
    """An RGB picture with its objects.

    Args:
        pixels: ``(h, w, 3)`` uint8.
        boxes: ``(n, 4)`` float32, x0 y0 x1 y1 in pixels.
        labels: ``(n,)`` int64.
    """

    pixels: NDArray[np.uint8]
    boxes: Floats
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How training crops are drawn.

    Args:
        scales: smallest and largest zoom; 0.5 shows twice the ground per pixel.
        mosaic: share of the crops that are put together from four.
        light: largest relative change of brightness, contrast and each colour's gain.
        on_object: share of the crops that are centred near an object.
    """

    scales: tuple[float, float] = (0.6, 1.5)
    mosaic: float = 0.5
    light: float = 0.25
    on_object: float = 0.7


def crop(image: LabelledImage, side: int, augmentation: Augmentation, rng: np.random.Generator) -> LabelledImage:
    """A ``side`` by ``side`` crop at a random scale and place, turned and relit at random."""
    low, high = augmentation.scales
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    window = side / scale
    x0, y0 = _place(image, window, augmentation, rng)
    height, width = image.pixels.shape[:2]
    inner = (max(x0, 0.0), max(y0, 0.0), min(x0 + window, float(width)), min(y0 + window, float(height)))
    target = [round((inner[0] - x0) * scale), round((inner[1] - y0) * scale)]
    size = (max(1, round((inner[2] - inner[0]) * scale)), max(1, round((inner[3] - inner[1]) * scale)))
    size = (min(size[0], side - target[0]), min(size[1], side - target[1]))
    canvas = np.full((side, side, 3), PAD, np.uint8)
    ix0, iy0, ix1, iy1 = int(inner[0]), int(inner[1]), int(np.ceil(inner[2])), int(np.ceil(inner[3]))
    part = Image.fromarray(image.pixels[iy0:iy1, ix0:ix1]).resize(
        size,
        Image.Resampling.BILINEAR,
        box=(inner[0] - ix0, inner[1] - iy0, inner[2] - ix0, inner[3] - iy0),
    )
    canvas[target[1] : target[1] + size[1], target[0] : target[0] + size[0]] = np.asarray(part)
    boxes, labels = _clip((image.boxes - np.array([x0, y0, x0, y0], np.float32)) * scale, image.labels, side)
    return relight(turn(LabelledImage(pixels=canvas, boxes=boxes, labels=labels), rng), augmentation.light, rng)


def _place(
    image: LabelledImage, window: float, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[float, float]:
    height, width = image.pixels.shape[:2]
    if len(image.boxes) and rng.random() < augmentation.on_object:
        box = image.boxes[rng.integers(len(image.boxes))]
        x0 = float((box[0] + box[2]) / 2 - rng.uniform(0.15, 0.85) * window)
        y0 = float((box[1] + box[3]) / 2 - rng.uniform(0.15, 0.85) * window)
    else:
        x0, y0 = float(rng.uniform(0, width) - window / 2), float(rng.uniform(0, height) - window / 2)
    return _inside(x0, window, width), _inside(y0, window, height)


def _inside(start: float, window: float, length: int) -> float:
    if window >= length:
        return -(window - length) / 2
    return min(max(start, 0.0), length - window)


def _clip(boxes: Floats, labels: NDArray[np.int64], side: int) -> tuple[Floats, NDArray[np.int64]]:
    clipped = np.clip(boxes, 0, side)
    before = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    width, height = clipped[:, 2] - clipped[:, 0], clipped[:, 3] - clipped[:, 1]
    keep = (width * height > VISIBLE * before) & (width > 3) & (height > 3)
    return clipped[keep].astype(np.float32), labels[keep]


def turn(image: LabelledImage, rng: np.random.Generator) -> LabelledImage:
    """One of the eight symmetries of the square, at random: seen from orbit, no direction is up."""
    pixels, boxes = image.pixels, image.boxes
    side = pixels.shape[0]
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        boxes = np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], axis=1)
    for _ in range(int(rng.integers(4))):
        pixels = np.rot90(pixels)
        boxes = np.stack([boxes[:, 1], side - boxes[:, 2], boxes[:, 3], side - boxes[:, 0]], axis=1)
    return LabelledImage(pixels=np.ascontiguousarray(pixels), boxes=boxes.astype(np.float32), labels=image.labels)


def relight(image: LabelledImage, light: float, rng: np.random.Generator) -> LabelledImage:
    """Other brightness, contrast and colour balance, each by up to ``light``."""
    gains = (1 + rng.uniform(-light, light)) * (1 + rng.uniform(-light, light, 3) / 2)
    offset = rng.uniform(-light, light) * 64
    table = np.clip((np.arange(256)[:, None] - 128) * gains + 128 + offset, 0, 255).astype(np.uint8)
    pixels = np.stack([table[image.pixels[..., channel], channel] for channel in range(3)], axis=-1)
    return LabelledImage(pixels=pixels, boxes=image.boxes, labels=image.labels)


def mosaic(parts: list[LabelledImage], side: int) -> LabelledImage:
    """Four crops of ``side // 2`` put together to one of ``side``."""
    half = side // 2
    canvas = np.full((side, side, 3), PAD, np.uint8)
    boxes, labels = [], []
    for index, part in enumerate(parts):
        x, y = (index % 2) * half, (index // 2) * half
        canvas[y : y + half, x : x + half] = part.pixels
        boxes.append(part.boxes + np.array([x, y, x, y], np.float32))
        labels.append(part.labels)
    return LabelledImage(pixels=canvas, boxes=np.concatenate(boxes), labels=np.concatenate(labels))


def training_crop(
    images: list[LabelledImage],
    shares: NDArray[np.float64],
    side: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> LabelledImage:
    """One training example: a crop of an image drawn by ``shares`` (which sum to 1), or a mosaic of four."""
    if rng.random() < augmentation.mosaic:
        chosen = rng.choice(len(images), size=4, p=shares)
        return mosaic([crop(images[index], side // 2, augmentation, rng) for index in chosen], side)
    return crop(images[int(rng.choice(len(images), p=shares))], side, augmentation, rng)
