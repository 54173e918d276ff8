"""A wider network that computes what a narrower one does, to train on from there (Net2Net, Chen et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.yolo.network import YoloTiny

UNEVEN = 0.5
"""How unevenly the copies of a channel share what it fed, either way: copies that share evenly learn the same."""


@torch.no_grad()
def widened(network: YoloTiny, width: int, *, seed: int) -> YoloTiny:
    """``network``, folded, with ``width`` times the channels of :class:`YoloTiny` and the same outputs.

    Every channel is copied as often as needed, its copies side by side; the weights that read it are dealt to the
    copies at random, so that they add up to what they were.

    Args:
        seed: of how they are dealt.

    Raises:
        BadInput: ``width`` is no multiple of the network's.
    """
    copies, rest = divmod(width, network.width)
    if rest or not copies:
        raise BadInput(f"a network of width {network.width} can be made a multiple as wide, not {width}")
    wide = YoloTiny(network.spec, normalised=False, width=width)
    chance = torch.Generator().manual_seed(seed)
    targets = dict(wide.named_modules())
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            target = targets[name]
            assert isinstance(target, nn.Conv2d)
            assert module.bias is not None
            assert target.bias is not None
            outputs = target.out_channels // module.out_channels
            inputs = target.in_channels // module.in_channels
            target.bias.copy_(module.bias.repeat_interleave(outputs))
            target.weight.copy_(_dealt(module.weight.repeat_interleave(outputs, dim=0), inputs, chance))
    return wide.eval()


def _dealt(weight: Tensor, copies: int, chance: torch.Generator) -> Tensor:
    """``(out, in, k, k)`` to ``(out, in * copies, k, k)``: what read one channel reads its copies, to the same sum."""
    if copies == 1:
        return weight
    outputs, inputs = weight.shape[:2]
    uneven = UNEVEN * (2 * torch.rand((outputs, inputs, copies, 1, 1), generator=chance) - 1)
    shares = (1 + uneven - uneven.mean(dim=2, keepdim=True)) / copies
    return (weight[:, :, None] * shares).flatten(1, 2)
