"""What has to outlive the worker: how often it died, and what scrubbing has found. Small files, written durably.

slots/starts.json   starts with each model that no proof of life has followed, and the update that is being proved
slots/trust.json    counts since launch, and since when something is not as it ought to be
slots/tried.json    how many first steps of an update that is not here whole were tried
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, Field

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.messages import DigestText, Trust
from orbitloop_edge.adapters.slot_state import Checked

_log = logging.getLogger(__name__)

Content = TypeVar("Content", bound=Checked)


class _Starts(Checked):
    models: dict[DigestText, int] = Field(default_factory=dict)
    proving: DigestText | None = None
    proofs: dict[DigestText, int] = Field(default_factory=dict)


class _Kept(Checked):
    trust: Trust = Trust()
    since: AwareDatetime | None = None


class _Tried(Checked):
    update: DigestText | None = None
    steps: int = 0


class FileStarts:
    """The :class:`~orbitloop_edge.usecases.scrub.Starts` in a file; a damaged one counts as empty. Threads may share
    one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._now = _read(path, _Starts)

    def deaths(self, model: Digest) -> int:
        """Starts with a model that no proof of life has followed."""
        return self._now.models.get(model, 0)

    def begin(self, model: Digest) -> None:
        """A model is about to be loaded. Raises ``NoSpace``."""
        self._set(models={**self._now.models, model: self.deaths(model) + 1})

    def end(self, model: Digest) -> None:
        """The worker ends in good order: this start does not count."""
        if (count := self.deaths(model)) > 0:
            self._set(models={**self._now.models, model: count - 1})

    def lives(self, model: Digest) -> None:
        """A model has proved that it lives."""
        if model in self._now.models:
            self._set(models={name: count for name, count in self._now.models.items() if name != model})

    def blame(self, model: Digest) -> None:
        """At a start: a death in the midst of a proof is none of the model that flew."""
        if self._now.proving is not None:
            self.end(model)
            self._set(proving=None)

    def proving(self, update: Digest) -> int:
        """An update is about to be proved; returns how often the worker has died of that before."""
        before = self._now.proofs.get(update, 0)
        self._set(proving=update, proofs={update: before + 1})
        return before

    def proved(self) -> None:
        """It was proved, one way or the other."""
        self._set(proving=None, proofs={})

    def _set(self, **change: object) -> None:
        with self._guard:
            now = self._now.model_copy(update=change)
            write_durably(self._path, now.text())
            self._now = now


class FileTrust:
    """The :class:`~orbitloop_edge.usecases.scrub.Record` in a file; a damaged one begins anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now = _read(path, _Kept)

    @property
    def trust(self) -> Trust:
        """What was noted last."""
        return self._now.trust

    @property
    def since(self) -> datetime | None:
        """Since when something else looks at frames than ought to."""
        return self._now.since

    def note(self, trust: Trust, since: datetime | None) -> None:
        """Note both, durably. Raises ``NoSpace``."""
        now = _Kept(trust=trust, since=since)
        if now != self._now.model_copy(update={"check": None}):
            write_durably(self._path, now.text())
            self._now = now


class FileTried:
    """The :class:`~orbitloop_edge.usecases.beginnings.Tried` in a file; a damaged one begins anew."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def steps(self, update: Digest) -> int:
        """So many of ``update``; 0 where another update was tried last."""
        now = _read(self._path, _Tried)
        return now.steps if now.update == update else 0

    def note(self, update: Digest, steps: int) -> None:
        """So many are about to be tried, or were. Raises ``NoSpace``."""
        write_durably(self._path, _Tried(update=update, steps=steps).text())


def _read(path: Path, kind: type[Content]) -> Content:
    if not path.exists():
        return kind()
    try:
        return kind.of(path).model_copy(update={"check": None})
    except BadInput as error:
        _log.warning("begun_anew", extra={"path": str(path), "why": str(error)})
        return kind()
