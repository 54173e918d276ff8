"""What the changes of a delta make of hard values, as digests: the same on every processor, or a delta cannot fly.

    python -m tests.exact_arithmetic            # compares with tests/golden/exact-arithmetic.json; fails if one differs
    python -m tests.exact_arithmetic --write    # writes that file

It needs numpy, zstandard, pydantic and ``core``, so that it runs wherever the satellite's software does. Values cover
all of single precision: subnormal, tiny, ordinary and huge ones, both zeros. All are made by integers alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import platform
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from orbitloop.domain.delta import EXPONENTS, MAX_RANK, Change, Gain, LowRank, Shift, Sparse, apply
from orbitloop.domain.versions import Weights, weights_digest

GOLDEN = Path(__file__).with_name("golden") / "exact-arithmetic.json"
SHAPE = (24, 16, 3, 3)
LZMA1 = [{"id": lzma.FILTER_LZMA1, "dict_size": 2**20, "lc": 4, "lp": 0, "pb": 0}]
PLAIN = 8_000
"""Bytes of the streams' text."""


def mixed(count: int, seed: int) -> NDArray[np.uint32]:
    """Well mixed bits, ``(count,)`` (the finaliser of MurmurHash3)."""
    bits = np.arange(count, dtype=np.uint32) + np.uint32(seed * 0x9E3779B1 % 2**32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ (bits >> np.uint32(shift))) * np.uint32(factor)
    return bits ^ (bits >> np.uint32(16))


def values(seed: int) -> NDArray[np.float32]:
    """Finite single-precision numbers of every magnitude, of the test's shape."""
    bits = mixed(int(np.prod(SHAPE)), seed)
    too_large = (bits >> np.uint32(23)) & np.uint32(0xFF) == 0xFF  # infinite, or no number
    bits[too_large] &= np.uint32(0x807FFFFF)  # subnormal in their place
    bits[:2] = (0, 0x80000000)
    return bits.view(np.float32).reshape(SHAPE)


def weights(seed: int) -> NDArray[np.float32]:
    """Numbers as weights are: 24 bits of precision, below a half."""
    centred = (mixed(int(np.prod(SHAPE)), seed) >> np.uint32(8)).astype(np.int64) - 2**23
    return (centred.astype(np.float64) * 2.0**-24).astype(np.float32).reshape(SHAPE)


def quanta(seed: int, *shape: int) -> NDArray[np.int8]:
    """Every int8."""
    return mixed(int(np.prod(shape)), seed).astype(np.uint8).view(np.int8).reshape(shape)


def changes(exponent: int, seed: int) -> Iterator[tuple[str, Change]]:
    """One of each kind."""
    out, *rest = SHAPE
    size, inner = int(np.prod(SHAPE)), int(np.prod(rest))
    yield "shift", Shift(tensor="w", exponent=exponent, quanta=quanta(seed, size))
    yield "gain", Gain(tensor="w", exponent=exponent, quanta=quanta(seed + 1, out))
    yield "gain of inputs", Gain(tensor="w", exponent=exponent, quanta=quanta(seed + 2, rest[0]), axis=1)
    where = np.flatnonzero(mixed(size, seed + 3) % 3 == 0).astype(np.uint32)
    yield "sparse", Sparse(tensor="w", exponent=exponent, where=where, quanta=quanta(seed + 4, len(where)))
    for rank in (1, 8, MAX_RANK):
        left, right = quanta(seed + 5, out, rank), quanta(seed + 6, rank, inner)
        yield f"low rank {rank}", LowRank(tensor="w", exponent=exponent, left=left, right=right)


@np.errstate(over="ignore")  # what is huge may become infinite, and does so everywhere
def digests() -> dict[str, str]:
    """Of every kind at every exponent, on hard values and on weights; and of five hundred changes, one on another."""
    found: dict[str, str] = {}
    kinds = [name for name, _ in changes(0, 0)]
    for what, base in (("hard values", values(1)), ("weights", weights(2))):
        made: dict[str, list[Weights]] = {name: [] for name in kinds}
        for exponent in EXPONENTS:
            for name, change in changes(exponent, 100 + exponent):
                made[name].append(apply({"w": base}, [change]))
        found |= {f"{name} on {what}": _digest(models) for name, models in made.items()}
    flown: Weights = {"w": weights(3)}
    for step in range(500):
        kind = step % len(kinds)
        [(_, change)] = islice(changes(-12 - step % 5, step), kind, kind + 1)
        flown = apply(flown, [change])
    return found | {"five hundred in a row": _digest([flown])}


def _digest(models: list[Weights]) -> str:
    total = hashlib.sha256()
    for model in models:
        total.update(weights_digest(model).encode())
    return total.hexdigest()


def text() -> bytes:
    """What a delta's streams are like: small numbers, most of them near nothing."""
    return (mixed(PLAIN, 9).astype(np.uint8) >> (mixed(PLAIN, 10) % 8).astype(np.uint8)).tobytes()


def streams() -> dict[str, bytes]:
    """:func:`text`, coded here."""
    return {
        "lzma": lzma.compress(text(), lzma.FORMAT_RAW, filters=LZMA1),
        "zstd": zstandard.ZstdCompressor(level=19).compress(text()),
    }


def decoded(coder: str, data: bytes) -> bytes:
    """Inverse of :func:`streams`."""
    if coder == "lzma":
        return lzma.decompress(data, lzma.FORMAT_RAW, filters=LZMA1)
    return zstandard.ZstdDecompressor().decompress(data)


def differing() -> list[str]:
    """What does not come out here as it is stored."""
    golden = json.loads(GOLDEN.read_text())
    found = digests()
    wrong = sorted(name for name in golden["digests"] | found if golden["digests"].get(name) != found.get(name))
    stored = {coder: base64.b85decode(data) for coder, data in golden["streams"].items()}
    return wrong + [coder for coder, data in stored.items() if decoded(coder, data) != text()]


def main() -> int:
    """Compare, or write; the exit code."""
    if sys.argv[1:] == ["--write"]:
        coded = {coder: base64.b85encode(data).decode() for coder, data in streams().items()}
        GOLDEN.write_text(json.dumps({"digests": digests(), "streams": coded}, indent=2) + "\n")
        return 0
    wrong = differing()
    print(f"{platform.machine()}, numpy {np.__version__}: {'differ: ' + ', '.join(wrong) if wrong else 'all the same'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
