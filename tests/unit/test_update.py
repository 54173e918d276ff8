"""The signed container of an update: what comes out is what went in, or a beginning of it, or nothing."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.delta import Change, Gain, LowRank, Shift, Sparse
from orbitloop.domain.detection import Truth
from orbitloop.domain.errors import BadInput, OrbitloopError, Untrusted
from orbitloop.testing.builders import a_digest, some_truth
from orbitloop.wire.leb128 import encode_numbers
from orbitloop.wire.squeezing import squeeze
from orbitloop.wire.update import (
    MAGIC,
    CanaryTruth,
    Step,
    Update,
    pack_update,
    unpack_beginning,
    unpack_update,
)
from orbitloop.wire.update_streams import MAX_VALUES, decode_gaps, encode_gaps

SHAPES = {"a.weight": (50, 40, 5, 10), "b.weight": (16, 3, 3, 3)}
GOLDEN = Path(__file__).parents[1] / "golden" / "delta"


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path / "key")


def int8(rng: np.random.Generator, *shape: int, limit: int = 9) -> NDArray[np.int8]:
    return rng.integers(-limit, limit + 1, shape).astype(np.int8)


def an_update() -> Update:
    rng = np.random.default_rng(1)
    where = np.sort(rng.choice(100_000, 2_000, replace=False)).astype(np.uint32)
    crowded = np.sort(rng.choice(432, 300, replace=False)).astype(np.uint32)
    first: tuple[Change, ...] = (
        Shift(tensor="a.bias", exponent=-9, quanta=int8(rng, 16)),
        Gain(tensor="a.weight", exponent=-9, quanta=int8(rng, 16)),
        Gain(tensor="a.weight", exponent=3, quanta=int8(rng, 40), axis=1),
    )
    second: tuple[Change, ...] = (
        Sparse(tensor="a.weight", exponent=-8, where=where, quanta=int8(rng, 2_000, limit=127)),
        Sparse(tensor="b.weight", exponent=-8, where=crowded, quanta=int8(rng, 300, limit=1)),
        Sparse(tensor="c.weight", exponent=-8, where=where[:0], quanta=int8(rng, 0)),
        LowRank(tensor="a.weight", exponent=-14, left=int8(rng, 16, 2, limit=1), right=int8(rng, 2, 27, limit=7)),
    )
    steps = (Step(changes=first, result=a_digest("first")), Step(changes=second, result=a_digest("result")))
    canary = CanaryTruth(sample=a_digest("tile"), truth=some_truth((1.0, 2.0, 30.0, 40.0), (600.0, 2.0, 631.0, 40.0)))
    empty = CanaryTruth(sample=a_digest("empty"), truth=some_truth())
    return Update(base=a_digest("base"), steps=steps, canary=(canary, empty))


def unpacked(data: bytes, key: SigningKey) -> Update:
    return unpack_update(data, VerifyingKey(key.public).verify)


def beginning(data: bytes, key: SigningKey) -> Update | None:
    return unpack_beginning(data, VerifyingKey(key.public).verify)


def signed(text: bytes, key: SigningKey, *, digests: int = 1, steps: bytes = b"") -> bytes:
    head = squeeze(text) + bytes(32 * digests)
    message = MAGIC + struct.pack("<I", len(head)) + head
    return message + key.sign(message) + steps


def demand_alike(mine: Sequence[Change], theirs: Sequence[Change]) -> None:
    for one, other in zip(mine, theirs, strict=True):
        assert (type(one), one.tensor, one.exponent) == (type(other), other.tensor, other.exponent)
        match one, other:
            case LowRank(), LowRank():
                assert np.array_equal(one.left, other.left)
                assert np.array_equal(one.right, other.right)
            case Sparse(), Sparse():
                assert np.array_equal(one.where, other.where)
                assert np.array_equal(one.quanta, other.quanta)
            case Gain(), Gain():
                assert one.axis == other.axis
                assert np.array_equal(one.quanta, other.quanta)
            case _:
                assert isinstance(one, Shift)
                assert isinstance(other, Shift)
                assert np.array_equal(one.quanta, other.quanta)


@pytest.mark.parametrize("shapes", [None, SHAPES], ids=["shapes unknown", "shapes known"])
def test_what_was_packed_comes_out(key: SigningKey, shapes: dict[str, tuple[int, ...]] | None) -> None:
    update = an_update()
    read = unpacked(pack_update(update, key.sign, shapes), key)
    assert (read.base, read.result, read.missing) == (update.base, update.result, 0)
    assert [step.result for step in read.steps] == [step.result for step in update.steps]
    for mine, theirs in zip(read.steps, update.steps, strict=True):
        demand_alike(mine.changes, theirs.changes)
    assert [entry.sample for entry in read.canary] == [entry.sample for entry in update.canary]
    for found, told in zip(read.canary, update.canary, strict=True):
        assert np.array_equal(found.truth.boxes, told.truth.boxes)
        assert np.array_equal(found.truth.labels, told.truth.labels)


def test_boxes_go_up_in_whole_pixels_of_the_tile(key: SigningKey) -> None:
    canary = CanaryTruth(sample=a_digest("tile"), truth=some_truth((-3.0, 2.4, 30.0, 40.6)))
    read = unpacked(pack_update(Update(base=a_digest("base"), steps=(), canary=(canary,)), key.sign), key)
    assert read.canary[0].truth.boxes.tolist() == [[0, 2, 30, 41]]


def test_a_box_turned_inside_out_is_not_sent(key: SigningKey) -> None:
    truth = Truth(boxes=np.array([[9, 9, 3, 12]], np.float32), labels=np.zeros(1, np.int64))
    canary = (CanaryTruth(sample=a_digest("tile"), truth=truth),)
    with pytest.raises(BadInput, match="edge"):
        pack_update(Update(base=a_digest("base"), steps=(), canary=canary), key.sign)


def test_the_same_update_gives_the_same_bytes(key: SigningKey) -> None:
    assert pack_update(an_update(), key.sign) == pack_update(an_update(), key.sign)


def test_no_flipped_byte_passes(key: SigningKey) -> None:
    data = pack_update(an_update(), key.sign)
    for position in range(0, len(data), 29):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        with pytest.raises(OrbitloopError):
            unpacked(bytes(damaged), key)


def test_no_truncation_passes_as_whole(key: SigningKey) -> None:
    data = pack_update(an_update(), key.sign)
    for length in (0, 3, 8, 71, 72, len(data) // 2, len(data) - 1):
        with pytest.raises(BadInput):
            unpacked(data[:length], key)
    with pytest.raises(BadInput, match="joined with another"):
        unpacked(data + b"x", key)


def test_cut_at_any_byte_it_gives_the_steps_that_are_whole(key: SigningKey) -> None:
    update = an_update()
    data = pack_update(update, key.sign)
    found = []
    for length in range(len(data) + 1):
        read = beginning(data[:length], key)
        steps = 0 if read is None else len(read.steps)
        found.append(steps)
        if read is not None:
            assert read.result == update.steps[steps - 1].result
            assert read.missing == len(update.steps) - steps
            demand_alike(read.changes, [change for step in update.steps[:steps] for change in step.changes])
    assert found == sorted(found)
    assert set(found) == {0, 1, 2}
    assert found.index(2) == len(data)


def test_a_beginning_ends_before_a_step_that_was_damaged(key: SigningKey) -> None:
    data = bytearray(pack_update(an_update(), key.sign))
    data[-1] ^= 1
    read = beginning(bytes(data), key)
    assert read is not None
    assert len(read.steps) == 1
    with pytest.raises(Untrusted, match="step 2"):
        unpacked(bytes(data), key)


def test_another_ground_cannot_sign(key: SigningKey, tmp_path: Path) -> None:
    data = pack_update(an_update(), SigningKey(tmp_path / "stranger").sign)
    for read in (unpacked, beginning):
        with pytest.raises(Untrusted, match="not the ground's"):
            read(data, key)


def test_the_first_format_is_still_read() -> None:
    read = unpack_update((GOLDEN / "olu1.olu").read_bytes(), lambda _, __: None)
    assert [type(change) for change in read.changes] == [Shift, Gain, Sparse, Sparse, Shift]
    assert len(read.steps) == 1
    assert [len(entry.truth.labels) for entry in read.canary] == [2, 0]
    for length in (4, 60, 71, 72, 300, 586):
        with pytest.raises(BadInput):
            unpack_update((GOLDEN / "olu1.olu").read_bytes()[:length], lambda _, __: None)
    assert unpack_beginning((GOLDEN / "olu1.olu").read_bytes(), lambda _, __: None) is None


def numbers(*values: int) -> bytes:
    return encode_numbers(np.array(values, np.int64))


ONE_TENSOR = numbers(1, 1) + b"a"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "too early"),
        (numbers(20_000), "20000 where 10000"),
        (numbers(1, 201), "201 where 200"),
        (numbers(1, 1) + b"\xff" + numbers(0, 0), "UTF-8"),
        (ONE_TENSOR + numbers(65), "65 where 64"),
        (ONE_TENSOR + numbers(1, 0, 20_000), "20000 where 10000"),
        (ONE_TENSOR + numbers(1, 0, 1, 9, 0, 0, 1), "change of kind 9"),
        (ONE_TENSOR + numbers(1, 0, 1, 0, 1, 0, 1), "of tensor 1, of 1"),
        (ONE_TENSOR + numbers(1, 0, 1, 0, 0, 0, MAX_VALUES + 1), "is the limit"),
        (ONE_TENSOR + numbers(1, 0, 2, 0, 0, 0, MAX_VALUES, 3, 0, 0, 1) + numbers(0), "quanta in 2 changes"),
        (ONE_TENSOR + numbers(1, 0, 1, 4, 0, 0, 2**20, 2**20, 2**20) + numbers(0), "quanta in 1 changes"),
        (numbers(0, 0, 2_000), "2000 where 1000"),
        (numbers(0, 0, 1, 20_000), "20000 boxes"),
        (numbers(0, 0, 1, 1, 0, 1, 1), "too early"),
        (numbers(0, 0, 0, 7), "after its end"),
        (bytes(4 * 2**20 + 1), "is the limit"),
    ],
    ids=[
        "empty",
        "too many tensors",
        "a long name",
        "no letters",
        "too many steps",
        "too many changes",
        "an unknown kind",
        "an unknown tensor",
        "too many quanta",
        "too many quanta in all",
        "endless factors",
        "too many canaries",
        "too many boxes",
        "half a box",
        "too long",
        "a bomb",
    ],
)
def test_a_signed_but_malformed_header_is_refused(text: bytes, complaint: str, key: SigningKey) -> None:
    for read in (unpacked, beginning):
        with pytest.raises(BadInput, match=complaint):
            read(signed(text, key), key)


def test_a_header_has_as_many_digests_as_it_needs(key: SigningKey) -> None:
    for digests, complaint in ((0, "too early"), (2, "after its end")):
        with pytest.raises(BadInput, match=complaint):
            unpacked(signed(numbers(0, 0, 0), key, digests=digests), key)


def test_a_private_key_is_for_its_owner_alone_and_stays_the_same(tmp_path: Path) -> None:
    first = SigningKey(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    assert SigningKey(tmp_path / "key").public == first.public


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    SigningKey(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(BadInput, match="chmod 600"):
        SigningKey(tmp_path / "key")


def test_keys_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(BadInput, match="not an Ed25519 key"):
        SigningKey(tmp_path / "key")
    with pytest.raises(BadInput, match="no Ed25519 public key"):
        VerifyingKey("beef")


@given(st.sets(st.integers(0, 2**32 - 1), max_size=300))
def test_positions_survive_their_encoding(chosen: set[int]) -> None:
    where = np.array(sorted(chosen), np.uint32)
    assert np.array_equal(decode_gaps(encode_gaps(where)), where)


@given(st.binary(max_size=64))
def test_whatever_arrives_as_positions_is_increasing_or_refused(data: bytes) -> None:
    try:
        where = decode_gaps(data)
    except BadInput:
        return
    assert (np.diff(where.astype(np.int64)) > 0).all()
