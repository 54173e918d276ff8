"""YOLOv3-tiny (Redmon and Farhadi 2018), with batch normalisation while it is pretrained and without once it flies.

Folding the normalisation into the convolutions leaves 13 weights and 13 biases: the 26 tensors that fly, that a
delta changes, and whose digest both sides compare.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orbitloop.domain.detection import DetectorSpec

LEAK = 0.1
BACKBONE = (16, 32, 64, 128, 256, 512)


class Block(nn.Module):
    """Convolution, normalisation (unless folded), leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, normalised: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=not normalised)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03) if normalised else None

    def forward(self, x: Tensor) -> Tensor:
        """``(b, inputs, h, w)`` to ``(b, outputs, h, w)``."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return nn.functional.leaky_relu(x, LEAK)


class YoloTiny(nn.Module):
    """The two-scale tiny YOLOv3: strides 32 and 16.

    Args:
        spec: anchors and classes; its heads must have strides 32 and 16, in this order.
        normalised: with batch normalisation (pretraining) or without (the folded network that flies).
        width: factor on the number of channels; 1 is what flies, more is a teacher on the ground.
    """

    def __init__(self, spec: DetectorSpec, *, normalised: bool, width: int = 1) -> None:
        super().__init__()
        if [head.stride for head in spec.heads] != [32, 16]:
            raise ValueError("YOLOv3-tiny has heads of stride 32 and 16, in this order")
        self.spec = spec
        self.width = width
        self.normalised = normalised
        widths = (3, *(width * channels for channels in BACKBONE))
        self.backbone = nn.ModuleList(
            Block(before, after, 3, normalised=normalised) for before, after in pairwise(widths)
        )
        self.top = Block(512 * width, 1024 * width, 3, normalised=normalised)
        self.neck = Block(1024 * width, 256 * width, 1, normalised=normalised)
        self.coarse = Block(256 * width, 512 * width, 3, normalised=normalised)
        self.coarse_head = nn.Conv2d(512 * width, len(spec.heads[0].anchors) * spec.channels, 1)
        self.lateral = Block(256 * width, 128 * width, 1, normalised=normalised)
        self.fine = Block(384 * width, 256 * width, 3, normalised=normalised)
        self.fine_head = nn.Conv2d(256 * width, len(spec.heads[1].anchors) * spec.channels, 1)
        self._start_heads()

    def _start_heads(self) -> None:
        """Start objectness near 1 %: the first steps are not spent on unlearning background (Lin et al. 2017)."""
        for head, conv in zip(self.spec.heads, (self.coarse_head, self.fine_head), strict=True):
            assert conv.bias is not None
            bias = conv.bias.detach().view(len(head.anchors), self.spec.channels)
            bias[:, 4] = -4.6
            bias[:, 5:] = 2.0 if len(self.spec.classes) == 1 else 0.0
            conv.bias = nn.Parameter(bias.reshape(-1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Raw logits of the two heads, ``(b, anchors * channels, h / stride, w / stride)``.

        Args:
            images: ``(b, 3, h, w)`` float32 in [0, 1], RGB, sides multiples of 32.
        """
        x = images
        fine = x
        for index, block in enumerate(self.backbone):
            x = block(x)
            if index == 4:
                fine = x
            if index < 5:
                x = nn.functional.max_pool2d(x, 2)
        x = nn.functional.max_pool2d(nn.functional.pad(x, (0, 1, 0, 1), value=-1e4), 2, stride=1)
        neck = self.neck(self.top(x))
        coarse = self.coarse_head(self.coarse(neck))
        raised = nn.functional.interpolate(self.lateral(neck), scale_factor=2, mode="nearest")
        return coarse, self.fine_head(self.fine(torch.cat([raised, fine], dim=1)))


def fold(network: YoloTiny) -> YoloTiny:
    """The same function without normalisation layers: each is folded into the convolution before it."""
    folded = YoloTiny(network.spec, normalised=False, width=network.width)
    targets = dict(folded.named_modules())
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, Block) and module.norm is not None:
                _fold_block(module, module.norm, cast(Block, targets[name]))
            elif isinstance(module, nn.Conv2d) and "." not in name:
                targets[name].load_state_dict(module.state_dict())
    return folded.eval()


def _fold_block(source: Block, norm: nn.BatchNorm2d, target: Block) -> None:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    assert target.conv.bias is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    target.conv.weight.copy_(source.conv.weight * gain[:, None, None, None])
    target.conv.bias.copy_(norm.bias - norm.running_mean * gain)


def weights_of(network: YoloTiny) -> dict[str, NDArray[np.float32]]:
    """The tensors of a folded network by name, float32, as they fly."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in network.state_dict().items()}


def network_with(weights: dict[str, NDArray[np.float32]], spec: DetectorSpec) -> YoloTiny:
    """A folded network holding ``weights``; raises ``RuntimeError`` when names or shapes do not fit ``spec``."""
    first = weights.get("backbone.0.conv.weight")
    width = 1 if first is None else max(1, len(first) // BACKBONE[0])
    network = YoloTiny(spec, normalised=False, width=width)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return network.eval()
