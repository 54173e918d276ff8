"""The faults, by name. Each befalls a board and says what became of it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench.faults.board import Board

from orbitloop.domain.delta import Gain, Shift, apply
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_digest
from orbitloop.wire.messages import Offer
from orbitloop.wire.update import Step, Update
from orbitloop_edge.adapters.onnx_detector import OnnxDetector

Fault = Callable[[Board, np.random.Generator], str]
"""Does it; returns what became of an update, ``refused``, or nothing."""

_STEPS = 60
"""Steps on the disk that a proof takes, about."""
_ON_DISK = ("open", "os.rename", "os.remove", "os.mkdir")


def _flip(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    bit = int(rng.integers(8 * len(data)))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def _on_disk(name: str, *, asleep: bool) -> Fault:
    """A bit of a file flips, while the worker runs or while it is down."""

    def fault(board: Board, rng: np.random.Generator) -> str:
        state = board.worker.slots.state()
        slots = [state.active, *([] if state.kept is None else [state.kept.slot])]
        folder = board.slots / str(rng.choice(slots))
        path = (
            next(board.slots.glob("*.onnx"))
            if name == "graph"
            else next(place for place in (folder / name, board.slots / name) if place.exists())
        )
        if asleep:
            board.down()
        _flip(path, rng)
        if asleep:
            board.boot()
        else:
            board.worker.look()
        return ""

    return fault


def _weights_in_memory(board: Board, rng: np.random.Generator) -> str:
    weights = _detector(board).weights
    tensor = weights[str(rng.choice(sorted(weights)))]
    tensor.reshape(-1).view(np.uint32)[rng.integers(tensor.size)] ^= np.uint32(1 << int(rng.integers(32)))
    board.worker.look()
    return ""


def _graph_in_memory(board: Board, rng: np.random.Generator) -> str:
    graph = _loaded(board).graph
    place = id(graph) + bytes.__basicsize__ - 1 + int(rng.integers(len(graph)))
    ctypes.c_uint8.from_address(place).value ^= 1 << int(rng.integers(8))
    board.worker.look()
    return ""


def _packed(board: Board, rng: np.random.Generator) -> str:
    """A bit flips in what the session has packed: it is made of a damaged tensor that is whole again afterwards."""
    detector = _detector(board)
    tensor = detector.weights[str(rng.choice(sorted(detector.weights)))]
    value = tensor.reshape(-1).view(np.uint32)
    place, bit = int(rng.integers(tensor.size)), np.uint32(1 << int(rng.integers(32)))
    detector.rest()
    value[place] ^= bit
    detector.answer()
    value[place] ^= bit
    return ""


def _loaded(board: Board) -> Any:
    """A detector and its graph, as the worker holds them."""
    return board.worker._scrubber.current.loaded  # noqa: SLF001  # where a bit flips, no interface leads


def _detector(board: Board) -> OnnxDetector:
    found: OnnxDetector = _loaded(board).detector
    return found


def _refused(board: Board, data: bytes, offer: Offer) -> str:
    before = board.flying
    try:
        outcome = board.prove(data, offer)
    except NotYet:
        outcome = Outcome.REFUSED
    assert board.flying == before, "an update flew that must not"
    return "refused" if outcome is Outcome.REFUSED else "harmless"


def _announced(data: bytes, offer: Offer) -> Offer:
    """An offer of the very bytes that arrived: the ground's own disk has damaged them."""
    return offer.model_copy(update={"digest": digest_of(data), "size": len(data)})


