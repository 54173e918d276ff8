"""Hot update: a new model named by a file, taken over while the worker goes on answering.

The file is Sedna's ``model_config.json``: ``{"model_config": {"model_path": ..., "model_update_time": ...}}``; a
``digest`` beside them is an addition, and is checked where it is given.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.errors import BadInput, OrbitloopError, Untrusted
from orbitloop.wire.worker_messages import DigestText, WorkerStatus
from orbitloop.worker.files import FileOps
from orbitloop.worker.log import LOGGER
from orbitloop.worker.serving import Serving

_SHORTEST_PERIOD_SECONDS = 0.01


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_path: str = Field(min_length=1)
    model_update_time: str = ""
    digest: DigestText | None = None


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    entry: _Entry = Field(alias="model_config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The model that the file names; two are the same update if all of it is the same."""

    path: str
    updated: str
    digest: str | None = None


def wanted_in(text: str) -> Wanted | None:
    """What the file says; none while it is half written."""
    try:
        json.loads(text)
    except ValueError:
        return None
    try:
        entry = _Document.model_validate_json(text).entry
    except ValidationError as error:
        raise BadInput(f"the model config names no model: {text[:200]!r}") from error
    return Wanted(path=entry.model_path, updated=entry.model_update_time, digest=entry.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an update went.

    Args:
        status: completed or failed.
        wanted: the update.
        reason: why it failed.
    """

    status: WorkerStatus
    wanted: Wanted
    reason: str = ""


class HotUpdate:
    """Polls the file and replaces what is served; a version is tried once, and a failed one leaves the old model.

    Args:
        config: path of the file.
        serving: what answers.
        period: between two looks.
        report: told how each update went, by the thread that polls.
    """

    def __init__(self, config: Path, serving: Serving, period: timedelta, report: Callable[[Outcome], None]) -> None:
        self._config = config
        self._serving = serving
        self._period = max(period.total_seconds(), _SHORTEST_PERIOD_SECONDS)
        self._report = report
        self._tried: Wanted | None = None
        self._refused = ""
        self._end = threading.Event()

    def start(self) -> None:
        """Look at once, and then every period, in a daemon thread: it ends with the process."""
        threading.Thread(target=self._run, name="model-hot-update", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._end.set()

    def _run(self) -> None:
        self.look()
        while not self._end.wait(self._period):
            self.look()

    def look(self) -> Outcome | None:
        """Take over what the file names, if that is new; how it went, or none where nothing is new."""
        wanted = self._read()
        if wanted is None or wanted == self._tried:
            return None
        self._tried = wanted
        outcome = self._take_over(wanted)
        self._report(outcome)
        return outcome

    def _read(self) -> Wanted | None:
        try:
            text = self._config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None  # none was written yet, or it is half written
        try:
            return wanted_in(text)
        except BadInput as error:
            if text != self._refused:
                LOGGER.error("%s: %s", self._config, error)
                self._refused = text
            return None

    def _take_over(self, wanted: Wanted) -> Outcome:
        try:
            path = _checked(wanted)
            self._serving.replace(path)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # user code may raise anything
            LOGGER.exception("the model %s was not taken over; the one before stays", wanted.path)
            reason = str(error) if isinstance(error, OrbitloopError) else f"{type(error).__name__}: {error}"
            return Outcome(status=WorkerStatus.FAILED, wanted=wanted, reason=reason)
        LOGGER.info("serving %s of %s", wanted.path, wanted.updated)
        return Outcome(status=WorkerStatus.COMPLETED, wanted=wanted)


def _checked(wanted: Wanted) -> str:
    """The local path of the model, fetched where it is remote."""
    path = FileOps.download(wanted.path)
    if wanted.digest is None or not Path(path).is_file():
        return path
    found = f"sha256:{FileOps.get_file_hash(path)}"
    if found != wanted.digest:
        raise Untrusted(f"{path} has the digest {found}, and {wanted.digest} was announced; write it again")
    return path
