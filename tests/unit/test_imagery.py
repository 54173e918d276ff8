"""Frames in, tiles out: whatever a camera or a broken disk hands over."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from orbitloop.domain.errors import BadInput
from orbitloop.testing.builders import plain_ground, with_squares
from orbitloop_edge.adapters.imagery import MAX_PIXELS, decode_picture, encode_picture, read_picture

SCENE = with_squares(plain_ground(64), (10, 20, 40, 44))


def encoded(picture: Image.Image, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    picture.save(out, form)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 10_000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", r"the frame is empty \(0 bytes\)"),
        (b"not a picture at all", "cannot be read as a picture"),
        (encode_picture(SCENE, "png", 100)[:80], "cannot be read as a picture"),
        (encode_picture(SCENE, "jpeg", 80)[:300], "cannot be read as a picture"),
        (encode_picture(SCENE, "webp", 80)[:-20], "cannot be read as a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "cannot be read as a picture"),
        (bomb(20_000, 20_000), f"more than {MAX_PIXELS} pixels"),
        (bomb(12_000, 10_000), f"12000x10000 pixels are more than the limit of {MAX_PIXELS}"),
        (bomb(9_700, 9_700), "cannot be read as a picture"),
        (encoded(Image.new("RGB", (8, 8)), "PPM"), "cannot be read as a picture"),
        (encoded(Image.new("RGB", (8, 8)), "BMP"), "cannot be read as a picture"),
        (b"\xff\x4f\xff\x51\x00", "cannot be read as a picture"),
        (encoded(Image.new("F", (8, 8)), "TIFF"), "32 bits have no agreed white"),
        (encoded(Image.new("I", (8, 8)), "TIFF"), "32 bits have no agreed white"),
    ],
    ids=[
        "empty",
        "text",
        "truncated PNG",
        "truncated JPEG",
        "truncated WebP",
        "corrupt PNG",
        "bomb",
        "small bomb",
        "large, but not too large; its pixels are missing",
        "PPM",
        "BMP",
        "truncated JPEG 2000",
        "floating point",
        "32-bit integers",
    ],
)
def test_a_frame_that_cannot_be_used_is_refused_by_name(data: bytes, complaint: str) -> None:
    with pytest.raises(BadInput, match=f"pass-7/0001: .*{complaint}"):
        decode_picture(data, "pass-7/0001")


@settings(max_examples=150)
@given(
    codec=st.sampled_from(["png", "jpeg", "webp"]),
    cut=st.integers(0, 10**6),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), max_size=6),
)
def test_damage_is_refused_or_gives_pixels_but_nothing_else(codec: str, cut: int, flips: list[tuple[int, int]]) -> None:
    data = bytearray(encode_picture(SCENE, codec, 60))
    for position, flip in flips:
        data[position % len(data)] ^= flip
    try:
        pixels = decode_picture(bytes(data[: cut % (2 * len(data))]), "frame")
    except BadInput:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


@given(data=st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        decode_picture(data, "frame")


@pytest.mark.parametrize(
    ("picture", "form"),
    [
        (Image.fromarray(SCENE), "PNG"),
        (Image.fromarray(SCENE).convert("L"), "PNG"),
        (Image.fromarray(SCENE).convert("LA"), "PNG"),
        (Image.fromarray(SCENE).convert("RGBA"), "PNG"),
        (Image.fromarray(SCENE).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
        (Image.fromarray(SCENE[..., 0].astype(np.uint16) * 257), "PNG"),
        (Image.fromarray(SCENE[..., 0].astype(np.uint16) * 257), "TIFF"),
        (Image.fromarray(SCENE).convert("CMYK"), "TIFF"),
        (Image.fromarray(SCENE).convert("YCbCr"), "TIFF"),
    ],
    ids=["RGB", "grey", "grey with alpha", "RGBA", "palette", "16-bit PNG", "16-bit TIFF", "CMYK", "YCbCr"],
)
def test_every_colour_model_becomes_rgb(picture: Image.Image, form: str) -> None:
    pixels = decode_picture(encoded(picture, form), "frame")
    assert pixels.shape == SCENE.shape
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.astype(int), SCENE.astype(int), atol=2)


def test_black_and_white_becomes_rgb() -> None:
    pixels = decode_picture(encoded(Image.fromarray(SCENE[..., 0] > 128)), "frame")
    assert sorted(set(pixels.ravel().tolist())) == [0, 255]


@pytest.mark.parametrize(("codec", "tolerance"), [("png", 0), ("webp", 12), ("jpeg", 12), ("avif", 12)])
@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (17, 90)], ids=str)
def test_what_is_encoded_is_decoded(codec: str, tolerance: int, shape: tuple[int, int]) -> None:
    pixels = np.ascontiguousarray(np.resize(SCENE, (*shape, 3)))
    smooth = np.linspace(20, 230, pixels.size).reshape(pixels.shape).astype(np.uint8)
    back = decode_picture(encode_picture(smooth, codec, 90), "tile")
    assert back.shape == smooth.shape
    assert np.abs(back.astype(int) - smooth.astype(int)).mean() <= tolerance


def test_a_tile_cut_from_a_frame_is_encoded_like_its_copy() -> None:
    view: NDArray[np.uint8] = SCENE[5:37, 9:41]
    assert encode_picture(view, "webp", 30) == encode_picture(view.copy(), "webp", 30)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(BadInput, match="codec 'gif' is unknown on board"):
        encode_picture(SCENE, "gif", 30)


def test_a_frame_comes_with_its_bytes_as_captured(tmp_path: Path) -> None:
    path = tmp_path / "0001.png"
    path.write_bytes(encode_picture(SCENE, "png", 100))
    data, pixels = read_picture(path)
    assert data == path.read_bytes()
    np.testing.assert_array_equal(pixels, SCENE)


def test_a_frame_that_is_gone_or_a_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "0001.png", tmp_path):
        with pytest.raises(BadInput, match=f"{path}: cannot be read"):
            read_picture(path)
