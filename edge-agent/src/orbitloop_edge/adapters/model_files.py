"""What flies, read from the slots, and written where workers of the user's own load it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_versions import ModelVersions
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Digest
from orbitloop.wire.desired_state import HotUpdate
from orbitloop.wire.update_files import HOT_UPDATES, LOADED, Loaded
from orbitloop.wire.worker_messages import WorkerStatus
from orbitloop_edge.adapters.slot_state import read_state
from orbitloop_edge.usecases.node_paths import path_on_node

_KEPT = 2
"""Versions that stay: the one that is announced, and the one that workers may still load."""


class SlotsModel:
    """The :class:`~orbitloop_edge.usecases.served_models.FlyingModel` in the slots of ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def state(self) -> Path:
        """The file that changes with what flies."""
        return self.folder / "state.json"

    def updated(self) -> Digest | None:
        """Digest of the weights that fly by the last update; ``None``: no update, or the last one did not fly."""
        try:
            state = read_state(self.folder)
        except BadInput:
            return None  # nothing is installed, or it has to be installed again: the worker says so
        last = state.last
        if last is None or last.outcome is not Outcome.APPLIED or last.flying != state.flying:
            return None
        return Digest(state.flying)

    def file(self, format: str) -> bytes:  # noqa: A002  # as manifests call it
        """All of it in one file.

        Raises:
            BadInput: it cannot be had in this format, or is damaged.
            NotYet: it is being replaced.
        """
        kind = format.lower()
        if kind not in {"onnx", "safetensors"}:
            raise BadInput(
                f"a satellite's model cannot be had as {format!r}; give the deploy Model the format onnx or safetensors"
            )
        # What reads tensors weighs 1 MB, and most satellites never need it here.
        from orbitloop.adapters.model_files import read_weights
        from orbitloop.domain.versions import weights_digest
        from orbitloop.wire.model_folder import encode_weights, read_file
        from orbitloop.wire.onnx_file import with_weights

        state = read_state(self.folder)
        _, weights = read_weights(self.folder / state.active)
        if weights_digest(weights) != state.flying:
            raise NotYet(f"{self.folder}: the model is being replaced; it is read again")
        if kind == "safetensors":
            return encode_weights(weights)
        return with_weights(read_file(self.folder / f"{hexadecimal(state.graph)}.onnx"), weights)


class NodeModelFiles:
    """The :class:`~orbitloop_edge.usecases.served_models.ModelFiles` on this node.

    Args:
        root: folder below which the node's paths are.
        allowed: folders of the node below which models may be written; nothing else is.
    """

    def __init__(self, root: Path, allowed: Sequence[Path]) -> None:
        self._root = root
        self._allowed = tuple(allowed)

    def replace(self, path: Path, data: bytes) -> Digest:
        """Replace a file, whole and durably; returns its digest.

        Raises:
            BadInput: it may not or cannot be written.
            NoSpace: the disk is full; the file is as it was.
        """
        target = self._checked(path)
        try:
            _write(target, data)
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}; correct the url of the Model") from error
        return digest_of(data)

    def announce(self, hot: HotUpdate, name: str, data: bytes, updated: str) -> Digest:
        """Have running workers take it over, unless it is announced already.

        Raises:
            BadInput: the folder may not or cannot be written.
            NoSpace: the disk is full; what was announced stays.
        """
        folder, digest = path_on_node(hot.folder), digest_of(data)
        target = self._checked(folder / hexadecimal(digest) / name)
        versions = ModelVersions(target.parent.parent, Path(hot.seen_at))
        try:
            _write(target, data)
            if not versions.is_announced(digest, name):
                versions.announce(digest, name, updated)
            versions.prune(digest, _KEPT)
        except OSError as error:
            raise BadInput(f"{folder} cannot be written: {error.strerror}; check its permissions") from error
        return digest

    def _checked(self, path: Path) -> Path:
        """Where a path of the node is here. Links out of the allowed folders are followed, and refused."""
        target = (self._root / path.relative_to("/")).resolve()
        folders = [(self._root / folder.relative_to("/")).resolve() for folder in self._allowed]
        if not any(target.is_relative_to(folder) for folder in folders):
            raise BadInput(
                f"{path} is in none of the folders where models may be written; add its folder to model_folders in "
                "[local_controller], or put it below "
                f"{', '.join(map(str, self._allowed)) or 'one that is named there'}"
            )
        return target


class AnnouncedUpdates:
    """The :class:`~orbitloop_edge.usecases.worker_reports.HotUpdateAnswers` beside what is announced on this node.

    Args:
        root: folder below which the node's paths are.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / Path(HOT_UPDATES).relative_to("/")

    def answer(self, namespace: str, job: str, status: WorkerStatus, message: str) -> None:
        """Leave the answer, if an update is announced that has none. Raises ``NoSpace``."""
        versions = ModelVersions(self._folder / namespace / "incrementallearningjob" / job)
        wanted, before = versions.current(), versions.answer()
        if wanted is None or status is WorkerStatus.RUNNING or (before is not None and before.answers(wanted)):
            return
        said = Loaded(
            digest=wanted.digest or "",
            status=status,
            message=message,
            model_path=wanted.path,
            model_update_time=wanted.updated,
        )
        write_durably(versions.folder / LOADED, said.body())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != data:
        write_durably(path, data)