def _delta_flipped(board: Board, rng: np.random.Generator) -> str:
    data, offer = board.update(rng, tell=False)
    changed = bytearray(data)
    bit = int(rng.integers(8 * len(data)))
    changed[bit // 8] ^= 1 << bit % 8
    damaged = bytes(changed)
    return _refused(board, damaged, _announced(damaged, offer) if rng.random() < 0.5 else offer)


def _delta_cut(board: Board, rng: np.random.Generator) -> str:
    data, offer = board.update(rng, tell=False)
    cut = data[: int(rng.integers(len(data)))]
    return _refused(board, cut, _announced(cut, offer) if rng.random() < 0.5 else offer)


def _delta_swapped(board: Board, rng: np.random.Generator) -> str:
    other, _ = board.update(rng, tell=False)
    _, offer = board.update(rng, tell=False)
    return _refused(board, other, offer)


def _delta_replayed(board: Board, rng: np.random.Generator) -> str:
    if not board.applied:
        return "harmless"
    data, offer = board.applied[int(rng.integers(len(board.applied)))]
    return _refused(board, data, offer)


def _delta_of_another_base(board: Board, rng: np.random.Generator) -> str:
    others = [digest for digest in board.good if digest != board.flying]
    if not others:
        return "harmless"
    data, offer = board.update(rng, base=others[int(rng.integers(len(others)))], tell=False)
    return _refused(board, data, offer)


def _delta_of_another_satellite(board: Board, rng: np.random.Generator) -> str:
    """Signed by the ground, and right for what flies elsewhere."""
    change = Shift(tensor="fine.bias", exponent=-4, quanta=np.ones(18, np.int8))
    base, result = a_digest(int(rng.integers(2**31))), a_digest(int(rng.integers(2**31)))
    return _refused(board, *board.packed(Update(base=base, steps=(Step(changes=(change,), result=result),))))


def _delta_of_another_result(board: Board, rng: np.random.Generator) -> str:
    """Signed by the ground, and makes something else than it says."""
    tensor = str(rng.choice(sorted(board.good[board.flying])))
    size = board.good[board.flying][tensor].size
    change = Shift(tensor=tensor, exponent=-4, quanta=np.ones(size, np.int8))
    steps = (Step(changes=(change,), result=a_digest(int(rng.integers(2**31)))),)
    return _refused(board, *board.packed(Update(base=board.flying, steps=steps)))


def _delta_without_numbers(board: Board, rng: np.random.Generator) -> str:
    """Signed by the ground, and makes weights infinite."""
    before = board.good[board.flying]
    tensor = str(rng.choice([name for name in before if name.endswith("bias")]))
    changes = tuple(
        Gain(tensor=tensor, axis=0, exponent=8, quanta=np.full(before[tensor].shape[0], 127, np.int8))
        for _ in range(12)
    )
    with np.errstate(all="ignore"):
        result = weights_digest(apply(before, changes))
        return _refused(board, *board.packed(Update(base=board.flying, steps=(Step(changes=changes, result=result),))))


def fly(board: Board, rng: np.random.Generator) -> None:
    """A good update flies."""
    data, offer = board.update(rng)
    if board.prove(data, offer) is not Outcome.APPLIED:
        raise AssertionError("a good update was turned down")
    board.applied = [*board.applied[-4:], (data, offer)]


def _killed_in_proof(board: Board, rng: np.random.Generator) -> str:
    """SIGKILL at some step on the disk, between the first of a proof and the last of its activation."""
    data, offer = board.update(rng)
    board.down()
    child = os.fork()
    if child == 0:
        try:
            board.boot()
            _kill_at(int(rng.integers(1, _STEPS)), board.folder)
            board.prove(data, offer)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    board.boot()
    return "survived" if os.WIFSIGNALED(status) else "harmless"


def _kill_at(step: int, folder: Path) -> None:
    left = step

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in _ON_DISK and str(arguments[0]).startswith(str(folder)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def _boot_loop(board: Board, rng: np.random.Generator) -> str:
    """A new model makes the worker die before it has looked at a frame, until it gives way."""
    fly(board, rng)
    for _ in range(3):
        board.die()
        board.boot()
    return ""


def _nowhere_whole(board: Board, rng: np.random.Generator) -> str:
    """The same place of every copy on the disk is damaged while the worker is down: only the ground has it."""
    board.down()
    state = board.worker.slots.state()
    slots = [state.active, *([] if state.kept is None else [state.kept.slot])]
    from_end = int(rng.integers(1, 1_000))
    for slot in {*slots, "a", "b", "c"}:
        path = board.slots / slot / "weights.safetensors"
        if path.exists():
            data = bytearray(path.read_bytes())
            data[-from_end] ^= 1 << int(rng.integers(8))
            path.write_bytes(data)
    board.boot()
    board.ask_ground()
    board.worker.look()
    return ""


FAULTS: dict[str, tuple[Fault, int]] = {
    "weights on disk": (_on_disk("weights.safetensors", asleep=False), 12),
    "weights on disk, asleep": (_on_disk("weights.safetensors", asleep=True), 12),
    "weights of every copy": (_nowhere_whole, 6),
    "list of chunks": (_on_disk("chunks.json", asleep=False), 4),
    "list of chunks, asleep": (_on_disk("chunks.json", asleep=True), 4),
    "description": (_on_disk("detector.json", asleep=False), 4),
    "description, asleep": (_on_disk("detector.json", asleep=True), 4),
    "state": (_on_disk("state.json", asleep=False), 6),
    "state, asleep": (_on_disk("state.json", asleep=True), 6),
    "second state": (_on_disk("state.copy.json", asleep=True), 3),
    "count of starts, asleep": (_on_disk("starts.json", asleep=True), 2),
    "graph on disk": (_on_disk("graph", asleep=False), 4),
    "graph on disk, asleep": (_on_disk("graph", asleep=True), 4),
    "weights in memory": (_weights_in_memory, 14),
    "graph in memory": (_graph_in_memory, 4),
    "packed by the runtime": (_packed, 10),
    "update flipped": (_delta_flipped, 8),
    "update cut": (_delta_cut, 6),
    "update swapped": (_delta_swapped, 4),
    "update replayed": (_delta_replayed, 4),
    "update of another base": (_delta_of_another_base, 4),
    "update of another satellite": (_delta_of_another_satellite, 4),
    "update of another result": (_delta_of_another_result, 4),
    "update without numbers": (_delta_without_numbers, 2),
    "killed in proof": (_killed_in_proof, 10),
    "boot loop": (_boot_loop, 4),
}
"""Every fault, and how often it is dealt."""
