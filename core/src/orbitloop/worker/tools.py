"""Tools that run in a pod before or beside user code: ``python -m orbitloop.worker.tools VERB``."""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.domain.index_lines import IndexFormat
from orbitloop.wire.worker_messages import WorkerKind, WorkerStatus
from orbitloop.worker.deployment import Deployed, HotDeployment, replace_model
from orbitloop.worker.files import FileOps, local_path
from orbitloop.worker.last_words import LastWords
from orbitloop.worker.rounds import RoundCut, Segment, cut_round, write_round
from orbitloop.worker.settings import environment, read_settings

_FAILED, _MISUSED = 1, 2
_LONGEST_WAIT_S = 7 * 86_400

_ABOUT = """\
Tools for the pods of workers. Each says what went wrong in one line on standard error. 'deploy' also
leaves its result as JSON in the file that ORBITLOOP_TERMINATION_LOG names, if it is set.

Exit codes: 0 it is done, 1 it failed, 2 it was called wrongly. Every call may be repeated: it then gives the same
result, or goes on where the one before was killed."""

_CUT = """\
Writes two lists of samples. Of the last segment the first int(P * n) samples are trained on; the rest of every segment,
of at most the five newest, is evaluated with. A sample is a line that is not blank; those of a csv index are counted
after its header, which both lists keep. A first word that names a file beside the index becomes an absolute path.

example:
  python -m orbitloop.worker.tools cut-round --index /data/helmets/index.txt --format txt \\
    --segments 0:100,100:250 --train-prob 0.8 \\
    --train-to /output/data/train/2/data.txt --eval-to /output/data/eval/2/data.txt
"""

_DEPLOY = """\
Either replaces the file that the inference worker loads at its start (--deploy-model), or has a running worker take the
model over (--hot-update): the model is copied to DIR/<sha256>/<its name>, DIR/model_config.json names it, and
DIR/loaded.json is the worker's answer, which is waited for.

examples:
  python -m orbitloop.worker.tools deploy --model /output/train/2/model.onnx --deploy-model /models/served.onnx
  python -m orbitloop.worker.tools deploy --model /output/train/2/model.onnx --hot-update /model-hot-update
"""

_AWAIT = """\
Waits until a name has an address: the pods of a worker that is several pods begin once they can find the first of them.

example:
  python -m orbitloop.worker.tools await-name --name helmets-train-1-1.default.svc
"""
_GIVE = """\
Makes a folder, if it is not there, and gives it to the user that a worker runs as, which then writes to it.

example:
  python -m orbitloop.worker.tools give --folder /data/ships --to 65532:65532
"""
_BETWEEN_LOOKS_S = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a tool; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except OrbitloopError as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}; check the path and its permissions")


def _complain(message: str) -> int:
    sys.stderr.write(f"orbitloop tools: {message}\n")
    return _FAILED


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, which is the last one of the log and so what Kubernetes shows."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(_MISUSED, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="python -m orbitloop.worker.tools", description=_ABOUT, formatter_class=raw)
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)
    _add_cut_round(
        verbs.add_parser("cut-round", help="list the samples of a round", description=_CUT, formatter_class=raw)
    )
    _add_give(verbs.add_parser("give", help="make a folder somebody's", description=_GIVE, formatter_class=raw))
    _add_await(verbs.add_parser("await-name", help="wait for a name", description=_AWAIT, formatter_class=raw))
    _add_deploy(
        verbs.add_parser("deploy", help="put a model where it is served", description=_DEPLOY, formatter_class=raw)
    )
    return parser


def _add_cut_round(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--index", required=True, metavar="FILE", help="the data set's index: a path, file:// or http(s)://"
    )
    verb.add_argument("--format", required=True, metavar="FORMAT", help="txt or csv")
    verb.add_argument(
        "--segments", required=True, metavar="A:B,C:D", help="samples of each round, oldest first: [A, B)"
    )
    verb.add_argument("--train-prob", required=True, metavar="P", help="share of the last segment to train on, 0 to 1")
    verb.add_argument("--train-to", required=True, metavar="FILE", help="where the list to train on goes")
    verb.add_argument("--eval-to", required=True, metavar="FILE", help="where the list to evaluate with goes")
    verb.add_argument("--give", metavar="FOLDER", help="a folder, made if it is not there, that the worker writes to")
    verb.add_argument("--to", metavar="UID:GID", help="whose that folder becomes")
    verb.set_defaults(run=_cut_round)


