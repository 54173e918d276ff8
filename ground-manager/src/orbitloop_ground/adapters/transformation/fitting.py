"""What of a transformation is the same for every computer: contexts, their engine, networks, and evidence of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.contexts import UNLIKE, ExpertRule, engine_answer, expert_context
from orbitloop.domain.detection import Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.optimum import Progress
from orbitloop.domain.resampling import Resample, as_input, glimpses
from orbitloop.domain.selection import REFERENCE
from orbitloop_ground.adapters.transformation.applications import (
    Application,
    Frame,
    Reference,
    Runner,
    network_reference,
)
from orbitloop_ground.adapters.transformation.clusters import Clusters, cluster, joined, whitening
from orbitloop_ground.adapters.transformation.evidence import Evidence
from orbitloop_ground.adapters.transformation.graphs import Reach, engine_graph, value_graph
from orbitloop_ground.adapters.transformation.networks import SIZES, SPECIALISED, ValueNet
from orbitloop_ground.adapters.transformation.tiles import Tiles, sent_by_reference, tiles_of_frames
from orbitloop_ground.adapters.transformation.training import Schedule, features_of, train_engine, train_values

Loader = Callable[[bytes], Runner]
"""From ONNX bytes to a loaded network."""
Told = Callable[[str], None]
Values = TypeVar("Values", bound=np.generic)

_REACH = 2.0
"""How many times farther than 99.9 % of the training tiles a tile must be to be unlike all contexts."""
_RATE = 6e-3
"""Highest learning rate of networks that begin at random."""
_AGREE = 0.2
"""F1 of the reference against the labels below which they are said to disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is trained.

    Args:
        seed: of everything random.
        reference, general, special, engine: optimiser steps of each kind of network.
        least: fewest tiles of a context.
        pool: most tiles of one number a side that are learned from.
    """

    seed: int = 0
    reference: int = 400
    general: int = 200
    special: int = 50
    engine: int = 150
    least: int = 60
    pool: int = 900


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """An application ready to be fitted to computers.

    Args:
        contexts: their names, in the order of the engine's outputs.
        engine: ONNX bytes; with ``reach``, see :func:`~orbitloop.domain.contexts.engine_answer`.
        graphs: ONNX bytes of networks by name: ``size``, or ``size@context``.
        specialised: names of networks that may run in each context, by its index.
        val: evidence to choose by; ``spare`` is that of the training frames, for contexts that val lacks.
        clusters: how contexts were found; ``None`` where experts made them.
        notes: what whoever reads the report should know.
    """

    application: Application
    reference: Reference | None
    contexts: Sequence[str]
    engine: bytes
    reach: float
    graphs: Mapping[str, bytes]
    specialised: Mapping[int, Sequence[str]]
    val: Evidence
    spare: Evidence
    clusters: Clusters | None
    notes: Sequence[str]


class Fitting:
    """Fits one application.

    Args:
        application: what is fitted.
        effort: how much is trained.
        load: loads ONNX bytes as the satellite does.
        resample: resamples frames as the satellite does.
        rules: contexts of experts; without any they are found by clustering.
        told: of what is done, a line at a time.
        progress: of each network's training.
    """

    def __init__(
        self,
        application: Application,
        effort: Effort,
        load: Loader,
        resample: Resample,
        *,
        rules: Sequence[ExpertRule] = (),
        told: Told = lambda line: None,
        progress: Progress = lambda done, total: None,
    ) -> None:
        self._application, self._effort, self._load, self._resample = application, effort, load, resample
        self._rules, self._told, self._progress = rules, told, progress
        self._notes: list[str] = []
        self._graphs: dict[str, bytes] = {}

    def run(self) -> Fitted:
        """The whole of it; minutes.

        Raises:
            BadInput: there are no frames, or none says what is of value and there is no reference.
        """
        frames = self._application.frames
        if not frames.train or not frames.val:
            raise BadInput(f"{self._application.name}: there must be frames to learn from and frames to choose by")
        varied = self._varied(frames.train)
        reference = self._reference(varied)
        if reference is not None and reference.graph is not None:
            self._graphs[REFERENCE] = reference.graph
        train, val = self._tiles(frames.train, reference), self._tiles(frames.val, reference)
        self._check_labels(reference, val)
        names, labels, clusters = self._contexts(train)
        engine, reach = self._engine(train, labels)
        train_contexts, val_contexts = self._sorted(engine, reach, train), self._sorted(engine, reach, val)
        specialised = self._networks(train, train_contexts, names) if varied and reference is not None else {}
        runners = {name: self._load(graph) for name, graph in self._graphs.items()}
        seen = [
            Evidence(tiles=tiles, contexts=contexts, runners=runners, highest=self._application.geometry.highest)
            for tiles, contexts in ((val, val_contexts), (train, train_contexts))
        ]
        return Fitted(
            application=self._application,
            reference=reference,
            contexts=names,
            engine=engine,
            reach=reach,
            graphs=self._graphs,
            specialised=specialised,
            val=seen[0],
            spare=seen[1],
            clusters=clusters,
            notes=self._notes,
        )

    def evidence(self, fitted: Fitted, frames: Sequence[Frame]) -> Evidence:
        """Evidence of other frames, for instance those to judge by."""
        tiles = self._tiles(frames, fitted.reference)
        contexts = self._sorted(fitted.engine, fitted.reach, tiles)
        return replace(fitted.val, tiles=tiles, contexts=contexts, _seen={})

    def _varied(self, frames: Sequence[Frame]) -> bool:
        """Whether the labels hold both kinds of cells; where they do not, nothing can be learned from them."""
        known = [frame.truth for frame in frames if frame.truth is not None]
        if not known:
            return self._application.reference is not None
        share = float(np.mean([truth.mean() for truth in known]))
        if 0 < share < 1:
            return True
        kind = "no cell" if share == 0 else "every cell"
        self._notes.append(
            f"{kind} of the training frames is of high value: there is nothing to tell apart, so no network was "
            "trained and contexts are sent or discarded whole; give frames of both kinds"
        )
        return False

    def trained_reference(self) -> bytes:
        """A reference learned from the labels, as ONNX bytes: where an application is nothing but labelled frames.

        Raises:
            BadInput: a frame has no labels.
        """
        frames = [frame for frame in self._application.frames.train if frame.truth is not None]
        if len(frames) < len(self._application.frames.train):
            raise BadInput(f"{self._application.name}: frames without labels need a reference that makes them")
        self._told("training the reference on the labels")
        tiles = self._tiles_by(frames, [np.asarray(frame.truth, np.float32) for frame in frames])
        pixels, wanted = self._pool(tiles, {key: part.wanted() for key, part in tiles.items()})
        schedule = Schedule(steps=self._effort.reference, rate=_RATE, seed=self._effort.seed)
        network = train_values(pixels, wanted, schedule, size=SIZES[REFERENCE], progress=self._progress)
        return value_graph(network)

    def _reference(self, varied: bool) -> Reference | None:
        given = self._application
        if given.reference is not None or not varied:
            return given.reference
        if given.reference_tiles not in given.geometry.tilings:
            raise BadInput(
                f"{given.name}: the reference looks at {given.reference_tiles} tiles a side, which is none of "
                f"{', '.join(map(str, given.geometry.tilings))} to choose from; let it be one of them"
            )
        graph = self.trained_reference()
        return network_reference(graph, self._load(graph), given.geometry, given.reference_tiles, self._resample)

    def _tiles(self, frames: Sequence[Frame], reference: Reference | None) -> dict[int, Tiles]:
        if reference is not None:
            self._told(f"the reference looks at {len(frames)} frames")
            return self._tiles_by(frames, [reference.look(frame.pixels) for frame in frames])
        grain = self._application.geometry.grain
        empty = np.zeros((grain, grain), np.float32)
        return self._tiles_by(
            frames, [empty if frame.truth is None else frame.truth.astype(np.float32) for frame in frames]
        )

    def _tiles_by(self, frames: Sequence[Frame], thought: Sequence[Floats]) -> dict[int, Tiles]:
        tilings = self._application.geometry.tilings
        return {
            tiles: tiles_of_frames(frames, thought, tiles, self._application.geometry, resample=self._resample)
            for tiles in tilings
        }

    def _check_labels(self, reference: Reference | None, val: Mapping[int, Tiles]) -> None:
        if reference is None:
            return
        first = next(iter(val.values()))
        thought, truth = sent_by_reference(first, self._application.geometry.highest), first.maps >= 0.5
        both, either = float((thought & truth).sum()), float(thought.sum() + truth.sum())
        if either and 2 * both / either < _AGREE:
            self._notes.append(
                f"labels and images disagree: of what the reference finds and what the labels say only "
                f"{2 * both / either:.2f} (F1) is the same; check that labels belong to these images"
            )

    def _contexts(self, train: Mapping[int, Tiles]) -> tuple[list[str], dict[int, NDArray[np.int64]], Clusters | None]:
        keys = list(train)
        vectors = np.concatenate([train[key].vectors for key in keys])
        clusters = None
        if self._rules:
            told = [expert_context(view, self._rules) for key in keys for view in train[key].views]
            names, places = np.unique(told, return_inverse=True)
            labels = joined(vectors, places.astype(np.int64), self._effort.least)
            most = [int(np.bincount(places[labels == index]).argmax()) for index in range(int(labels.max()) + 1)]
            kept = [str(names[index]) for index in most]
            self._tell_joined(len(names), kept)
        else:
            clusters = cluster(vectors, seed=self._effort.seed, least=self._effort.least)
            labels = clusters.labels
            kept = [f"context-{index}" for index in range(int(labels.max()) + 1)]
            if clusters.chosen is None:
                self._notes.append("the label vectors do not fall apart: there is one context only")
            else:
                self._tell_joined(clusters.chosen.count, kept)
        ends = np.cumsum([len(train[key]) for key in keys])[:-1]
        return kept, dict(zip(keys, np.split(labels, ends), strict=True)), clusters

    def _tell_joined(self, before: int, kept: Sequence[str]) -> None:
        if len(kept) < before:
            self._notes.append(
                f"{before - len(kept)} of {before} contexts had fewer than {self._effort.least} tiles and were joined "
                "to the nearest; give more frames, or fewer contexts"
            )

    def _engine(self, train: Mapping[int, Tiles], labels: Mapping[int, NDArray[np.int64]]) -> tuple[bytes, float]:
        self._told("training the context engine")
        pixels, named = self._pool(train, labels)
        seen = glimpses(pixels)
        schedule = Schedule(steps=self._effort.engine, batch=48, seed=self._effort.seed)
        network = train_engine(seen, named, schedule, self._progress)
        found = features_of(seen)
        centres = np.stack([found[named == index].mean(axis=0) for index in range(int(named.max()) + 1)])
        matrix = whitening(np.asarray(found - centres[named], np.float32))
        whitened, middles = found @ matrix, centres @ matrix
        nearest = ((whitened[:, None] - middles[None]) ** 2).sum(axis=2).min(axis=1)
        limit = float(np.quantile(nearest, 0.999)) * _REACH**2
        reach = Reach(centres=np.asarray(middles, np.float32), whitening=matrix, limit=limit)
        return engine_graph(network, reach), limit

    def _sorted(self, engine: bytes, reach: float, tiles: Mapping[int, Tiles]) -> dict[int, NDArray[np.int64]]:
        """The engine's word on every tile: from now on the truth."""
        runner = self._load(engine)
        return {key: contexts_of(runner, reach, part.pixels) for key, part in tiles.items()}

    def _networks(
        self, train: Mapping[int, Tiles], contexts: Mapping[int, NDArray[np.int64]], names: Sequence[str]
    ) -> dict[int, list[str]]:
        pixels, wanted = self._pool(train, {key: part.wanted() for key, part in train.items()})
        _, where = self._pool(train, contexts)
        specialised: dict[int, list[str]] = {index: list(SPECIALISED) for index in range(len(names))}
        for size in SPECIALISED:
            self._told(f"training network {size}")
            schedule = Schedule(steps=self._effort.general, rate=_RATE, seed=self._effort.seed)
            general = train_values(pixels, wanted, schedule, size=SIZES[size], progress=self._progress)
            self._graphs[size] = value_graph(general)
            for index, name in enumerate(names):
                if self._special(size, name, (pixels[where == index], wanted[where == index]), general):
                    specialised[index].append(f"{size}@{name}")
        return specialised

    def _special(self, size: str, name: str, given: tuple[NDArray[np.uint8], Floats], general: ValueNet) -> bool:
        pixels, wanted = given
        valuable = int((wanted.reshape(len(wanted), -1).max(axis=1) >= 0.5).sum()) if len(wanted) else 0
        if len(pixels) < self._effort.least or min(valuable, len(pixels)) < 4:
            note = (
                f"{name}: {len(pixels)} tiles, {valuable} with anything of value, are too few for a model of its own; "
                "the general ones serve it"
            )
            if note not in self._notes:
                self._notes.append(note)
            return False
        self._told(f"training network {size}@{name} on {len(pixels)} tiles")
        schedule = Schedule(steps=self._effort.special, rate=1.5e-3, seed=self._effort.seed)
        network = train_values(pixels, wanted, schedule, size=SIZES[size], start=general, progress=self._progress)
        self._graphs[f"{size}@{name}"] = value_graph(network)
        return True

    def _pool(
        self, tiles: Mapping[int, Tiles], values: Mapping[int, NDArray[Values]]
    ) -> tuple[NDArray[np.uint8], NDArray[Values]]:
        """Tiles of every number a side with their ``values``, at most so many each; always the same ones."""
        picked = {}
        for key, part in tiles.items():
            chance = np.random.default_rng([self._effort.seed, key])
            picked[key] = np.sort(chance.choice(len(part), min(self._effort.pool, len(part)), replace=False))
        return (
            np.concatenate([part.pixels[picked[key]] for key, part in tiles.items()]),
            np.concatenate([values[key][picked[key]] for key in tiles]),
        )


def contexts_of(runner: Runner, reach: float, tiles: NDArray[np.uint8], batch: int = 128) -> NDArray[np.int64]:
    """The engine's word on tiles ``(n, 3, 128, 128)``: ``(n,)`` indices, -1 for unknown."""
    found = []
    for at in range(0, len(tiles), batch):
        logits, distances = runner(as_input(glimpses(tiles[at : at + batch])))
        found.append(engine_answer(logits, distances, reach).contexts)
    return np.concatenate(found) if found else np.full(0, UNLIKE, np.int64)
