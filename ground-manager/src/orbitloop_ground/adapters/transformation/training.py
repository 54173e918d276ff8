"""Training of the networks of a transformation: one thread, every chance from a seed, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orbitloop.domain.detection import Floats
from orbitloop.domain.optimum import Progress
from orbitloop_ground.adapters.transformation.networks import EngineNet, Size, ValueNet, features

_WARM = 0.1
"""Share of the steps in which the learning rate rises."""
_RISING = 2.5
"""Steps that it takes at least: the schedule divides by one less."""
_DECAY = 1e-3


def _untold(done: int, total: int) -> None:
    """Nobody wants to know."""


Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast.

    Args:
        steps: optimiser steps.
        batch: tiles of a step.
        rate: highest learning rate (AdamW, one cycle).
        seed: of weights, order and turns of tiles.
    """

    steps: int
    batch: int = 24
    rate: float = 3e-3
    seed: int = 0


@contextmanager
def repeatable(seed: int) -> Iterator[torch.Generator]:
    """One thread and one order of sums: the same numbers again on the same computer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    try:
        yield torch.Generator().manual_seed(seed)
    finally:
        torch.set_num_threads(threads)


def train_values(
    tiles: NDArray[np.uint8],
    wanted: Floats,
    schedule: Schedule,
    *,
    size: Size,
    start: ValueNet | None = None,
    progress: Progress = _untold,
) -> ValueNet:
    """A network that makes value maps.

    Args:
        tiles: ``(n, 3, 128, 128)`` uint8.
        wanted: ``(n, 16, 16)`` float32 in [0, 1]: truth, or what the reference thinks.
        size: of the network.
        start: where to go on from; random weights without one.
        progress: told of every step.
    """
    with repeatable(schedule.seed) as chance:
        network = ValueNet(size)
        if start is not None:
            network.load_state_dict(start.state_dict())
        targets = torch.from_numpy(wanted)

        def loss(picked: Tensor, batch: Tensor, turn: int) -> Tensor:
            aim = _turned(targets[picked][:, None], turn)
            logits = network(batch)
            return nn.functional.binary_cross_entropy_with_logits(logits, aim)

        valuable = wanted.reshape(len(wanted), -1).max(axis=1) >= 0.5
        return _Fitting(tiles, _evenly(valuable), schedule, chance, progress).run(network, loss)


def train_engine(
    seen: NDArray[np.uint8], contexts: NDArray[np.int64], schedule: Schedule, progress: Progress = _untold
) -> EngineNet:
    """A network that tells contexts ``(n,)``, from 0, each at least once, apart by glimpses ``(n, 3, 32, 32)``."""
    with repeatable(schedule.seed) as chance:
        network = EngineNet(int(contexts.max()) + 1)
        targets = torch.from_numpy(contexts)

        def loss(picked: Tensor, batch: Tensor, _: int) -> Tensor:
            return nn.functional.cross_entropy(network(batch), targets[picked])

        return _Fitting(seen, _evenly(contexts), schedule, chance, progress).run(network, loss)


def features_of(seen: NDArray[np.uint8]) -> Floats:
    """:func:`~orbitloop_ground.adapters.transformation.networks.features` of many glimpses."""
    parts = [features(_inputs(torch.from_numpy(seen[at : at + 256]))) for at in range(0, len(seen), 256)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def _evenly(groups: NDArray[np.generic]) -> Tensor:
    """Weights of tiles that bring groups half way (in logarithms) to being seen equally often."""
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return torch.from_numpy(1.0 / np.sqrt(counts[place]))


@dataclass(frozen=True, slots=True, eq=False)
class _Fitting:
    tiles: NDArray[np.uint8]
    weights: Tensor
    schedule: Schedule
    chance: torch.Generator
    progress: Progress

    def run(self, network: Network, loss: Callable[[Tensor, Tensor, int], Tensor]) -> Network:
        network.train()
        steps, chance = self.schedule.steps, self.chance
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.schedule.rate, weight_decay=_DECAY)
        rates = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            self.schedule.rate,
            total_steps=steps,
            pct_start=max(_WARM, _RISING / steps),
            cycle_momentum=False,
        )
        every = torch.from_numpy(self.tiles)
        for step in range(steps):
            picked = torch.multinomial(self.weights, self.schedule.batch, replacement=True, generator=chance)
            turn = int(torch.randint(8, (1,), generator=chance))
            batch = _turned(_lit(_inputs(every[picked]), chance), turn).contiguous(memory_format=torch.channels_last)
            optimiser.zero_grad()
            loss(picked, batch, turn).backward()
            optimiser.step()
            rates.step()
            self.progress(step + 1, steps)
        return network.eval()


def _inputs(tiles: Tensor) -> Tensor:
    return tiles.to(torch.float32) * (1 / 255)


def _lit(tiles: Tensor, chance: torch.Generator) -> Tensor:
    """Tiles in another light, air and camera: contrast, gain, tint and haze drawn for each."""

    def drawn(low: float, high: float, bands: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(len(tiles), bands, 1, 1, generator=chance)

    means = tiles.mean(dim=(2, 3), keepdim=True)
    contrasted = means + (tiles - means) * drawn(0.7, 1.3)
    return contrasted * drawn(0.75, 1.25) * drawn(0.9, 1.1, bands=3) + drawn(-0.05, 0.07)


def _turned(images: Tensor, turn: int) -> Tensor:
    """One of the eight symmetries of a square: the ground has no up."""
    turned = torch.rot90(images, turn % 4, dims=(2, 3))
    return turned.flip(3) if turn >= 4 else turned