def _add_give(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--folder", required=True, metavar="FOLDER", help="the folder")
    verb.add_argument("--to", required=True, metavar="UID:GID", help="whose it becomes")
    verb.set_defaults(run=_give_alone)


def _add_await(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--name", required=True, metavar="NAME", help="the name, as a Service has it")
    verb.add_argument("--wait-seconds", default="600", metavar="N", help="how long that may take (default: 600)")
    verb.set_defaults(run=_await)


def _add_deploy(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--model", required=True, metavar="FILE", help="the trained model: a path, file:// or http(s)://")
    where = verb.add_mutually_exclusive_group(required=True)
    where.add_argument("--deploy-model", metavar="FILE", help="the file that is replaced")
    where.add_argument("--hot-update", metavar="DIR", help="folder that the running inference worker follows")
    verb.add_argument("--keep", default="2", metavar="N", help="versions that stay in DIR (default: 2)")
    verb.add_argument("--wait-seconds", default="240", metavar="N", help="how long the worker may take (default: 240)")
    verb.set_defaults(run=_deploy)


def _cut_round(options: argparse.Namespace) -> int:
    cut = RoundCut(
        format=IndexFormat.of(options.format),
        segments=segments_in(options.segments),
        share=_number("--train-prob", options.train_prob),
    )
    lists = cut_round(Path(FileOps.download(options.index)), cut)
    write_round(lists, train_to=local_path(options.train_to), evaluate_to=local_path(options.eval_to))
    if options.give is not None:
        _give(local_path(options.give), options.to)
    return 0


def _give_alone(options: argparse.Namespace) -> int:
    _give(local_path(options.folder), options.to)
    return 0


def _give(folder: Path, to: str | None) -> None:
    found = re.fullmatch(r"(\d+):(\d+)", to or "")
    if found is None:
        raise BadInput(f"--to {to!r}: write whose {folder} becomes, as UID:GID, such as 65532:65532")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:  # as a process on somebody's own machine it gives nothing away
            _chown(folder, int(found[1]), int(found[2]))
    except OSError as error:
        raise BadInput(f"{folder} cannot be given to {to}: {error.strerror}; correct the output folder") from error


def _chown(folder: Path, user: int, group: int) -> None:
    """Only what is empty, or the user's already, is given: a link on the node may lead to any folder of it."""
    if folder.stat().st_uid != user and any(folder.iterdir()):
        raise BadInput(
            f"{folder} is not empty and somebody else's; it is not given to {user}: see what the output folder leads to"
        )
    os.chown(folder, user, group, follow_symlinks=False)


def _await(options: argparse.Namespace) -> int:
    seconds = _seconds(options.wait_seconds)
    until, pause = time.monotonic() + seconds, threading.Event().wait
    while not _has_address(options.name):
        if time.monotonic() >= until:
            raise BadInput(
                f"{options.name} has no address after {seconds:g} s; see whether the Service of that name is there, "
                "its pod runs on a node, and the cluster has DNS"
            )
        pause(_BETWEEN_LOOKS_S)
    return 0


def _has_address(name: str) -> bool:
    try:
        socket.getaddrinfo(name, None)
    except socket.gaierror:
        return False
    return True


def segments_in(text: str) -> tuple[Segment, ...]:
    """What ``A:B,C:D`` says.

    Raises:
        BadInput: anything else.
    """
    read = []
    for part in text.split(","):
        begin, colon, end = part.partition(":")
        if not (colon and begin.isascii() and begin.isdigit() and end.isascii() and end.isdigit()):
            raise BadInput(
                f"--segments has {part!r}; write begin:end, several separated by commas, such as 0:100,100:250"
            )
        read.append(Segment(begin=int(begin), end=int(end)))
    return tuple(read)


def _seconds(text: str) -> float:
    """What ``--wait-seconds`` says."""
    seconds = _number("--wait-seconds", text)
    if not 0 <= seconds <= _LONGEST_WAIT_S:
        raise BadInput(f"--wait-seconds is {text}; write a number from 0 to {_LONGEST_WAIT_S}")
    return seconds


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{option} is {text!r}; write a number") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """Where the result of a deployment is left."""

    log: str

    def completed(self, done: Deployed) -> None:
        result = {"format": done.path.suffix.removeprefix("."), "url": str(done.path), "digest": done.digest}
        self._leave(WorkerStatus.COMPLETED, [result], "")

    def failed(self, why: str) -> None:
        self._leave(WorkerStatus.FAILED, [], why)

    def _leave(self, status: WorkerStatus, results: list[dict[str, str]], message: str) -> None:
        LastWords(kind=WorkerKind.DEPLOY, status=status, results=results, message=message).leave(self.log)


def _deploy(options: argparse.Namespace) -> int:
    words = _Words(log=read_settings(environment()).orbitloop_termination_log)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            done = _deployed(options, _fetched(options.model, Path(scratch)))
    except (OrbitloopError, OSError) as error:
        words.failed(str(error))
        raise
    words.completed(done)
    return 0


def _fetched(url: str, scratch: Path) -> Path:
    """The model on this machine, under its own name."""
    if not FileOps.is_remote(url):
        return local_path(url)
    return Path(FileOps.download(url, str(scratch / (Path(urlsplit(url).path).name or "model"))))


def _deployed(options: argparse.Namespace, model: Path) -> Deployed:
    if options.deploy_model is not None:
        return replace_model(model, local_path(options.deploy_model))
    seconds = _seconds(options.wait_seconds)
    keep = _number("--keep", options.keep)
    if not keep.is_integer():
        raise BadInput(f"--keep is {options.keep}; write a whole number")
    hot = HotDeployment(
        folder=local_path(options.hot_update).absolute(),
        keep=int(keep),
        patience=timedelta(seconds=seconds),
        clock=WallClock(),
        monotonic=time.monotonic,
        pause=threading.Event().wait,
    )
    return hot.deploy(model)


if __name__ == "__main__":
    sys.exit(main())
