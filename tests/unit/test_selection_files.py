"""Which selection logic flies: the newest that has proved good, and none that the worker dies of."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.density import Downlink
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NoSpace, Refused
from orbitloop.domain.selection import Discard, Grade, Run, SelectionLogic
from orbitloop.wire.selection_file import SelectionPackage, pack_selection
from orbitloop_edge.adapters import selection_files
from orbitloop_edge.adapters.selection_files import FileDecisions, SelectionFile, prove
from orbitloop_edge.adapters.starts import FileStarts

INPUTS = [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["b", 3, "side", "side"])]


def network(nodes: list[NodeProto], outputs: list[str], *, inputs: Sequence[ValueInfoProto] = INPUTS) -> bytes:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "network", inputs, infos)
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


POOL = [
    helper.make_node("GlobalAveragePool", ["tiles"], ["pooled"]),
    helper.make_node("Flatten", ["pooled"], ["three"]),
]
ENGINE = network([*POOL, helper.make_node("ReduceMean", ["three"], ["mean"], axes=[1], keepdims=0)], ["three", "mean"])


def values(side: int, *, inputs: Sequence[ValueInfoProto] = INPUTS) -> bytes:
    """A network whose value maps have so many cells a side."""
    step = 128 // side
    pool = helper.make_node("AveragePool", ["tiles"], ["pooled"], kernel_shape=[step, step], strides=[step, step])
    mean = helper.make_node("ReduceMean", ["pooled"], ["values"], axes=[1], keepdims=0)
    return network([pool, mean], ["values"], inputs=inputs)


CONTEXTS = ("sea", "port", "city")
PACKAGE = SelectionPackage(
    version=1,
    application="ships",
    target="toy",
    side=256,
    highest=True,
    prevalence=0.05,
    link=Downlink(capacity=0.1, deadline=1.0),
    contexts=CONTEXTS,
    reach=9.0,
    logic=SelectionLogic(
        tiles=2,
        cells=8,
        table={name: Discard() for name in CONTEXTS} | {"unknown": Run(model="reference", threshold=0.5)},
        grades=dict.fromkeys(CONTEXTS, ()) | {"unknown": (Grade(threshold=0.5, worth=0.5),)},
    ),
    parts={"engine": ENGINE, "reference": values(16)},
)


class Board:
    """A folder that logics are put in; each process looks anew."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, SigningKey(folder / "key")

    def put(self, **changes: object) -> None:
        """A logic like the package but for ``changes``."""
        path = self.folder / "new.ols"
        path.unlink(missing_ok=True)
        path.write_bytes(pack_selection(replace(PACKAGE, **changes), self.key.sign))  # type: ignore[arg-type]

    def process(self) -> SelectionFile:
        """As a worker that has just been started sees it."""
        verify = VerifyingKey(self.key.public).verify
        return SelectionFile(self.folder / "new.ols", self.folder / "selection" / "kept.ols", verify, deaths=2)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


