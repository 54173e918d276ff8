"""The estimator, as Sedna's examples have one: is there an aircraft in the middle of a tile?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELLS, DIRECTIONS = 6, 8


def sample(line: str) -> tuple[NDArray[np.float64], int]:
    """A line of the index: a tile's path, and whether there is one."""
    path, label = line.split()
    return picture(path), int(label)


def picture(path: str) -> NDArray[np.float64]:
    """What the estimator knows of a tile: how strong edges are, by place and direction."""
    pixels = np.asarray(Image.open(path).convert("L"), np.float64)
    down, right = np.gradient(pixels)
    strength = np.hypot(down, right)
    direction = ((np.arctan2(down, right) % np.pi) / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
    side = pixels.shape[0] // CELLS
    made = np.zeros((CELLS, CELLS, DIRECTIONS))
    for y in range(CELLS):
        for x in range(CELLS):
            cell = (slice(y * side, (y + 1) * side), slice(x * side, (x + 1) * side))
            made[y, x] = np.bincount(direction[cell].ravel(), strength[cell].ravel(), DIRECTIONS)
    flat = made.ravel()
    return np.append(flat / (np.linalg.norm(flat) + 1e-9), 1.0)


class Estimator:
    """Logistic regression."""

    def __init__(self, **_kwargs: Any) -> None:
        self.weights = np.zeros(CELLS * CELLS * DIRECTIONS + 1)

    def train(self, train_data: Any, epochs: int = 200, **_kwargs: Any) -> None:
        """Go on from the weights that are there."""
        self.fit(np.asarray(train_data.x, np.float64), train_data.y, epochs)

    def fit(self, x: NDArray[np.float64], y: Any, epochs: int = 200) -> None:
        """Gradient descent with a little weight decay."""
        wanted = np.asarray(y, np.float64)
        for _ in range(epochs):
            error = self.scores(x) - wanted
            self.weights -= 4.0 * (x.T @ error / len(x) + 1e-4 * self.weights)

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of an aircraft."""
        made: NDArray[np.float64] = 1 / (1 + np.exp(-(x @ self.weights)))
        return made

    def evaluate(self, data: Any, model_path: str = "", **_kwargs: Any) -> dict[str, float]:
        """Accuracy of the model at a path."""
        self.load(model_path)
        right = (self.scores(np.asarray(data.x, np.float64)) > 0.5) == (np.asarray(data.y) == 1)
        return {"accuracy": float(np.mean(right))}

    def predict(self, data: Any, **_kwargs: Any) -> NDArray[np.float64]:
        """Probabilities of no aircraft and of one, for each tile."""
        found = self.scores(np.asarray(data, np.float64))
        return np.stack([1 - found, found], axis=1)

    def load(self, model_url: str) -> None:
        """Take the weights of a file."""
        with np.load(model_url) as read:
            self.weights = read["weights"]

    def save(self, model_path: str) -> None:
        """Write the weights to a file."""
        np.savez(model_path, weights=self.weights)
