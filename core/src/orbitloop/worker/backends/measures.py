"""What a plain module or graph is measured by, where user code brings no ``evaluate``."""

from __future__ import annotations

from typing import Any

import numpy as np

from orbitloop.domain.errors import BadInput


def samples_in(data: Any) -> Any:
    """The samples of a data set, or ``data`` itself if it is none."""
    return getattr(data, "x", data)


def labels_in(data: Any) -> Any:
    """The labels of a data set.

    Raises:
        BadInput: there are none.
    """
    labels = getattr(data, "y", None)
    if labels is None:
        raise BadInput("the data set has no labels y; parse it with labels, or give the estimator its own method")
    return labels


def measured(outputs: Any, labels: Any) -> dict[str, list[float]]:
    """``accuracy`` of scores ``(n, classes)`` for whole-numbered labels ``(n,)``, ``mse`` of anything else.

    Raises:
        BadInput: shapes do not fit.
    """
    found, wanted = np.asarray(outputs), np.asarray(labels)
    if np.issubdtype(wanted.dtype, np.integer) and wanted.ndim == 1 and found.ndim == 2:
        if len(found) != len(wanted):
            raise BadInput(f"the model gave {len(found)} results for {len(wanted)} labels")
        return {"accuracy": [float(np.mean(found.argmax(axis=1) == wanted))]}
    if found.size != wanted.size:
        raise BadInput(f"the model gave results of shape {found.shape} for labels of shape {wanted.shape}")
    return {"mse": [float(np.mean((found.reshape(wanted.shape).astype(float) - wanted.astype(float)) ** 2))]}
