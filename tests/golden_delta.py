"""Stored updates and the models they make, to the bit, on this processor: the delta format from bytes to weights.

    python -m tests.golden_delta            # reads tests/golden/delta; fails if an update makes another model
    python -m tests.golden_delta --write    # writes that folder anew, but for the formats that are only read

It needs numpy, zstandard, pydantic and ``core``, so that it runs wherever the satellite's software does. The model and
the changes are made by integers alone; the stored files are read, never packed again, so that another release of a
compressor changes nothing.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.delta import Change, Gain, LowRank, Shift, Sparse, apply
from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import digest_of
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.wire.update import CanaryTruth, Step, Update, pack_update, unpack_beginning, unpack_update

FOLDER = Path(__file__).with_name("golden") / "delta"
RESULTS = FOLDER / "results.json"
SHAPES = {
    "stem.weight": (8, 3, 3, 3),
    "stem.bias": (8,),
    "body.weight": (16, 8, 3, 3),
    "body.bias": (16,),
    "head.weight": (6, 16, 1, 1),
    "head.bias": (6,),
    "wide.weight": (64, 48, 3, 3),
}


def base_weights() -> dict[str, NDArray[np.float32]]:
    """A model made by integer arithmetic alone: 24-bit numbers times ``2**-26``, exact in single precision."""
    made = {}
    for number, (name, shape) in enumerate(SHAPES.items(), start=1):
        index = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(1_000_003 * number)
        mixed = (index * np.uint64(2_654_435_761)) & np.uint64(0xFFFFFFFF)
        centred = (mixed >> np.uint64(8)).astype(np.int64) - 2**23
        made[name] = (centred.astype(np.float64) * 2.0**-26).astype(np.float32).reshape(shape)
    return made


def mixed(count: int, salt: int) -> NDArray[np.uint32]:
    """Well mixed bits, ``(count,)`` (the finaliser of MurmurHash3)."""
    bits = np.arange(count, dtype=np.uint32) + np.uint32(salt * 0x9E3779B1 % 2**32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ (bits >> np.uint32(shift))) * np.uint32(factor)
    return bits ^ (bits >> np.uint32(16))


def quanta(count: int, limit: int, salt: int) -> NDArray[np.int8]:
    """Numbers in ``[-limit, limit]``."""
    return (mixed(count, salt).astype(np.int64) % (2 * limit + 1) - limit).astype(np.int8)


def sparse(tensor: str, exponent: int, where: NDArray[np.int64], limit: int) -> Sparse:
    return Sparse(
        tensor=tensor, exponent=exponent, where=where.astype(np.uint32), quanta=quanta(len(where), limit, len(where))
    )


def crowded() -> NDArray[np.int64]:
    """Positions in ``wide.weight`` that are many in a few rows and in a few columns."""
    rows, columns = (2 ** (mixed(side, side) % 9).astype(np.int64) for side in (64, 48))
    often = np.broadcast_to(np.multiply.outer(rows, columns)[..., None], (64, 48, 9))
    return np.flatnonzero(mixed(64 * 48 * 9, 8) % 2**16 < often.reshape(-1))


def factors(exponent: int, limit: int) -> LowRank:
    left, right = quanta(16 * 3, limit, 5).reshape(16, 3), quanta(3 * 72, limit, 6).reshape(3, 72)
    return LowRank(tensor="body.weight", exponent=exponent, left=left, right=right)


def vectors() -> dict[str, tuple[tuple[Change, ...], ...]]:
    """The steps of each stored update, by name."""
    biases = (
        Shift(tensor="stem.bias", exponent=-9, quanta=quanta(8, 127, 1)),
        Shift(tensor="head.bias", exponent=-40, quanta=quanta(6, 7, 2)),
    )
    gains = (
        Gain(tensor="body.weight", exponent=-7, quanta=quanta(16, 31, 3)),
        Gain(tensor="body.weight", exponent=-8, quanta=quanta(8, 31, 4), axis=1),
        Gain(tensor="head.bias", exponent=-3, quanta=quanta(6, 3, 4)),
    )
    gaps = (sparse("body.weight", -10, np.array([0, 1, 2, 200, 333, 1_100, 1_151]), 127),)
    bitmap = (sparse("stem.weight", -8, np.flatnonzero(mixed(216, 7) % 3 > 0), 31),)
    by_channel = (sparse("wide.weight", -9, crowded(), 7),)
    nibbles = Shift(tensor="body.weight", exponent=-9, quanta=quanta(1_152, 7, 9))
    thirds = Shift(tensor="body.weight", exponent=-9, quanta=quanta(1_152, 1, 10))
    signs = Shift(tensor="body.weight", exponent=-9, quanta=quanta(1_152, 1, 11) | np.int8(1))
    low_rank = (factors(-14, 127), factors(-6, 1))
    return {
        "shift": (biases,),
        "gain": (gains,),
        "sparse-gaps": (gaps,),
        "sparse-bitmap": (bitmap,),
        "sparse-by-channel": (by_channel,),
        "four-bits": ((nibbles,),),
        "two-bits": ((thirds,),),
        "one-bit": ((signs,),),
        "low-rank": (low_rank,),
        "steps": ((*biases, *gains), (*low_rank, *by_channel), (*gaps, *bitmap)),
    }


def made_of(base: Weights, update: Update) -> list[str]:
    """Digest of the weights after each step."""
    found: list[str] = []
    weights = base
    for step in update.steps:
        weights = apply(weights, step.changes)
        found.append(weights_digest(weights))
    return found


def write() -> None:
    """Store the updates, and what they make."""
    base = base_weights()
    truth = Truth(boxes=np.array([[1, 2, 30, 40], [5, 6, 70, 80]], np.float32), labels=np.array([0, 1], np.int64))
    canary = (CanaryTruth(sample=digest_of(b"a tile"), truth=truth),)
    for name, steps in vectors().items():
        weights, made = dict(base), []
        for changes in steps:
            weights = apply(weights, changes)
            made.append(Step(changes=changes, result=weights_digest(weights)))
        update = Update(base=weights_digest(base), steps=tuple(made), canary=canary)
        (FOLDER / f"{name}.olu").write_bytes(pack_update(update, lambda _: bytes(64), SHAPES))
    results = {path.stem: made_of(base, unpack_update(path.read_bytes(), _anyone)) for path in _stored()}
    RESULTS.write_text(json.dumps({"base": weights_digest(base), "results": results}, indent=1) + "\n")


def differing() -> list[str]:
    """What is not as it was stored, one line each."""
    golden, base = json.loads(RESULTS.read_text()), base_weights()
    found = [] if weights_digest(base) == golden["base"] else ["the base is another model"]
    if (stored := sorted(path.stem for path in _stored())) != sorted(golden["results"]):
        found.append(f"{', '.join(stored)} are stored, {', '.join(golden['results'])} are known")
    for path in _stored():
        data, wanted = path.read_bytes(), golden["results"].get(path.stem)
        update = unpack_update(data, _anyone)
        if made_of(base, update) != wanted or [step.result for step in update.steps] != wanted:
            found.append(f"{path.name} makes another model")
        cut = unpack_beginning(data[:-1], _anyone)
        if (0 if cut is None else len(cut.steps)) != len(update.steps) - 1:
            found.append(f"{path.name}, cut by a byte, has another number of steps")
    return found


def _stored() -> list[Path]:
    return sorted(FOLDER.glob("*.olu"))


def _anyone(_: bytes, __: bytes) -> None:
    """Takes every signature: what is tested lies behind it."""


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    wrong = differing()
    sys.stdout.write(f"{len(_stored())} updates on {platform.machine()}, numpy {np.__version__}: ")
    sys.stdout.write("ok\n" if not wrong else "".join(f"\n{line}" for line in wrong) + "\n")
    sys.exit(1 if wrong else 0)
