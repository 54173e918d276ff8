"""The signed container of an update: what comes out is what went in, or nothing."""

import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.delta import Change, Gain, Shift, Sparse
from orbitloop.domain.errors import BadInput, OrbitloopError, Untrusted
from orbitloop.testing.builders import a_digest, some_truth
from orbitloop.wire.update import (
    MAGIC,
    MAX_BODY,
    CanaryTruth,
    Step,
    Update,
    decode_gaps,
    encode_gaps,
    pack_update,
    unpack_update,
)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path / "key")


def an_update() -> Update:
    rng = np.random.default_rng(1)
    where = np.sort(rng.choice(100_000, 2_000, replace=False)).astype(np.uint32)
    changes: tuple[Change, ...] = (
        Shift(tensor="a.bias", exponent=-9, quanta=rng.integers(-9, 9, 16).astype(np.int8)),
        Gain(tensor="a.weight", exponent=-9, quanta=rng.integers(-9, 9, 16).astype(np.int8)),
        Sparse(tensor="a.weight", exponent=-8, where=where, quanta=rng.integers(-7, 8, 2_000).astype(np.int8)),
    )
    canary = CanaryTruth(sample=a_digest("tile"), truth=some_truth((1.0, 2.0, 30.0, 40.5)))
    step = Step(changes=changes, result=a_digest("result"))
    return Update(base=a_digest("base"), steps=(step,), canary=(canary,))


def unpacked(data: bytes, key: SigningKey) -> Update:
    return unpack_update(data, VerifyingKey(key.public).verify)


def signed(body: bytes, key: SigningKey) -> bytes:
    squeezed = zstandard.compress(body)
    message = MAGIC + struct.pack("<I", len(squeezed)) + squeezed
    return message + key.sign(message)


def test_what_was_packed_comes_out(key: SigningKey) -> None:
    update = an_update()
    read = unpacked(pack_update(update, key.sign), key)
    assert (read.base, read.result) == (update.base, update.result)
    assert read.canary[0].sample == update.canary[0].sample
    assert np.array_equal(read.canary[0].truth.boxes, update.canary[0].truth.boxes)
    for mine, theirs in zip(read.changes, update.changes, strict=True):
        assert (type(mine), mine.tensor, mine.exponent) == (type(theirs), theirs.tensor, theirs.exponent)
        assert np.array_equal(mine.quanta, theirs.quanta)
    assert isinstance(read.changes[2], Sparse)
    assert isinstance(update.changes[2], Sparse)
    assert np.array_equal(read.changes[2].where, update.changes[2].where)


def test_the_same_update_gives_the_same_bytes(key: SigningKey) -> None:
    assert pack_update(an_update(), key.sign) == pack_update(an_update(), key.sign)


def test_no_flipped_byte_passes(key: SigningKey) -> None:
    data = pack_update(an_update(), key.sign)
    for position in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        with pytest.raises(OrbitloopError):
            unpacked(bytes(damaged), key)


def test_no_truncation_passes(key: SigningKey) -> None:
    data = pack_update(an_update(), key.sign)
    for length in (0, 3, 8, 71, 72, len(data) // 2, len(data) - 1):
        with pytest.raises(BadInput):
            unpacked(data[:length], key)


def test_another_ground_cannot_sign(key: SigningKey, tmp_path: Path) -> None:
    stranger = SigningKey(tmp_path / "stranger")
    with pytest.raises(Untrusted, match="not the ground's"):
        unpacked(pack_update(an_update(), stranger.sign), key)


def test_a_bomb_is_refused_before_it_is_unpacked(key: SigningKey) -> None:
    with pytest.raises(BadInput, match="limit"):
        unpacked(signed(bytes(MAX_BODY + 1), key), key)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (struct.pack("<I", 2**31) + b"{}", "claims"),
        (struct.pack("<I", 2) + b"{}", "malformed"),
        (b"\0\0", "limit"),
    ],
    ids=["header longer than body", "header without fields", "no header"],
)
def test_a_signed_but_malformed_body_is_refused(body: bytes, complaint: str, key: SigningKey) -> None:
    with pytest.raises(BadInput, match=complaint):
        unpacked(signed(body, key), key)


def test_streams_must_be_as_long_as_the_header_says(key: SigningKey) -> None:
    data = pack_update(an_update(), key.sign)
    body = zstandard.decompress(data[8:-64])
    for wrong, complaint in ((body[:-1], "ends 1 bytes before"), (body + b"x", "after its last change")):
        with pytest.raises(BadInput, match=complaint):
            unpacked(signed(wrong, key), key)


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
