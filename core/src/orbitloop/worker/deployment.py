"""Putting a trained model where an inference worker reads it: in place of its file, or by hot update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from orbitloop.adapters.durable import copy_durably, sync_folder
from orbitloop.adapters.model_versions import ModelVersions
from orbitloop.domain.errors import BadInput, NotYet, Refused
from orbitloop.domain.units import Digest
from orbitloop.ports.clock import Clock
from orbitloop.wire.update_files import Loaded, Wanted
from orbitloop.wire.worker_messages import WorkerStatus
from orbitloop.worker.files import FileOps

_BETWEEN_LOOKS_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A model where an inference worker reads it."""

    path: Path
    digest: Digest


def replace_model(model: Path, served: Path) -> Deployed:
    """Replace the file that inference workers load at their start, durably and whole.

    Raises:
        BadInput: the model is missing or no file, or ``served`` is a folder.
        NoSpace: the disk is full; the served file is as it was.
        Untrusted: the model was written while it was read; the served file is as it was.
    """
    digest = _digest(model)
    if served.is_dir():
        raise BadInput(f"{served} is a folder; --deploy-model names the file that is replaced")
    served.parent.mkdir(parents=True, exist_ok=True)
    if not (served.exists() and served.samefile(model)):
        copy_durably(model, served, expected=digest)
    return Deployed(path=served, digest=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class HotDeployment:
    """Hot update of the inference worker that follows the file in ``folder``.

    Each model has a folder of its own, named by its digest; ``model_config.json`` names the newest. Killed at any
    point and called again, it goes on where it was.

    Args:
        folder: that both see under the same path.
        keep: versions that stay there, the one that is served included.
        patience: how long the worker may take to answer.
        clock: what time it is.
        monotonic: seconds that only grow.
        pause: waits for so many seconds.

    Raises:
        BadInput: ``keep`` or ``patience`` is out of range.
    """

    folder: Path
    keep: int
    patience: timedelta
    clock: Clock
    monotonic: Callable[[], float]
    pause: Callable[[float], object]

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise BadInput(f"--keep is {self.keep}; at least 1 version, the one that is served, has to stay")
        if self.patience < timedelta(0):
            raise BadInput("--wait-seconds is negative; write how long the worker may take")

    def deploy(self, model: Path) -> Deployed:
        """Announce ``model``, wait until the worker serves it, and remove versions beyond ``keep``.

        Raises:
            BadInput: the model is missing or no file.
            NoSpace: the disk is full; nothing was announced.
            Untrusted: the model was written while it was read; nothing was announced.
            Refused: the worker could not take it over; it serves the one before.
            NotYet: the worker has not answered yet.
        """
        versions, digest = ModelVersions(self.folder), _digest(model)
        path = versions.path(digest, model.name)
        if not path.is_file() or _digest(path) != digest:
            copy_durably(model, path, expected=digest)
        sync_folder(self.folder)
        wanted = self._announced(versions, digest, model.name)
        answer = self._answer(versions, wanted)
        if answer.status is not WorkerStatus.COMPLETED:
            raise Refused(f"the inference worker did not take over {model.name} ({digest}): {answer.message}")
        versions.prune(digest, self.keep)
        return Deployed(path=path, digest=digest)

    def _announced(self, versions: ModelVersions, digest: Digest, name: str) -> Wanted:
        """The update as it is in the file: the one that is there, unless that is another one, or has failed."""
        current, answer = versions.current(), versions.answer()
        if current is not None and versions.is_announced(digest, name):
            failed = answer is not None and answer.answers(current) and answer.status is WorkerStatus.FAILED
            if not failed:
                return current
        return versions.announce(digest, name, self.clock.now().isoformat())

    def _answer(self, versions: ModelVersions, wanted: Wanted) -> Loaded:
        ends = self.monotonic() + self.patience.total_seconds()
        while True:
            answer = versions.answer()
            if answer is not None and answer.answers(wanted) and answer.status is not WorkerStatus.RUNNING:
                return answer
            if self.monotonic() >= ends:
                waited = f"{self.patience.total_seconds():g} s"
                raise NotYet(
                    f"no inference worker has taken over {wanted.path} within {waited}; check that it runs, and "
                    f"that its MODEL_HOT_UPDATE_CONFIG is {versions.config}"
                )
            self.pause(_BETWEEN_LOOKS_S)


def _digest(model: Path) -> Digest:
    if model.is_dir():
        raise BadInput(f"the model {model} is a folder; pack it into one file")
    if not model.exists():
        raise BadInput(
            f"the model {model} does not exist; check what the training saved, and that its folder is mounted"
        )
    return Digest(f"sha256:{FileOps.get_file_hash(str(model))}")
