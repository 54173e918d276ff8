"""Automatic contexts: k-means over label vectors, over counts, metrics and transforms; the best silhouette wins.

A clustering without small clusters goes before one with them, which are outliers more often than contexts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput

COUNTS = (2, 3, 4, 5)
_JUDGED = 1500
"""Most vectors that a silhouette is computed of: it takes all their distances."""
_FLAT = 1e-6


class Metric(StrEnum):
    """How far apart two label vectors are.

    k-means minimises squared Euclidean distances, so that the others are Euclidean ones of changed vectors: of unit
    length for the cosine; 0 or 1 by the median, whose squared distance counts the places that differ, for Hamming.
    """

    EUCLIDEAN = "euclidean"
    COSINE = "cosine"
    HAMMING = "hamming"


class Transform(StrEnum):
    """What is done to vectors before: nothing, unit variances, or unit covariance (whitened)."""

    PLAIN = "plain"
    STANDARDISED = "standardised"
    WHITENED = "whitened"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """One way to make contexts, and its silhouette (Rousseeuw 1987), in [-1, 1]."""

    count: int
    metric: Metric
    transform: Transform
    silhouette: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clusters:
    """The contexts of ``labels`` ``(n,)``, how they were found, and every other way that was tried."""

    labels: NDArray[np.int64]
    chosen: Clustering | None
    tried: tuple[Clustering, ...]


def cluster(vectors: Floats, *, seed: int, least: int, counts: tuple[int, ...] = COUNTS) -> Clusters:
    """Contexts of label vectors.

    Args:
        vectors: ``(n, labels)`` float32.
        seed: of the first centres.
        least: fewest members of a context; a smaller one is joined to the nearest.
        counts: of clusters, swept.

    Returns:
        Labels from 0 without gaps; a single context where the vectors do not fall apart.
    """
    if vectors.ndim != 2 or not len(vectors):
        raise BadInput(f"label vectors of shape {vectors.shape} cannot be clustered; one row a tile is needed")
    tried: list[tuple[Clustering, NDArray[np.int64]]] = []
    chance = np.random.default_rng(seed)
    judged = np.sort(chance.choice(len(vectors), min(_JUDGED, len(vectors)), replace=False))
    for transform, metric in product(Transform, Metric):
        points = _by_metric(_transformed(vectors, transform), metric)
        distinct = len(np.unique(points, axis=0))
        fitting = [count for count in counts if count <= distinct and len(vectors) >= count * least]
        tried.extend(_tried(points, judged, (count, metric, transform), seed) for count in fitting)
    if not tried:
        return Clusters(labels=np.zeros(len(vectors), np.int64), chosen=None, tried=())
    whole = [entry for entry in tried if np.unique(entry[1], return_counts=True)[1].min() >= least]
    chosen, labels = max(whole or tried, key=lambda entry: round(entry[0].silhouette, 9))
    return Clusters(labels=joined(vectors, labels, least), chosen=chosen, tried=tuple(entry[0] for entry in tried))


def joined(vectors: Floats, labels: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Labels without gaps, each of at least ``least`` members where there are so many: small ones join the nearest."""
    while True:
        names, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if len(names) == 1 or counts.min() >= least:
            return places.astype(np.int64)
        centres = np.stack([vectors[places == index].mean(axis=0) for index in range(len(names))])
        small = int(counts.argmin())
        apart = ((centres - centres[small]) ** 2).sum(axis=1)
        apart[small] = np.inf
        labels = np.where(places == small, int(apart.argmin()), places).astype(np.int64)


def _tried(
    points: Floats, judged: NDArray[np.intp], way: tuple[int, Metric, Transform], seed: int
) -> tuple[Clustering, NDArray[np.int64]]:
    count, metric, transform = way
    labels = KMeans(count, n_init=4, random_state=seed).fit(points).labels_.astype(np.int64)
    seen = labels[judged]
    fit = float(silhouette_score(points[judged], seen)) if 1 < len(np.unique(seen)) < len(seen) else -1.0
    return Clustering(count=count, metric=metric, transform=transform, silhouette=fit), labels


def _transformed(vectors: Floats, transform: Transform) -> Floats:
    centred = vectors - vectors.mean(axis=0)
    match transform:
        case Transform.PLAIN:
            return vectors
        case Transform.STANDARDISED:
            return np.asarray(centred / np.maximum(centred.std(axis=0), _FLAT), np.float32)
        case Transform.WHITENED:
            return np.asarray(centred @ whitening(centred), np.float32)
        case _:
            assert_never(transform)


def whitening(centred: Floats) -> Floats:
    """The matrix by which centred vectors get unit covariance, directions without variance left out (as 0)."""
    spread, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred / max(1, len(centred)))
    gain = np.where(spread > _FLAT, 1 / np.sqrt(np.maximum(spread, _FLAT)), 0.0)
    return np.asarray(axes * gain, np.float32)


def _by_metric(vectors: Floats, metric: Metric) -> Floats:
    match metric:
        case Metric.EUCLIDEAN:
            return vectors
        case Metric.COSINE:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            return np.asarray(vectors / np.maximum(lengths, _FLAT), np.float32)
        case Metric.HAMMING:
            return (vectors > np.median(vectors, axis=0)).astype(np.float32)
        case _:
            assert_never(metric)
