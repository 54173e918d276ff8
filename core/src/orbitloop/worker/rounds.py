"""The samples of one round, cut from a data set's index: some to train on, the rest to evaluate with.

The newest segment of the index is divided: its first ``int(share * n)`` samples are trained on, and the rest of every
segment is evaluated with. So over all rounds each sample is either trained on or evaluated with. The same arguments
give the same bytes, however often a worker is started again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orbitloop.adapters.durable import discard_unfinished, write_durably
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.index_lines import LONGEST_LINE, IndexFormat, is_sample

EVALUATED_SEGMENTS = 5
"""Segments, the newest ones, whose rest an evaluation uses."""
_TRIES = 100
"""More than pods of one worker that write at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Samples ``begin`` up to, but without, ``end`` of the index, counted from 0; never empty."""

    begin: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.end:
            raise BadInput(f"segment {self.begin}:{self.end} is none; it must begin at 0 or later and not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCut:
    """What a round takes of an index.

    Args:
        format: of the index and of both lists.
        segments: of all rounds so far, oldest first; the last one is this round's.
        share: of the last segment's samples that are trained on, from 0 to 1.

    Raises:
        BadInput: there is no segment, two of them overlap or are out of order, or the share is out of range.
    """

    format: IndexFormat
    segments: tuple[Segment, ...]
    share: float

    def __post_init__(self) -> None:
        if not self.segments:
            raise BadInput("there is no segment; write begin:end, several separated by commas")
        for before, after in zip(self.segments, self.segments[1:], strict=False):
            if after.begin < before.end:
                raise BadInput(
                    f"segment {after.begin}:{after.end} begins before {before.begin}:{before.end} ends; "
                    "write them oldest first, without overlap"
                )
        if not 0 <= self.share <= 1:
            raise BadInput(f"the share to train on is {self.share}; it must lie between 0 and 1")

    def trained(self, segment: Segment) -> int:
        """How many samples at the begin of ``segment`` are trained on in its round."""
        return int(self.share * (segment.end - segment.begin))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundLists:
    """The two lists of a round, in the index's format."""

    train: bytes
    evaluate: bytes


def cut_round(index: Path, cut: RoundCut) -> RoundLists:
    """Read the lists of a round out of ``index``; names of files beside the index become absolute paths.

    Raises:
        BadInput: the index is missing, cannot be read, or holds a line that no index has.
        NotYet: it holds fewer samples than the segments need.
    """
    try:
        with index.open("rb") as file:
            return _lists(index.absolute(), _lines(file, index), cut)
    except FileNotFoundError as error:
        raise BadInput(f"the index {index} does not exist; check the url of the Dataset") from error
    except IsADirectoryError as error:
        raise BadInput(f"the index {index} is a folder; name the file with one sample a line") from error
    except PermissionError as error:
        raise BadInput(f"the index {index} may not be read by this user; change its permissions") from error


def write_round(lists: RoundLists, *, train_to: Path, evaluate_to: Path) -> None:
    """Write both lists, each whole or not at all; their folders are made.

    The pods of one worker may do so at the same time, in one folder: they write the same.

    Raises:
        NoSpace: the disk is full.
    """
    for path, data in ((train_to, lists.train), (evaluate_to, lists.evaluate)):
        path.parent.mkdir(parents=True, exist_ok=True)
        _have(path, data)


def _have(path: Path, data: bytes) -> None:
    """Have ``path`` hold ``data``; what another one of us still writes is taken for a leftover, and it tries again."""
    for left in reversed(range(_TRIES)):
        discard_unfinished(path.parent)
        if path.is_file() and path.read_bytes() == data:
            return
        try:
            write_durably(path, data)
        except FileNotFoundError:
            if not left:
                raise
        else:
            return


def _lists(index: Path, lines: Iterator[bytes], cut: RoundCut) -> RoundLists:
    header = next(lines, b"") if cut.format is IndexFormat.CSV else b""
    train, evaluate = bytearray(header), bytearray(header)
    newest = cut.segments[-1]
    wanted = iter(cut.segments[-EVALUATED_SEGMENTS:])
    segment: Segment | None = next(wanted)
    count = 0
    for number, line in enumerate(lines):
        count = number + 1
        if segment is None:
            break
        if number < segment.begin:
            continue
        trained = number - segment.begin < cut.trained(segment)
        if not trained:
            evaluate += _absolute(line, index.parent, cut.format)
        elif segment is newest:
            train += _absolute(line, index.parent, cut.format)
        if count == segment.end:
            segment = next(wanted, None)
    if segment is not None:
        raise NotYet(
            f"the index {index} holds {count} samples, and the round needs {newest.end}; it was shortened, or is being "
            "written anew"
        )
    return RoundLists(train=bytes(train), evaluate=bytes(evaluate))


def _lines(file: BinaryIO, index: Path) -> Iterator[bytes]:
    """The lines that hold more than blanks, each with one line feed at its end."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise BadInput(
                f"line {number} of {index} is longer than {LONGEST_LINE} bytes; an index has a sample a line"
            )
        if is_sample(line):
            yield line.rstrip(b"\r\n") + b"\n"


def _absolute(line: bytes, folder: Path, written: IndexFormat) -> bytes:
    """The line with its first word as an absolute path, if that names a file beside the index."""
    word, rest = _first_word(line, written)
    if not word or b"\0" in word:
        return line
    name = word.decode(errors="surrogateescape")
    if name.startswith("/") or "://" in name:
        return line
    path = f"{folder}/{name}"
    if not _can_be_first(path, written) or not _is_file(path):
        return line
    return path.encode(errors="surrogateescape") + rest


def _first_word(line: bytes, written: IndexFormat) -> tuple[bytes, bytes]:
    if written is IndexFormat.CSV:
        word, comma, rest = line.rstrip(b"\n").partition(b",")
        return word, comma + rest + b"\n"
    word = line.split(maxsplit=1)[0]
    begin = line.index(word)
    return word, line[begin + len(word) :]


def _can_be_first(path: str, written: IndexFormat) -> bool:
    """Whether a reader of the list would take ``path`` for one word."""
    special = '",\r\n' if written is IndexFormat.CSV else None
    return path.split() == [path] if special is None else not any(character in path for character in special)


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:
        return False  # no name that a file can have: some other word