class Killed(BaseException):
    """Nothing that the process does any more."""


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that dies while it proves a logic: nothing after that is carried out."""

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(selection_files, "prove", dies)
        patch.setattr(FileStarts, "end", lambda *_: None)
        yield


def version(arrived: selection_files.Arrived | None) -> int | None:
    return None if arrived is None else arrived.package.version


def test_a_logic_that_kills_who_proves_it_is_given_up(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.put()
    assert version(board.process().new()) == 1
    board.put(version=2)
    for _ in range(2):
        process = board.process()
        assert version(process.kept()) == 1
        with killed(monkeypatch), pytest.raises(Killed):
            process.new()
    process = board.process()
    assert version(process.kept()) == 1
    with pytest.raises(BadInput, match="died 2 times of this selection logic"):
        process.new()
    assert process.new() is None
    board.put(version=3)
    assert version(process.new()) == 3


def test_a_logic_that_kills_with_its_first_frame_is_given_up(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.put()
    process = board.process()
    process.new()
    with killed(monkeypatch), pytest.raises(Killed), process.trial():
        raise Killed
    process = board.process()
    assert version(process.kept()) == 1
    with killed(monkeypatch), pytest.raises(Killed), process.trial():
        raise Killed
    process = board.process()
    with pytest.raises(BadInput, match="died 2 times"):
        process.kept()
    assert process.new() is None
    board.put(version=2)
    assert version(process.new()) == 2


def test_who_waits_without_a_frame_or_is_refused_one_has_not_died(board: Board) -> None:
    board.put()
    board.process().new()
    processes = [board.process() for _ in range(5)]
    for process in processes:
        assert version(process.kept()) == 1
        with pytest.raises(BadInput), process.trial():
            raise BadInput("a frame of another camera")
    for _ in range(2):
        with processes[-1].trial():
            pass
    assert version(board.process().kept()) == 1


def test_on_a_full_disk_a_logic_waits_until_there_is_room(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.put()
    process = board.process()
    sync = os.fsync

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace):
        process.new()
    monkeypatch.setattr(os, "fsync", sync)
    assert version(process.new()) == 1
    after = board.process()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace):
        after.kept()
    monkeypatch.setattr(os, "fsync", sync)
    assert version(after.new()) == 1
    assert after.new() is None


def test_a_damaged_copy_is_replaced_by_what_was_put(board: Board) -> None:
    board.put()
    board.process().new()
    kept = board.folder / "selection" / "kept.ols"
    damaged = bytearray(kept.read_bytes())
    damaged[-1] ^= 1
    kept.write_bytes(damaged)
    process = board.process()
    with pytest.raises(Refused, match="not what its signature vouches for"):
        process.kept()
    assert version(process.new()) == 1
    assert version(board.process().kept()) == 1


Parts = Callable[[], dict[str, bytes]]
SINGLE = [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, [1, 3, 128, 128])]


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (lambda: {"engine": ENGINE, "reference": values(2, inputs=SINGLE)}, "does not take tiles of shape"),
        (lambda: {"engine": ENGINE, "reference": network(POOL[:1], ["pooled"])}, "makes no value map"),
        (lambda: {"engine": ENGINE, "reference": values(2)}, ""),
        (lambda: {"engine": network(POOL, ["three"]), "reference": values(4)}, "contexts apart"),
        (lambda: {"engine": network(POOL, ["three", "three"]), "reference": values(4)}, "answers with shapes"),
        (lambda: {"engine": ENGINE, "reference": ENGINE[:-9]}, "does not load"),
    ],
    ids=["a batch of one", "no map", "coarse", "one output", "no distances", "cut"],
)
def test_only_what_answers_as_it_is_asked_in_flight_flies(parts: Parts, complaint: str) -> None:
    package = replace(PACKAGE, parts=parts())
    if not complaint:
        prove(package)
        return
    with pytest.raises(BadInput, match=complaint):
        prove(package)


def test_maps_that_do_not_fit_the_cells_are_refused() -> None:
    logic = replace(PACKAGE.logic, tiles=2, cells=6)
    package = replace(PACKAGE, logic=logic, side=768)
    with pytest.raises(BadInput, match="cannot be shown as 3x3"):
        prove(package)


def test_answers_that_are_no_floats_are_refused() -> None:
    whole = [*POOL, helper.make_node("Cast", ["three"], ["whole"], to=TensorProto.INT64)]
    infos = [helper.make_tensor_value_info("whole", TensorProto.INT64, None)]
    graph = helper.make_graph(whole, "whole", INPUTS, infos)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BadInput, match="something else than floats"):
        prove(replace(PACKAGE, parts={"engine": ENGINE, "reference": made.SerializeToString()}))


def test_a_damaged_note_of_the_frame_in_hand_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "frame.json"
    digest = digest_of(b"logic")
    FileDecisions(path).decide("a.png", digest, processed=False)
    assert FileDecisions(path).decided("a.png", digest) is False
    assert FileDecisions(path).decided("a.png", digest_of(b"other")) is None
    path.write_bytes(path.read_bytes().replace(b"false", b"true"))
    assert not FileDecisions(path).frame
