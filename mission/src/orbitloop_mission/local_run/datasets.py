"""Datasets of this machine, counted whenever their index changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from orbitloop.domain.errors import BadInput
from orbitloop.domain.index_lines import IndexCount, IndexFormat
from orbitloop.ports.clock import Clock
from orbitloop_mission.local_run.observations import Observations
from orbitloop_operators.adapters.memory_cluster import MemoryCluster
from orbitloop_operators.handlers.changes import Document

_KIND = ("sedna.io/v1alpha1", "Dataset")
_CHUNK = 2**20


class DatasetWatch:
    """Looks at the index of each Dataset again and again.

    A last line without its line feed counts once the file has rested for one period: until then it may be half
    written.

    Args:
        cluster: has the Datasets.
        observations: told of counts.
        clock: counts carry its time.
        period: between two looks.
    """

    def __init__(
        self,
        cluster: MemoryCluster,
        observations: Observations,
        clock: Clock,
        period: timedelta = timedelta(milliseconds=500),
    ) -> None:
        self._cluster = cluster
        self._observations = observations
        self._clock = clock
        self._period = period
        self._looks: dict[str, tuple[object, int]] = {}
        self._told: dict[str, Mapping[str, Any]] = {}
        self._rounds = 0

    @property
    def knows_all(self) -> bool:
        """Whether every Dataset has been counted, a last line without line feed included."""
        return self._rounds > 1

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for document in self._cluster.all(*_KIND):
                await self._look(document)
            self._rounds += 1
            await asyncio.sleep(self._period.total_seconds())

    async def _look(self, document: Document) -> None:
        metadata, spec = document["metadata"], document["spec"]
        uid, name = metadata["uid"], f"{metadata['namespace']}/{metadata['name']}"
        state = (spec["url"], spec["format"], spec["nodeName"], _state_of(spec["url"]))
        before, rests = self._looks.get(uid, (None, 0))
        rests = rests + 1 if state == before else 0
        self._looks[uid] = (state, rests)
        if rests > 1:
            return  # as it was, and told
        said = await asyncio.to_thread(counted, spec["url"], spec["format"], with_last=rests == 1)
        if said != self._told.get(uid):
            self._told[uid] = said
            stamp = {"updateTime": self._clock.now().isoformat()} if "numberOfSamples" in said else {}
            self._observations.dataset(spec["nodeName"], name, {**said, **stamp})


def counted(url: str, format: str, *, with_last: bool) -> Mapping[str, Any]:  # noqa: A002  # the field's name
    """What a node says of an index: ``numberOfSamples``, or ``error``.

    Args:
        url: a path of this machine.
        format: txt or csv.
        with_last: a last line without line feed counts.
    """
    path = _path_of(url)
    if path is None:
        return {"error": "it is not on this machine; write an absolute path"}
    try:
        count = IndexCount(format=IndexFormat.of(format))
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                count = count.after(chunk)
    except OSError as error:
        return {"error": f"{path}: {error.strerror}; make it, or correct spec.url"}
    except BadInput as error:
        return {"error": str(error)}
    return {"numberOfSamples": count.samples(with_last=with_last)}


def _path_of(url: str) -> Path | None:
    path = url.removeprefix("file://")
    return Path(path) if path.startswith("/") else None


def _state_of(url: str) -> object:
    """What changes with a file; ``None``: it is not there."""
    path = _path_of(url)
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
