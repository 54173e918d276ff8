"""The streams of a step: whatever goes in comes out, in whatever way it was packed, and nothing else is taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.domain.delta import Change, LowRank, Shift, Sparse
from orbitloop.domain.errors import BadInput
from orbitloop.wire.leb128 import Reader, encode_numbers
from orbitloop.wire.squeezing import Coder, squeeze, unsqueeze
from orbitloop.wire.update_streams import Extent, Places, StepReader, pack_step

SHAPE = (12, 10, 3, 3)
SIZE = 1_080
seeds = st.integers(0, 2**32 - 1)


def numbers(*values: int) -> bytes:
    return encode_numbers(np.array(values, np.int64))


def some_quanta(seed: int, count: int, limit: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-limit, limit + 1, count).astype(np.int8)


def crowded(seed: int, count: int) -> NDArray[np.uint32]:
    """Positions that lie in few channels, as gradients do."""
    chance = np.random.default_rng(seed)
    rows, columns = chance.pareto(1, SHAPE[0]), chance.pareto(1, SHAPE[1])
    weight = np.multiply.outer(np.multiply.outer(rows, columns), np.ones(9)).reshape(-1)
    return np.sort(np.argsort(-weight * chance.random(SIZE))[:count]).astype(np.uint32)


def read(data: bytes, change: Change) -> StepReader:
    match change:
        case Sparse():
            return StepReader(data, [Extent(moves=len(change.quanta))])
        case LowRank():
            return StepReader(data, [Extent(factors=change.left.size + change.right.size)])
        case _:
            return StepReader(data, [Extent(channels=len(change.quanta))])


@given(seeds, st.integers(0, SIZE), st.sampled_from([1, 2, 7, 127]), st.booleans())
def test_sparse_changes_come_out_as_they_went_in(seed: int, count: int, limit: int, shaped: bool) -> None:
    where = crowded(seed, count)
    change = Sparse(tensor="w", exponent=0, where=where, quanta=some_quanta(seed, count, limit))
    data = pack_step([change], {"w": SHAPE} if shaped else {})
    streams = read(data, change)
    assert np.array_equal(streams.places(count), where)
    assert np.array_equal(streams.moves(count), change.quanta)
    streams.finish()


@given(seeds, st.integers(1, 3_000), st.sampled_from([0, 1, 2, 7, 127]))
def test_quanta_of_any_width_come_out_as_they_went_in(seed: int, count: int, limit: int) -> None:
    change = Shift(tensor="w", exponent=0, quanta=some_quanta(seed, count, limit))
    assert np.array_equal(read(pack_step([change], {}), change).channels(count), change.quanta)


@given(seeds, st.integers(1, 9), st.integers(1, 5), st.integers(1, 40))
def test_factors_come_out_as_they_went_in(seed: int, rows: int, rank: int, columns: int) -> None:
    left, right = some_quanta(seed, rows * rank, 7), some_quanta(seed + 1, rank * columns, 7)
    change = LowRank(tensor="w", exponent=0, left=left.reshape(rows, rank), right=right.reshape(rank, columns))
    streams = read(pack_step([change], {}), change)
    assert np.array_equal(streams.factors(rows, rank), change.left)
    assert np.array_equal(streams.factors(rank, columns), change.right)


@pytest.mark.parametrize(("bits", "values"), [(1, [-1, 1]), (2, [-1, 0, 1]), (4, list(range(-7, 8)))])
def test_few_values_take_few_bits(bits: int, values: list[int]) -> None:
    quanta = np.random.default_rng(0).choice(np.array(values, np.int8), 8_000)
    data = pack_step([Shift(tensor="w", exponent=0, quanta=quanta)], {})
    assert len(data) <= 1_000 * bits + 32


def test_known_shapes_make_positions_smaller_where_channels_are_crowded() -> None:
    chance = np.random.default_rng(3)
    pull = np.multiply.outer(chance.pareto(1, 128), chance.pareto(1, 64))[..., None] * chance.random((128, 64, 9))
    where = np.sort(np.argsort(-pull, axis=None)[:3_000]).astype(np.uint32)
    change = Sparse(tensor="w", exponent=0, where=where, quanta=np.ones(3_000, np.int8))
    assert len(pack_step([change], {"w": (128, 64, 3, 3)})) < 0.9 * len(pack_step([change], {}))


def test_positions_beyond_the_shape_are_left_for_the_satellite_to_refuse() -> None:
    change = Sparse(tensor="w", exponent=0, where=np.array([5_000], np.uint32), quanta=np.ones(1, np.int8))
    assert read(pack_step([change], {"w": SHAPE}), change).places(1).tolist() == [5_000]


def a_step(places: bytes, quanta: bytes) -> bytes:
    return squeeze(places) + squeeze(quanta)


@pytest.mark.parametrize(
    ("places", "complaint"),
    [
        (bytes([3]) + numbers(1, 1), "in way 3"),
        (bytes([Places.GAPS]) + numbers(1), "1 numbers too early"),
        (bytes([Places.GAPS]) + numbers(2**32 - 1, 0), "more than 32 bits"),
        (bytes([Places.BITMAP]) + numbers(16) + b"\x01\x00", "marks 1 positions"),
        (bytes([Places.BITMAP]) + numbers(16) + b"\x01", "bytes too early"),
        (bytes([Places.BITMAP]) + numbers(2**31), "is the limit"),
        (bytes([Places.BY_CHANNEL]) + numbers(2**20, 2**20, 1), "are the limit"),
        (bytes([Places.BY_CHANNEL]) + numbers(2, 1, 1, 1, 0, 1, 0), "counts 1 positions"),
        (bytes([Places.BY_CHANNEL]) + numbers(2, 1, 1, 2, 0, 2, 0, 7), "channel pair 8 of 1"),
        (bytes([Places.BY_CHANNEL]) + numbers(1, 1, 0, 2, 2, 0, 0), "channel pair 1 of 1"),
    ],
    ids=[
        "unknown way",
        "a gap too few",
        "a long position",
        "a bit too few",
        "half a bitmap",
        "endless bitmap",
        "endless channels",
        "rows do not add up",
        "beyond the last pair",
        "empty kernel",
    ],
)
def test_positions_that_cannot_be_are_refused(places: bytes, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        StepReader(a_step(places, bytes([8, 1, 1])), [Extent(moves=2)]).places(2)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (bytes([3, 0, 0]), "3 bits"),
        (bytes([8, 1]), "too early"),
        (bytes([8, 1, 1, 1]), "after its end"),
        (bytes([1, 1, 5, 0b10]), "number 1 of 1"),
        (bytes([2, 40, 5]), "too early"),
        (bytes(60), "is the limit"),
    ],
    ids=["odd width", "one too few", "one too many", "no such value", "values cut off", "too long"],
)
def test_quanta_that_cannot_be_are_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        StepReader(squeeze(content), [Extent(channels=2)])


@given(
    st.binary(max_size=300)
    | st.builds(lambda byte, count: bytes([byte]) * count, st.integers(0, 255), seeds.map(lambda n: n % 9_999))
)
def test_a_block_comes_out_as_it_went_in(data: bytes) -> None:
    reader = Reader(squeeze(data), "it")
    assert unsqueeze(reader, 10_000) == data
    reader.finish()


@pytest.mark.parametrize(
    ("coder", "data"),
    [
        (Coder.STORED, np.random.default_rng(5).bytes(50)),
        (Coder.ZSTD, b"ab" * 4_000),
        (Coder.LZMA, b"a" * 300 + b"bc" * 3),
    ],
)
def test_a_block_does_not_unpack_to_more_than_it_may(coder: Coder, data: bytes) -> None:
    block = squeeze(data)
    with pytest.raises(BadInput, match="limit"):
        unsqueeze(Reader(block, "it"), len(data) - 1)


@pytest.mark.parametrize("claim", [100, 9_999], ids=["less", "more"])
def test_a_block_that_lies_about_its_length_is_refused(claim: int) -> None:
    block = squeeze(b"ab" * 4_000)
    head = 1 + len(numbers(8_000))
    with pytest.raises(BadInput):
        unsqueeze(Reader(block[:1] + numbers(claim) + block[head:], "it"), 10_000)


@pytest.mark.parametrize("coder", [1, 2, 3])
def test_a_damaged_block_is_refused(coder: int) -> None:
    with pytest.raises(BadInput):
        unsqueeze(Reader(bytes([coder]) + numbers(20, 7) + b"damaged", "it"), 100)
