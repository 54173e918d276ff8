"""Hot update: a new model named by a file, taken over while the worker goes on answering.

What came of each update is left in ``loaded.json`` beside it; see :mod:`orbitloop.wire.update_files` for both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.errors import BadInput, NoSpace, OrbitloopError, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.wire.update_files import LOADED, Loaded, Wanted, wanted_in
from orbitloop.wire.worker_messages import WorkerStatus
from orbitloop.worker.files import FileOps
from orbitloop.worker.log import LOGGER
from orbitloop.worker.serving import Serving

_SHORTEST_PERIOD_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an update went.

    Args:
        status: completed or failed.
        wanted: the update.
        digest: of the model, where that is a file which could be read.
        reason: why it failed.
    """

    status: WorkerStatus
    wanted: Wanted
    digest: Digest | None = None
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
        self._answer(outcome)
        self._report(outcome)
        return outcome

    def _answer(self, outcome: Outcome) -> None:
        """Leave what came of it beside the file. A folder that may not be written to is no reason to stop serving."""
        wanted = outcome.wanted
        loaded = Loaded(
            digest=outcome.digest or "",
            status=outcome.status,
            message=outcome.reason,
            model_path=wanted.path,
            model_update_time=wanted.updated,
        )
        path = self._config.parent / LOADED
        try:
            write_durably(path, loaded.body())
        except (OSError, NoSpace) as error:
            LOGGER.error("%s was not written: %s; whoever announced the model cannot see what came of it", path, error)

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
        digest = wanted.digest
        try:
            path, digest = _checked(wanted)
            self._serving.replace(path)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # user code may raise anything
            LOGGER.exception("the model %s was not taken over; the one before stays", wanted.path)
            reason = str(error) if isinstance(error, OrbitloopError) else f"{type(error).__name__}: {error}"
            return Outcome(status=WorkerStatus.FAILED, wanted=wanted, digest=digest, reason=reason)
        LOGGER.info("serving %s of %s", wanted.path, wanted.updated)
        return Outcome(status=WorkerStatus.COMPLETED, wanted=wanted, digest=digest)


def _checked(wanted: Wanted) -> tuple[str, Digest | None]:
    """The local path of the model, fetched where it is remote, and its digest, where it is a file."""
    path = FileOps.download(wanted.path)
    if not Path(path).is_file():
        return path, wanted.digest
    found = Digest(f"sha256:{FileOps.get_file_hash(path)}")
    if wanted.digest is not None and found != wanted.digest:
        raise Untrusted(f"{path} has the digest {found}, and {wanted.digest} was announced; write it again")
    return path, found
