"""What others would send in place of a delta: the bytes, and the weights that the satellite would then have.

A peer takes the base and the fully fine-tuned weights. ``full`` and the two binary differences are lossless in single
precision; their ``fp16`` kin send what half precision makes of the trained weights, and are told from the base in half
precision, which favours them. NNCodec codes the difference of the two, at several quantisation parameters.

    PEERS["bsdiff4 fp16"](base, trained)   # -> Sent(bytes=…, weights=…), or raises Missing

Tiansuan sends whole tensors, 3 MB of them, which were trained alone: :func:`tensors_within` names them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zstandard

from orbitloop.domain.versions import Weights

FOLDER = Path("build/bench/peers")
TIANSUAN_BYTES = 3_000_000
NNCODEC_QPS = (-40, -36, -32, -28, -24, -20)
"""Quantisation parameters tried: steps of about ``2**(qp / 4)`` of the weights' differences, coarser to the right."""
PINNED = {"bsdiff4": "1.3.2", "nncodec": "2.1.3"}

_DRIVER = Path(__file__).with_name("nncodec_driver.py")
_BSDIFF = (
    "import sys, bsdiff4; base, new, patch, back = sys.argv[1:]; "
    "bsdiff4.file_diff(base, new, patch); bsdiff4.file_patch(base, back, patch)"
)


class Missing(Exception):
    """A peer that cannot run here; the message says why, for the table."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """What a peer sends, and what the satellite makes of it: the trained weights again, or near them."""

    bytes: int
    weights: Weights


Peer = Callable[[Weights, Weights], Sent]


def full(_base: Weights, trained: Weights, kind: str = "<f4") -> Sent:
    """Every value, uncompressed."""
    data = packed(trained, kind)
    return Sent(bytes=len(data), weights=unpacked(data, trained, kind))


def zstd_patch(base: Weights, trained: Weights, kind: str = "<f4") -> Sent:
    """``zstd --patch-from --long -19``: the base is the history before the first byte."""
    before, after = packed(base, kind), packed(trained, kind)
    history = zstandard.ZstdCompressionDict(before, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    window = (len(before) + len(after)).bit_length()
    settings = zstandard.ZstdCompressionParameters.from_level(19, window_log=window, enable_ldm=True)
    patch = zstandard.ZstdCompressor(dict_data=history, compression_params=settings).compress(after)
    reader = zstandard.ZstdDecompressor(dict_data=history, max_window_size=2**window)
    return Sent(bytes=len(patch), weights=unpacked(reader.decompress(patch), trained, kind))


def bsdiff(base: Weights, trained: Weights, kind: str = "<f4") -> Sent:
    """``bsdiff4``: Percival's binary difference, in a process of its own."""
    place = installed("bsdiff4")
    with tempfile.TemporaryDirectory() as folder:
        before, after, patch, back = (Path(folder) / name for name in ("before", "after", "patch", "back"))
        before.write_bytes(packed(base, kind))
        after.write_bytes(packed(trained, kind))
        _run(place, "-c", _BSDIFF, *map(str, (before, after, patch, back)))
        return Sent(bytes=patch.stat().st_size, weights=unpacked(back.read_bytes(), trained, kind))


def nncodec(base: Weights, trained: Weights, qp: int) -> Sent:
    """NNCodec 2 (ISO/IEC 15938-17) on the difference: dependent quantisation and DeepCABAC."""
    place = installed("nncodec")
    with tempfile.TemporaryDirectory() as folder:
        given, stream, back = (Path(folder) / name for name in ("given.npz", "stream", "back.npz"))
        np.savez(given, allow_pickle=False, **{name: trained[name] - base[name] for name in base})
        _run(place, str(_DRIVER), str(given), str(stream), str(back), str(qp))
        with np.load(back) as found:
            weights = {name: (base[name] + found[name]).astype(np.float32) for name in base}
        return Sent(bytes=stream.stat().st_size, weights=weights)


PEERS: Mapping[str, Peer] = {
    "full fp32": full,
    "full fp16": partial(full, kind="<f2"),
    "zstd --patch-from fp32": zstd_patch,
    "zstd --patch-from fp16": partial(zstd_patch, kind="<f2"),
    "bsdiff4 fp32": bsdiff,
    "bsdiff4 fp16": partial(bsdiff, kind="<f2"),
    **{f"nncodec qp {qp}": partial(nncodec, qp=qp) for qp in NNCODEC_QPS},
}
"""Every peer by its name in the table. The slowest is ``bsdiff4 fp32``, which sorts 35 MB of suffixes."""


def tensors_within(base: Weights, trained: Weights, budget: int = TIANSUAN_BYTES) -> tuple[str, ...]:
    """Whole tensors that take at most ``budget`` bytes as float32: those that full training moved most for their size.

    Taken greedily by the moved distance (sum of absolute differences) per byte; one that does not fit is passed over.
    """
    moved = {name: float(np.abs(trained[name] - base[name]).sum()) / base[name].nbytes for name in base}
    chosen, left = [], budget
    for name in sorted(moved, key=lambda name: (-moved[name], name)):
        if base[name].nbytes <= left:
            chosen.append(name)
            left -= base[name].nbytes
    return tuple(chosen)


def packed(weights: Weights, kind: str) -> bytes:
    """All tensors in the order of their names, as ``kind`` (``<f4`` or ``<f2``)."""
    return b"".join(np.ascontiguousarray(weights[name], dtype=kind).tobytes() for name in sorted(weights))


def unpacked(data: bytes, like: Weights, kind: str) -> Weights:
    """Inverse of :func:`packed`, as float32; names and shapes are those of ``like``."""
    flat = np.frombuffer(data, kind).astype(np.float32)
    names = sorted(like)
    ends = np.cumsum([like[name].size for name in names])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(like[name].shape) for name, part in zip(names, parts, strict=True)}


def installed(package: str) -> Path:
    """The folder that holds a peer's package, from the registry if need be.

    Only the package: what NNCodec imports beside numpy and torch serves its examples, and its driver does without.

    Raises:
        Missing: pip cannot install it.
    """
    place = FOLDER / f"{package}-{PINNED[package]}"
    if place.exists():
        return place
    FOLDER.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{package}-", dir=FOLDER))
    asked = ("--no-deps", "--target", str(unfinished), f"{package}=={PINNED[package]}")
    ran = subprocess.run([sys.executable, "-m", "pip", "install", *asked], capture_output=True, text=True, check=False)
    if ran.returncode:
        shutil.rmtree(unfinished)
        raise Missing(f"pip cannot install {package} {PINNED[package]}: {_last_line(ran.stderr)}")
    return unfinished.rename(place)


def _run(place: Path, *arguments: str) -> None:
    told = {**os.environ, "PYTHONPATH": str(place.absolute())}
    ran = subprocess.run([sys.executable, *arguments], env=told, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Missing(f"{place.name} failed: {_last_line(ran.stderr)}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
