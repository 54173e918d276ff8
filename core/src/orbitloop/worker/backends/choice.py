"""Which backend an estimator gets."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from orbitloop.worker.backends.base import Backend
from orbitloop.worker.backends.onnx_backend import OnnxBackend
from orbitloop.worker.backends.torch_backend import TorchBackend
from orbitloop.worker.log import LOGGER
from orbitloop.worker.settings import WorkerSettings, environment, read_settings

_BY_METHODS = {"TENSORFLOW": ".pb", "KERAS": ".pb", "MINDSPORE": ".ckpt"}
"""Frameworks whose estimators bring all their methods, and the suffix of their models."""


def set_backend(estimator: Any, settings: WorkerSettings | None = None) -> Backend:
    """``estimator`` in the shape that jobs use, by ``BACKEND_TYPE``; found out where that is not set.

    Args:
        estimator: an instance, a class, a function that makes one, or none for an ONNX file.
        settings: the worker's; those of the environment, where they are not given.
    """
    if isinstance(estimator, Backend):
        return estimator
    known = settings or read_settings(environment())
    kind = known.backend_type.upper() or _found_out(estimator)
    if kind in {"TORCH", "PYTORCH"}:
        return TorchBackend(estimator, framework="torch", suffix=".pth")
    if kind == "ONNX":
        return OnnxBackend(estimator)
    if kind and kind not in _BY_METHODS:
        LOGGER.warning("BACKEND_TYPE %s is unknown; the estimator is used by its own methods", known.backend_type)
    return Backend(estimator, framework=kind.lower(), suffix=_BY_METHODS.get(kind, ""))


def _found_out(estimator: Any) -> str:
    if estimator is None:
        return "ONNX"
    torch = sys.modules.get("torch")  # an estimator of torch has imported it
    if torch is not None:
        module = torch.nn.Module
        if isinstance(estimator, module) or (inspect.isclass(estimator) and issubclass(estimator, module)):
            return "TORCH"
    return ""
