"""Where and how training runs: a GPU if there is one, bfloat16 where the processor has it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from orbitloop_ground.adapters.yolo.network import YoloTiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """A device and the precision of the convolutions on it.

    Args:
        device: where the network lives.
        half: run the forward pass in bfloat16; weights, loss and updates stay float32.
    """

    device: torch.device
    half: bool

    @classmethod
    def best(cls) -> Self:
        """CUDA if present, else the processor; bfloat16 wherever the hardware multiplies it natively."""
        if torch.cuda.is_available():
            return cls(device=torch.device("cuda"), half=torch.cuda.is_bf16_supported())
        native = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - torch has no public name for it
        return cls(device=torch.device("cpu"), half=native)

    def place(self, network: YoloTiny) -> YoloTiny:
        """The network on the device, in the memory layout that convolutions like best."""
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub has forgotten it
        return network.to(self.device)

    def move(self, images: Tensor) -> Tensor:
        """A batch on the device, channels last."""
        return images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)

    def autocast(self) -> AbstractContextManager[object]:
        """The precision to run the network in."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
