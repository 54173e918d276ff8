"""The networks of a transformation in torch: value maps of tiles, and the context engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

GRID = 16
"""Cells of a network's value map, a side of the tile."""


class Size(NamedTuple):
    """How large a :class:`ValueNet` is.

    Args:
        width: channels of the first layer; the next have twice and four times as many.
        blocks: layers that look further, each twice as far as the one before.
    """

    width: int
    blocks: int


SIZES: Mapping[str, Size] = {
    "tiny": Size(8, 0),
    "small": Size(16, 0),
    "medium": Size(16, 3),
    "large": Size(24, 3),
    "reference": Size(32, 3),
}
"""By name; the reference is what an application gets that is nothing but labelled frames."""
SPECIALISED = ("tiny", "small", "medium", "large")
"""Sizes that are trained on the reference's value maps."""
THUMBNAIL = 2
"""How many times smaller the engine looks at a glimpse of a tile, a side."""
FEATURES = 8
"""Means and contrasts of three bands, structure across and down: what tells a tile unlike all others."""


def _step(inputs: int, outputs: int, stride: int, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class ValueNet(nn.Module):
    """From a tile to the logits of its value map.

    Three halvings, the tile's mean added to each place, residual layers that look further by dilation (Yu and Koltun
    2016; He et al. 2016), and one more layer.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.width
        self.down = nn.ModuleList([_step(3, width, 2), _step(width, 2 * width, 2), _step(2 * width, 4 * width, 2)])
        self.whole = nn.Conv2d(4 * width, 4 * width, 1)
        self.further = nn.ModuleList([_step(4 * width, 4 * width, 1, 2**index) for index in range(size.blocks)])
        self.mix = _step(4 * width, 4 * width, 1)
        self.head = nn.Conv2d(4 * width, 1, 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, -2.0)  # value is rare: the first steps are not spent on unlearning it

    def forward(self, tiles: Tensor) -> Tensor:
        """``(b, 3, 128, 128)`` float32 in [0, 1] to ``(b, 1, 16, 16)`` logits."""
        x = tiles
        for step in self.down:
            x = step(x)
        x = x + self.whole(x.mean(dim=(2, 3), keepdim=True))
        for block in self.further:
            x = x + block(x)
        return self.head(self.mix(x))  # type: ignore[no-any-return]  # a module returns what its forward does


class EngineNet(nn.Module):
    """From a glimpse of a tile to the logits of its context.

    Args:
        contexts: how many there are.
    """

    def __init__(self, contexts: int) -> None:
        super().__init__()
        self.down = nn.ModuleList([_step(3, 8, 2), _step(8, 16, 2), _step(16, 24, 2)])
        self.head = nn.Conv2d(48, contexts, 1)

    def forward(self, seen: Tensor) -> Tensor:
        """``(b, 3, 32, 32)`` float32 in [0, 1] to ``(b, contexts)`` logits."""
        x = nn.functional.avg_pool2d(seen, THUMBNAIL)
        for step in self.down:
            x = step(x)
        pooled = torch.cat([x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)], dim=1)
        return self.head(pooled).flatten(1)  # type: ignore[no-any-return]  # a module returns what its forward does


def features(seen: Tensor) -> Tensor:
    """Means, contrasts and structure of glimpses, ``(b, FEATURES)``; the engine's graph computes the same."""
    small = nn.functional.avg_pool2d(seen, THUMBNAIL)
    means = small.mean(dim=(2, 3))
    contrasts = (small - means[:, :, None, None]).abs().mean(dim=(2, 3))
    grey = small.mean(dim=1)
    across = (grey[:, :, 1:] - grey[:, :, :-1]).abs().mean(dim=(1, 2))
    down = (grey[:, 1:, :] - grey[:, :-1, :]).abs().mean(dim=(1, 2))
    return torch.cat([means, contrasts, across[:, None], down[:, None]], dim=1)
