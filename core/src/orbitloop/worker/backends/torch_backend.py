"""PyTorch: user code's own methods where it has them, and what a plain ``torch.nn.Module`` lacks."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from orbitloop.domain.errors import BadInput
from orbitloop.worker.backends.base import Backend
from orbitloop.worker.backends.measures import labels_in, measured, samples_in

_BATCH = 256


class TorchBackend(Backend):
    """A ``torch.nn.Module``, plain or with methods of its own, or any estimator that works with torch.

    Models are files of a state dictionary, read with ``weights_only``.
    """

    def fresh(self) -> Self | None:
        """A second module: a new one of its class, or a copy."""
        other = super().fresh()
        if other is not None or not self._plain():
            return other
        return type(self)(copy.deepcopy(self.estimator), framework=self.framework, suffix=self.suffix)

    def _own(self, name: str) -> Callable[..., Any] | None:
        """User code's method; ``Module.train`` only switches the mode, and is none."""
        if name == "train" and self._plain() and type(self.estimator).train is sys.modules["torch"].nn.Module.train:
            return None
        return super()._own(name)

    def _plain(self) -> bool:
        """Whether it is a module; it cannot be one before user code has imported torch."""
        estimator, torch = self.estimator, sys.modules.get("torch")
        return torch is not None and isinstance(estimator, torch.nn.Module)

    def start_from(self, base_model_url: str) -> None:
        """Load it into a plain module; user code's ``train`` finds it by itself."""
        if base_model_url and self._trains_plainly():
            self.load(base_model_url)

    def _trains_plainly(self) -> bool:
        return self._plain() and not (self._own("train") or self._own("fit"))

    def train(self, train_data: Any, valid_data: Any = None, **kwargs: Any) -> Any:
        """User code's training, or for a plain module Adam in batches; see :func:`fit`."""
        self.made(**kwargs)
        if not self._trains_plainly():
            return super().train(train_data, valid_data, **kwargs)
        return fit(self.estimator, train_data, **kwargs)

    def evaluate(self, data: Any, model_path: str, **kwargs: Any) -> Any:
        """User code's evaluation, or accuracy or squared error of a plain module."""
        self.made(**kwargs)
        if not self._plain() or self._own("evaluate"):
            return super().evaluate(data, model_path, **kwargs)
        self.load(model_path)
        return measured(self.predict(samples_in(data)), labels_in(data))

    def predict(self, data: Any, **kwargs: Any) -> Any:
        """User code's prediction, or the outputs of a plain module as arrays, in evaluation mode."""
        self.made(**kwargs)
        if not self._plain() or self._own("predict"):
            return super().predict(data, **kwargs)
        return outputs_of(self.estimator, samples_in(data))

    def load(self, model_url: str) -> None:
        """User code's loading, or a state dictionary into a plain module.

        Raises:
            BadInput: the file is missing, is no state dictionary, or is one of another module.
        """
        if not self._plain() or self._own("load"):
            super().load(model_url)
            return
        import pickle

        import torch

        try:
            read = torch.load(model_url, map_location="cpu", weights_only=True)
            self.estimator.load_state_dict(read.get("state_dict", read))
        except (OSError, RuntimeError, pickle.UnpicklingError, AttributeError, EOFError) as error:
            raise BadInput(f"{model_url} does not load into {type(self.estimator).__name__}: {error}") from error

    def save(self, model_path: str) -> str:
        """User code's saving, or the state dictionary of a plain module, whole or not at all."""
        if not self._plain() or self._own("save"):
            return super().save(model_path)
        import torch

        path = Path(model_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.part")
        torch.save(self.estimator.state_dict(), partial)
        partial.replace(path)
        return str(path)


def fit(
    module: Any,
    data: Any,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    loss: Callable[[Any, Any], Any] | None = None,
    seed: int = 0,
) -> list[float]:
    """Train a module by Adam (Kingma & Ba 2015); gives the mean loss of each epoch.

    Args:
        module: a ``torch.nn.Module``.
        data: with samples ``x`` ``(n, ...)`` and labels ``y`` ``(n, ...)``.
        epochs: how often every sample is seen.
        batch_size: samples a step.
        learning_rate: of Adam.
        loss: of outputs and labels; cross-entropy for whole-numbered labels, squared error for others.
        seed: of the order in which samples are seen.

    Raises:
        BadInput: there are no labels, or no samples.
    """
    import torch

    samples = torch.as_tensor(np.asarray(samples_in(data), np.float32))
    labels = _labels(data)
    if len(samples) == 0 or len(samples) != len(labels):
        raise BadInput(f"there are {len(samples)} samples and {len(labels)} labels; training needs as many of each")
    of = loss or (torch.nn.functional.mse_loss if labels.is_floating_point() else torch.nn.functional.cross_entropy)
    optimiser = torch.optim.Adam(module.parameters(), lr=learning_rate)
    order = torch.Generator().manual_seed(seed)
    history: list[float] = []
    torch.nn.Module.train(module)
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(samples), generator=order).split(batch_size):
            optimiser.zero_grad()
            value = of(module(samples[batch]), labels[batch])
            value.backward()
            optimiser.step()
            total += float(value.detach()) * len(batch)
        history.append(total / len(samples))
    return history


def _labels(data: Any) -> Any:
    import torch

    labels = np.asarray(labels_in(data))
    whole = np.issubdtype(labels.dtype, np.integer)
    return torch.as_tensor(labels.astype(np.int64 if whole else np.float32))


def outputs_of(module: Any, samples: Any) -> Any:
    """The module's output for ``samples`` ``(n, ...)``, an array; a list of arrays if it gives several."""
    import torch

    torch.nn.Module.eval(module)
    given = samples if isinstance(samples, torch.Tensor) else torch.as_tensor(np.asarray(samples, np.float32))
    with torch.no_grad():
        parts = [module(part) for part in given.split(_BATCH)]
    if parts and isinstance(parts[0], tuple | list):
        return [torch.cat(several).numpy() for several in zip(*parts, strict=True)]
    return torch.cat(parts).numpy() if parts else np.zeros((0,), np.float32)
