"""The processes that train one model together: each draws its part of every batch, and their gradients are averaged.

All of them start from the same weights and make the same steps, so that all have the same model in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from orbitloop.domain.errors import BadInput, NotYet


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """One process among ``size``, the one that is counted as ``rank``; torch's process group is there if it is not
    alone.
    """

    rank: int = 0
    size: int = 1

    def check(self, batch: int) -> None:
        """Raises ``BadInput`` if a process would have nothing of a batch."""
        if batch < self.size:
            raise BadInput(f"{self.size} processes share batches of {batch} crops; make BATCH at least {self.size}")

    def part(self, batch: int) -> slice:
        """What of a batch this process takes."""
        return slice(self.rank, batch, self.size)

    def weight(self, mine: int, batch: int) -> float:
        """Factor on the loss over ``mine`` crops, so that the mean over all processes is that of the whole batch."""
        return mine * self.size / batch

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes, to the same bits in each.

        Raises:
            NotYet: another process is gone.
        """
        if self.size == 1:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        try:
            torch.distributed.all_reduce(flat)
        except RuntimeError as error:  # what torch's backends raise for a connection that is lost
            first = str(error).splitlines()[0][:200]
            raise NotYet(f"another process of the training is gone; its own log says why ({first})") from error
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(mean.view_as(tensor))


ALONE = Peers()
