"""Value functions: which cells of a frame are of high value, from boxes, masks or a label of the whole.

A frame is divided into ``cells`` by ``cells`` equal parts. A value map has one value for each, row by row: a boolean
where the truth is known, float32 in [0, 1] where a model says how sure it is.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.detection import Detections, Floats
from orbitloop.domain.errors import BadInput

Truths: TypeAlias = NDArray[np.bool_]


def map_of_boxes(boxes: Floats, size: tuple[int, int], cells: int, *, margin: float = 0.0) -> Truths:
    """The cells that boxes touch.

    Args:
        boxes: ``(n, 4)`` float32 ``x0, y0, x1, y1`` in pixels of the frame.
        size: height and width of the frame in pixels.
        margin: pixels around each box that are of value too: what it lies in.

    Returns:
        ``(cells, cells)`` booleans.
    """
    return scores_of_boxes(boxes, np.ones(len(boxes), np.float32), size, cells, margin=margin) > 0


def map_of_detections(found: Detections, size: tuple[int, int], cells: int, *, margin: float = 0.0) -> Floats:
    """How sure a detector is of each cell: the highest score of the boxes that touch it, else 0; arguments as above."""
    return scores_of_boxes(found.boxes, found.scores, size, cells, margin=margin)


def scores_of_boxes(boxes: Floats, scores: Floats, size: tuple[int, int], cells: int, *, margin: float = 0.0) -> Floats:
    """The highest score of the boxes that touch each cell, ``(cells, cells)`` float32; else 0.

    Raises:
        BadInput: the frame is empty, or has no cells.
    """
    height, width = size
    if height <= 0 or width <= 0 or cells < 1:
        raise BadInput(f"a frame of {width}x{height} pixels cannot be divided into {cells}x{cells} cells")
    values = np.zeros((cells, cells), np.float32)
    scale = np.array([cells / width, cells / height] * 2)
    grown = (boxes.astype(np.float64) + np.array([-margin, -margin, margin, margin])) * scale
    low = np.clip(np.floor(grown[:, :2]), 0, cells).astype(int)
    high = np.clip(np.ceil(grown[:, 2:]), 0, cells).astype(int)
    for (x0, y0), (x1, y1), score in zip(low, high, scores, strict=True):
        part = values[y0:y1, x0:x1]
        np.maximum(part, score, out=part)
    return values


def map_of_mask(mask: Truths, cells: int, *, least: float = 0.5) -> Truths:
    """The cells of which at least the share ``least`` is set in ``mask``, ``(h, w)``: multiples of ``cells``."""
    return regrid(mask.astype(np.float32), cells) >= least


def map_of_label(valuable: bool, cells: int) -> Truths:
    """The map of a frame whose label holds for all of it."""
    return np.full((cells, cells), valuable)


def regrid(values: Floats, cells: int, *, highest: bool = False) -> Floats:
    """A square map at another resolution: means of finer cells, repeats of coarser ones.

    Args:
        values: ``(m, m)``, or ``(b, m, m)`` for a batch; float32.
        cells: side of the result.
        highest: the highest of finer cells, not their mean: what is looked for need not fill a cell.

    Raises:
        BadInput: neither side divides the other.
    """
    side, across = values.shape[-2:]
    if side == across == cells:
        return values
    if side % cells == 0 and across % cells == 0:
        shape = (*values.shape[:-2], cells, side // cells, cells, across // cells)
        parts = values.reshape(shape)
        return np.asarray(parts.max(axis=(-3, -1)) if highest else parts.mean(axis=(-3, -1)), np.float32)
    if side == across and cells % side == 0:
        times = cells // side
        return np.asarray(values.repeat(times, axis=-2).repeat(times, axis=-1), np.float32)
    raise BadInput(f"a map of {side}x{across} cells cannot be shown as {cells}x{cells}: neither divides the other")


def tiles_of_map(values: NDArray[np.generic], tiles: int) -> NDArray[np.generic]:
    """A ``(cells, cells)`` map cut into tiles, row by row: ``(tiles**2, cells / tiles, cells / tiles)``."""
    cells = values.shape[0]
    if cells % tiles:
        raise BadInput(f"{cells} cells a side cannot be dealt out to {tiles} tiles a side")
    part = cells // tiles
    return values.reshape(tiles, part, tiles, part).swapaxes(1, 2).reshape(tiles * tiles, part, part)


def map_of_tiles(parts: NDArray[np.generic], tiles: int) -> NDArray[np.generic]:
    """Inverse of :func:`tiles_of_map`."""
    part = parts.shape[-1]
    return parts.reshape(tiles, tiles, part, part).swapaxes(1, 2).reshape(tiles * part, tiles * part)
