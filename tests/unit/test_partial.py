"""Files that arrive in pieces: what is said to be here is here, whatever was killed, cut or damaged."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.adapters.partial import PartialFile
from orbitloop.domain.errors import NotYet
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes

WHOLE = bytes(range(200))
pieces = st.lists(st.tuples(st.integers(0, 190), st.integers(1, 10)), max_size=12)


def begun(folder: Path) -> PartialFile:
    part = PartialFile(folder / "whole.part")
    part.begin(Bytes(len(WHOLE)))
    return part


@given(pieces)
def test_pieces_in_any_order_make_what_they_cover(
    tmp_path_factory: pytest.TempPathFactory, given: list[tuple[int, int]]
) -> None:
    part = begun(tmp_path_factory.mktemp("partial"))
    for start, length in given:
        part.write(start, WHOLE[start : start + length])
    held = part.settle()
    assert held == Spans.of((start, start + length) for start, length in given)
    data = part.path.read_bytes()
    assert all(data[span.start : span.end] == WHOLE[span.start : span.end] for span in held)
    assert PartialFile(part.path).settle() == held


def test_what_was_written_survives_the_kill_of_its_writer_before_anything_was_settled(tmp_path: Path) -> None:
    writer = """
import os, signal, sys
from pathlib import Path
from orbitloop.adapters.partial import PartialFile
part = PartialFile(Path(sys.argv[1]))
part.begin(100)
part.write(50, bytes(10))
part.write(0, bytes(20))
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "whole.part"
    subprocess.run([sys.executable, "-c", writer, str(path)], check=False)
    assert PartialFile(path).settle() == Spans.of([(0, 20), (50, 60)])


def test_notes_of_another_boot_are_believed_only_if_they_were_settled(tmp_path: Path) -> None:
    part = begun(tmp_path)
    part.write(0, WHOLE[:20])
    part.settle()
    part.write(50, WHOLE[50:60])
    sidecar = part.path.with_suffix(".spans")
    words = sidecar.read_text().split()
    sidecar.write_text(sidecar.read_text().replace(words[-1], "another-boot"))
    assert part.settle() == Spans.up_to(20)


@pytest.mark.parametrize(
    "tail", ["\n40 ", "\n40 60", "\n40 60 dur", "\n60 40 durable\n", "\n0 999 durable\n"], ids=repr
)
def test_a_line_that_was_cut_short_or_lies_says_nothing_and_ends_no_other(tmp_path: Path, tail: str) -> None:
    part = begun(tmp_path)
    part.write(0, WHOLE[:20])
    with part.path.with_suffix(".spans").open("a") as file:
        file.write(tail)
    part.write(30, WHOLE[30:40])
    assert part.settle() == Spans.of([(0, 20), (30, 40)])


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00", b"size many\n"], ids=repr)
def test_a_damaged_sidecar_means_that_nothing_is_here(tmp_path: Path, damage: bytes) -> None:
    part = begun(tmp_path)
    part.write(0, WHOLE[:20])
    part.path.with_suffix(".spans").write_bytes(damage)
    assert not part.begun
    assert part.settle() == Spans()


def test_a_file_that_shrank_holds_no_more_than_it_has(tmp_path: Path) -> None:
    part = begun(tmp_path)
    part.write(0, WHOLE[:20])
    part.write(40, WHOLE[40:60])
    with part.path.open("r+b") as file:
        file.truncate(30)
    assert part.settle() == Spans.up_to(20)


def test_many_writers_of_one_file_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = begun(tmp_path).path

    def write(start: int) -> None:
        for position in range(start, 200, 4):
            PartialFile(path).write(position, WHOLE[position : position + 1])
            PartialFile(path).settle()

    writers = [threading.Thread(target=write, args=(start,)) for start in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert PartialFile(path).settle() == Spans.up_to(200)
    assert path.read_bytes() == WHOLE


def test_the_sidecar_stays_short_however_many_pieces_come(tmp_path: Path) -> None:
    part = begun(tmp_path)
    for _ in range(4_000):
        part.write(3, WHOLE[3:5])
    assert part.path.with_suffix(".spans").stat().st_size < 140_000
    assert part.settle() == Spans.of([(3, 5)])


def test_a_file_that_another_process_finished_is_to_be_asked_for_again(tmp_path: Path) -> None:
    part = begun(tmp_path)
    part.remove()
    part.remove()
    with pytest.raises(NotYet, match="ask where it stands"):
        part.write(0, WHOLE)
    assert not list(tmp_path.iterdir())
