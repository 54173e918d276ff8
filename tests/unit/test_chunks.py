"""A model in chunks: one flipped bit names one chunk."""

from __future__ import annotations

import numpy as np
import pytest

from orbitloop.domain.chunks import CHUNK, chunk_digests, piece, pieces, tensor_bytes


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_chunks_cover_every_byte_once(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert b"".join(pieces(data)) == data
    assert len(chunk_digests(data)) == -(-size // CHUNK)
    assert not piece(data, len(chunk_digests(data)))


def test_one_flipped_bit_names_one_chunk() -> None:
    tensor = np.random.default_rng(0).standard_normal((64, 31, 3, 3)).astype(np.float32)
    before = chunk_digests(tensor_bytes(tensor))
    damaged = tensor.copy()
    damaged.view(np.uint32).reshape(-1)[16_500] ^= 1
    after = chunk_digests(tensor_bytes(damaged))
    assert [was == now for was, now in zip(before, after, strict=True)] == [True, False]


def test_a_tensor_counts_the_same_however_it_lies_in_memory() -> None:
    tensor = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)
    for same in (np.asfortranarray(tensor), tensor.astype(">f4").astype(np.float32), tensor[:]):
        assert bytes(tensor_bytes(same)) == tensor.tobytes()
    assert bytes(tensor_bytes(np.zeros((0, 3), np.float32))) == b""
