"""``orbitloop-transformer``: the worker of an ApplicationTransformation.

It fits an application to a computer, as ``orbitloop transform`` does, and is told everything by the environment. What
it writes has an empty signature: the gateway, which alone has the key, signs what it offers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.wire.selection_file import SIGNATURE
from orbitloop.wire.worker_messages import WorkerKind, WorkerStatus
from orbitloop.worker import LOGGER
from orbitloop.worker.files import local_path
from orbitloop.worker.last_words import LastWords
from orbitloop.worker.settings import environment
from orbitloop_ground.adapters.transformation.choosing import Chosen
from orbitloop_mission.transformation.making import ARTEFACT, PAGE, Wish, expert_rules, transform
from orbitloop_mission.transformation.own import application_given
from orbitloop_mission.transformation.profiles import effort_of, read_target
from orbitloop_mission.transformer_settings import TransformerSettings

_TERMINATION_LOG = "ORBITLOOP_TERMINATION_LOG"
_MOST_NOTES = 1500
"""Characters of the notes that are left as last words; the report has all."""
_TOLD = 10
"""Lines of the log about the search."""

_ABOUT = """\
The worker of an ApplicationTransformation: it fits an application to a computer, and writes selection.ols, report.json
and report.html into the folder MODEL_URL. What it is told is in the environment: docs/reference/transformer.md.

Exit codes: 0 it is done, 1 it failed, 2 it was called wrongly. Why is the last line of the log, and its last words."""


def unsigned(_message: bytes) -> bytes:
    """The signature that is none."""
    return bytes(SIGNATURE)


def fit(told: TransformerSettings) -> LastWords:
    """Fit the application to the computer; what is to be said of it.

    Raises:
        OrbitloopError: something that it was told cannot be used.
    """
    out = _folder(told.model_url)
    wish = Wish(
        target=read_target(told.target),
        capacity=told.capacity,
        deadline=told.deadline,
        effort=effort_of(told.effort, told.seed),
        rules=expert_rules(told.contexts),
    )
    data = local_path(told.train_dataset_url) if told.train_dataset_url else None
    application = application_given(told.application, data, model=_detector(told.base_model_url), seed=told.seed)
    LOGGER.info("fits %s to %s", application.name, wish.target.name)
    chosen = transform(application, wish, out, unsigned, told=_line, progress=_done)
    for note in chosen.notes:
        LOGGER.warning("%s", note)
    LOGGER.info("expected density %.3f; see %s", chosen.point.density, out / PAGE)
    return _words(chosen, out / ARTEFACT)


def _folder(url: str) -> Path:
    """The folder for what is made, found out before minutes of training. Raises ``BadInput``."""
    folder = local_path(url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"MODEL_URL: {folder} cannot be written to ({error.strerror}); see whose it is") from error
    return folder


def _detector(url: str) -> Path | None:
    """The folder of a detector, by its own path or that of its weights."""
    if not url:
        return None
    path = local_path(url)
    return path if path.is_dir() else path.parent


def _line(text: str) -> None:
    LOGGER.info("%s", text)


def _done(done: int, total: int) -> None:
    if done == total or done % max(1, total // _TOLD) == 0:
        LOGGER.info("%d of %d", done, total)


def _words(chosen: Chosen, artefact: Path) -> LastWords:
    metrics = {
        "density": chosen.point.density,
        "bent_pipe": chosen.peers.bent_pipe,
        "direct_deploy": chosen.peers.direct_deploy,
        "oracle": chosen.peers.oracle,
        "frame_seconds": chosen.point.seconds,
        "deadline_seconds": chosen.link.deadline,
    }
    made = {"format": "ols", "url": str(artefact), "digest": digest_of(artefact.read_bytes()), "metrics": metrics}
    notes = "\n".join(chosen.notes)
    said = notes if len(notes) <= _MOST_NOTES else f"{notes[:_MOST_NOTES]}…"
    return LastWords(kind=WorkerKind.TRAIN, status=WorkerStatus.COMPLETED, results=[made], message=said)


def _work(given: Mapping[str, str]) -> None:
    log = given.get(_TERMINATION_LOG, "")
    try:
        words = fit(TransformerSettings.read(given))
    except Exception as error:
        why = str(error) if isinstance(error, OrbitloopError) else f"{type(error).__name__}: {error}"
        LastWords(kind=WorkerKind.TRAIN, status=WorkerStatus.FAILED, message=why[:_MOST_NOTES]).leave(log)
        raise
    words.leave(log)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit one application; returns the exit code."""
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(prog="orbitloop-transformer", description=_ABOUT, formatter_class=raw).parse_args(arguments)
    try:
        _work(environment())
    except OrbitloopError as error:
        sys.stderr.write(f"orbitloop-transformer: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
