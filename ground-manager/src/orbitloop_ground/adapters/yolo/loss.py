"""The detector's loss: complete IoU for boxes, binary cross-entropy for objectness and class.

Anchors are assigned by shape and every object claims the two cells next to its own as well, as in the YOLOv5
family; box regression is CIoU (Zheng et al. 2020).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from orbitloop.domain.detection import DetectorSpec, Head

SHAPE_RATIO = 4.0
"""An anchor fits an object when neither side differs by more than this factor."""
OBJECTNESS = 40.0
"""Weight of objectness, of whose many anchors nearly all are background."""
BALANCE = {32: 1.0, 16: 1.6}
"""The same by the stride of the head."""


def ciou(first: Tensor, second: Tensor) -> Tensor:
    """Complete IoU of matched pairs; both ``(n, 4)`` as centre and size in pixels; returns ``(n,)``, at most 1."""
    low1, high1 = first[:, :2] - first[:, 2:] / 2, first[:, :2] + first[:, 2:] / 2
    low2, high2 = second[:, :2] - second[:, 2:] / 2, second[:, :2] + second[:, 2:] / 2
    shared = (torch.minimum(high1, high2) - torch.maximum(low1, low2)).clamp(min=0).prod(dim=1)
    union = first[:, 2:].prod(dim=1) + second[:, 2:].prod(dim=1) - shared + 1e-7
    overlap = shared / union
    hull = torch.maximum(high1, high2) - torch.minimum(low1, low2)
    distance = ((first[:, :2] - second[:, :2]) ** 2).sum(dim=1) / ((hull**2).sum(dim=1) + 1e-7)
    angle1 = torch.atan(first[:, 2] / (first[:, 3] + 1e-7))
    angle2 = torch.atan(second[:, 2] / (second[:, 3] + 1e-7))
    aspect = 4 / math.pi**2 * (angle1 - angle2) ** 2
    with torch.no_grad():
        weight = aspect / (1 - overlap + aspect + 1e-7)
    return overlap - distance - weight * aspect


def assign(targets: Tensor, head: Head, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Which anchor of which cell answers for which object.

    Args:
        targets: ``(n, 6)`` float32: image index, label, centre x, centre y, width, height in pixels.

    Returns:
        Image, anchor, row and column indices ``(m,)`` int64 and the matched targets ``(m, 6)``.
    """
    anchors = targets.new_tensor(head.anchors)
    ratio = targets[None, :, 4:6] / anchors[:, None]
    fits = torch.maximum(ratio, 1 / ratio).amax(dim=2) < SHAPE_RATIO
    anchor, chosen = fits.nonzero(as_tuple=True)
    matched = targets[chosen]
    place = matched[:, 2:4] / head.stride
    cell = place.floor()
    inside = place - cell
    offsets = [torch.zeros_like(cell)]
    for axis in (0, 1):
        step = torch.zeros_like(cell)
        step[:, axis] = torch.where(inside[:, axis] < 0.5, -1.0, 1.0)
        offsets.append(step)
    cells = torch.cat([cell + offset for offset in offsets]).long()
    anchor, matched = anchor.repeat(3), matched.repeat(3, 1)
    within = (cells >= 0).all(dim=1) & (cells[:, 0] < columns) & (cells[:, 1] < rows)
    cells, anchor, matched = cells[within], anchor[within], matched[within]
    return matched[:, 0].long(), anchor, cells[:, 1], cells[:, 0], matched


def detection_loss(outputs: tuple[Tensor, ...], targets: Tensor, spec: DetectorSpec) -> Tensor:
    """Loss of a batch, summed over heads; a scalar.

    Args:
        outputs: raw logits per head, ``(b, anchors * channels, rows, columns)``.
        targets: as for :func:`assign`.
    """
    total = outputs[0].new_zeros(())
    for output, head in zip(outputs, spec.heads, strict=True):
        batch, _, rows, columns = output.shape
        grid = output.float().view(batch, len(head.anchors), spec.channels, rows, columns)
        objectness = torch.zeros_like(grid[:, :, 4])
        image, anchor, row, column, matched = assign(targets, head, rows, columns)
        if len(matched):
            values = grid[image, anchor, :, row, column]
            cell = torch.stack([column, row], dim=1)
            centre = (2 * values[:, :2].sigmoid() - 0.5 + cell) * head.stride
            size = (2 * values[:, 2:4].sigmoid()) ** 2 * targets.new_tensor(head.anchors)[anchor]
            fit = ciou(torch.cat([centre, size], dim=1), matched[:, 2:])
            total = total + 3.0 * (1 - fit).mean()
            objectness[image, anchor, row, column] = fit.detach().clamp(min=0)
            wanted = torch.nn.functional.one_hot(matched[:, 1].long(), len(spec.classes)).to(values.dtype)
            total = total + 0.3 * binary_cross_entropy_with_logits(values[:, 5:], wanted)
        total = total + OBJECTNESS * BALANCE[head.stride] * binary_cross_entropy_with_logits(grid[:, :, 4], objectness)
    return total
