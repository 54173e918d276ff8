"""The bundle container: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from orbitloop.domain.detection import Detections
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, Refused, Untrusted
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.tiling import Window
from orbitloop.domain.units import Bytes, Digest
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import MAGIC, Limits, cost, entry_of, fill, pack, rank, sample_from, sample_id, unpack
from orbitloop.wire.messages import Hello, LogicOnBoard, Message, Receipt, Telemetry, UpdateReport, Welcome

GOLDEN = Path(__file__).parents[1] / "golden" / "wire-1"
DIGEST = digest_of(b"weights")


def same(first: Sample, second: Sample) -> bool:
    fields = ("id", "frame", "window", "captured", "model", "reason", "value", "codec", "size")
    return (
        all(getattr(first, name) == getattr(second, name) for name in fields)
        and np.array_equal(first.found.boxes, second.found.boxes)
        and np.array_equal(first.found.scores, second.found.scores)
        and np.array_equal(first.found.labels, second.found.labels)
    )


def container(content: bytes) -> bytes:
    frame = zstandard.ZstdCompressor(write_content_size=True).compress(content)
    return sealed(frame)


def sealed(frame: bytes) -> bytes:
    return MAGIC + bytes.fromhex(hexadecimal(digest_of(frame))) + frame


def taken_apart(bundle: bytes) -> tuple[dict[str, Any], bytes]:
    content = zstandard.ZstdDecompressor().decompress(bundle[len(MAGIC) + 32 :])
    end = 4 + int.from_bytes(content[:4], "big")
    return json.loads(content[4:end]), content[end:]


def put_together(header: dict[str, Any], blobs: bytes) -> bytes:
    text = json.dumps(header).encode()
    return container(len(text).to_bytes(4, "big") + text + blobs)


coordinates = st.floats(-1e6, 1e6, width=32)


@st.composite
def samples(draw: st.DrawFn) -> tuple[Sample, bytes]:
    pixels = draw(st.binary(min_size=1, max_size=300))
    count = draw(st.integers(0, 4))
    frame = draw(
        st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,20}){0,2}", fullmatch=True)
    )
    corner, side = st.integers(0, 2**31 - 1), st.integers(1, 2**16)
    window = Window(x0=draw(corner), y0=draw(corner), width=draw(side), height=draw(side))
    boxes = draw(st.lists(coordinates, min_size=4 * count, max_size=4 * count))
    scores = draw(st.lists(st.floats(0, 1, width=32), min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, 2**16 - 1), min_size=count, max_size=count))
    sample = Sample(
        id=sample_id("sat-1", frame, window, pixels),
        frame=frame,
        window=window,
        captured=draw(st.datetimes(timezones=st.just(UTC))),
        model=DIGEST,
        reason=draw(st.sampled_from(Reason)),
        value=draw(st.floats(allow_nan=False, allow_infinity=False)),
        found=Detections(
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.array(scores, np.float32),
            labels=np.array(labels, np.int64),
        ),
        codec=draw(st.sampled_from(["webp", "jpeg", "png"])),
        size=len(pixels),
    )
    return sample, pixels


@given(st.lists(samples(), max_size=5, unique_by=lambda item: item[0].id))
@settings(max_examples=60, deadline=None)
def test_what_is_packed_is_unpacked_the_same(items: list[tuple[Sample, bytes]]) -> None:
    bundle = unpack(pack("sat-1", LAUNCH, items))
    assert (bundle.satellite, bundle.created, len(bundle)) == ("sat-1", LAUNCH, len(items))
    assert bundle.pixels == tuple(pixels for _, pixels in items)
    assert all(same(before, after) for (before, _), after in zip(items, bundle.samples, strict=True))


PACKED = pack("sat-1", LAUNCH, [a_sample(number, size=200) for number in range(3)])


@given(st.integers(0, 8 * len(PACKED) - 1))
@settings(max_examples=300, deadline=None)
def test_a_bundle_with_any_bit_flipped_is_refused(bit: int) -> None:
    damaged = bytearray(PACKED)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused):
        unpack(bytes(damaged))


@given(st.integers(0, len(PACKED) - 1))
@settings(max_examples=200, deadline=None)
def test_a_bundle_cut_short_anywhere_is_refused(length: int) -> None:
    with pytest.raises(Refused):
        unpack(PACKED[:length])


def test_the_same_samples_always_make_the_same_bundle() -> None:
    items = [a_sample(number) for number in range(4)]
    assert pack("sat-1", LAUNCH, items) == pack("sat-1", LAUNCH.astimezone(), items)


def test_a_bundle_with_something_behind_it_is_refused() -> None:
    frame = PACKED[len(MAGIC) + 32 :]
    with pytest.raises(Refused):
        unpack(PACKED + b"x")
    with pytest.raises(BadInput, match="zstd"):
        unpack(sealed(frame + b"x"))
    with pytest.raises(BadInput, match="zstd"):
        unpack(sealed(frame + frame))


def test_a_decompression_bomb_is_refused_by_the_size_that_it_declares() -> None:
    bomb = container(bytes(300 * 2**20))
    assert len(bomb) < 2**16
    with pytest.raises(BadInput, match=r"unpacks to 314572800 bytes, the limit is 134217728"):
        unpack(bomb)


def test_a_bomb_that_declares_no_size_is_refused() -> None:
    with pytest.raises(BadInput, match="limit"):
        unpack(sealed(zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**20))))


def test_a_bomb_that_declares_less_than_it_holds_is_refused() -> None:
    frame = bytearray(zstandard.ZstdCompressor(write_content_size=True).compress(bytes(200_000)))
    declared = (200_000).to_bytes(4, "little")
    assert declared in frame
    place = frame.index(declared)
    frame[place : place + 4] = (1_000).to_bytes(4, "little")
    with pytest.raises(BadInput, match="zstd"):
        unpack(sealed(bytes(frame)))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(packed=Bytes(100)), "limit of 100"),
        (Limits(unpacked=Bytes(100)), "limit is 100"),
        (Limits(header=Bytes(100)), "limit of 100"),
        (Limits(samples=2), "3 samples, the limit is 2"),
    ],
    ids=["packed", "unpacked", "header", "samples"],
)
def test_a_bundle_beyond_a_limit_is_refused_with_the_limit(limits: Limits, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        unpack(PACKED, limits)


def test_a_header_that_claims_to_be_longer_than_the_bundle_is_refused() -> None:
    with pytest.raises(BadInput, match="header of"):
        unpack(container((2**31).to_bytes(4, "big") + b"{}"))


def first(header: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = header["samples"][0]
    return entry


def rename(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda header: first(header).update(frame=name)


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "frame climbs": rename("../../etc/passwd"),
    "frame climbs inside": rename("frames/../../x"),
    "frame is absolute": rename("/etc/passwd"),
    "frame is a drive": rename("C:\\windows"),
    "frame is hidden": rename(".ssh/authorized_keys"),
    "frame has a NUL": rename("a\0b"),
    "frame ends in a newline": rename("frame.png\n"),
    "frame is empty": rename(""),
    "frame is endless": rename("x" * 300),
    "satellite climbs": lambda header: header.update(satellite="../sat"),
    "box not finite": lambda header: first(header)["found"]["boxes"][0].__setitem__(0, float("nan")),
    "box infinite": lambda header: first(header)["found"]["boxes"][0].__setitem__(0, float("inf")),
    "box beyond float32": lambda header: first(header)["found"]["boxes"][0].__setitem__(0, 1e300),
    "box of three": lambda header: first(header)["found"]["boxes"][0].pop(),
    "score not a number": lambda header: first(header)["found"]["scores"].__setitem__(0, float("nan")),
    "score above one": lambda header: first(header)["found"]["scores"].__setitem__(0, 1.5),
    "scores missing": lambda header: first(header)["found"]["scores"].pop(),
    "label negative": lambda header: first(header)["found"]["labels"].__setitem__(0, -1),
    "window infinite": lambda header: first(header)["window"].update(x0=float("inf")),
    "window negative": lambda header: first(header)["window"].update(x0=-1),
    "window empty": lambda header: first(header)["window"].update(width=0),
    "value not finite": lambda header: first(header).update(value=float("nan")),
    "captured without zone": lambda header: first(header).update(captured="2026-01-01T00:00:00"),
    "codec unknown": lambda header: first(header).update(codec="exe"),
    "reason unknown": lambda header: first(header).update(reason="because"),
    "size negative": lambda header: first(header).update(size=-1),
    "size too large": lambda header: first(header).update(size=10**6),
    "blob of another sample": lambda header: first(header).update(blob=header["samples"][1]["blob"]),
    "id of another tile": lambda header: first(header).update(id=digest_of(b"other")),
    "window of another tile": lambda header: first(header)["window"].update(x0=5),
    "frame of another tile": rename("frames/other.png"),
    "satellite of another": lambda header: header.update(satellite="sat-2"),
    "a sample twice": lambda header: header["samples"].append(dict(first(header))),
    "a sample less": lambda header: header["samples"].pop(),
    "a later format": lambda header: header.update(version=2),
    "no samples field": lambda header: header.pop("samples"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_header_with_a_hostile_field_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    header, blobs = taken_apart(PACKED)
    unpack(put_together(header, blobs))
    change(header)
    with pytest.raises(Refused):
        unpack(put_together(header, blobs))


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000], ids=repr)
def test_a_header_that_is_no_header_is_refused(text: bytes) -> None:
    with pytest.raises(BadInput, match="bundle header"):
        unpack(container(len(text).to_bytes(4, "big") + text))


def test_fields_of_the_future_are_passed_over() -> None:
    header, blobs = taken_apart(PACKED)
    header["cloud_cover"] = 0.2
    first(header)["weather"] = {"wind": 3}
    assert len(unpack(put_together(header, blobs))) == 3


def test_a_sample_that_no_receiver_would_take_is_not_packed() -> None:
    sample, pixels = a_sample()
    with pytest.raises(BadInput, match="frame"):
        pack("sat-1", LAUNCH, [(replace(sample, frame="../x"), pixels)])
    with pytest.raises(BadInput, match="value"):
        pack("sat-1", LAUNCH, [(replace(sample, value=float("nan")), pixels)])
    with pytest.raises(BadInput, match="encode again"):
        pack("sat-1", LAUNCH, [(replace(sample, size=3), pixels)])
    with pytest.raises(BadInput, match="zone"):
        pack("sat-1", LAUNCH, [(replace(sample, captured=datetime(2026, 1, 1)), pixels)])  # noqa: DTZ001 - the point
    with pytest.raises(BadInput, match="twice"):
        pack("sat-1", LAUNCH, [(sample, pixels), (sample, pixels)])
    with pytest.raises(Untrusted, match="sample_id"):
        pack("sat-2", LAUNCH, [(sample, pixels)])


def test_the_name_of_a_tile_depends_on_everything_that_makes_it_one() -> None:
    window = Window(x0=0, y0=0, width=416, height=416)
    names = {
        sample_id("sat-1", "a.png", window, b"x"),
        sample_id("sat-2", "a.png", window, b"x"),
        sample_id("sat-1", "b.png", window, b"x"),
        sample_id("sat-1", "a.png", replace(window, x0=1), b"x"),
        sample_id("sat-1", "a.png", window, b"y"),
    }
    assert len(names) == 5
    assert sample_id("sat-1", "a.png", window, b"x") in names


def test_a_stored_description_gives_the_sample_back() -> None:
    sample, pixels = a_sample(7)
    assert same(sample_from(entry_of("sat-1", sample, pixels)), sample)
    with pytest.raises(BadInput, match="damaged"):
        sample_from(b"{}")


@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.floats(0, 10), st.integers(0, 30)), max_size=12),
    st.integers(0, 40_000),
)
@settings(max_examples=60, deadline=None)
def test_a_filled_bundle_never_exceeds_its_budget(sizes: list[tuple[int, float, int]], budget: int) -> None:
    items = {}
    for number, (size, value, found) in enumerate(sizes):
        sample, pixels = a_sample(number, size=size, value=value, found=found)
        items[sample.id] = sample, pixels
    prices = {name: cost(entry_of("sat-1", *item), item[0].size) for name, item in items.items()}
    ranked = sorted(items, key=lambda name: rank(name, items[name][0].value, prices[name]))
    chosen = fill([(name, prices[name]) for name in ranked], Bytes(budget), Limits())
    if chosen:
        assert len(pack("sat-1", LAUNCH, [items[name] for name in chosen])) <= budget


def test_the_most_value_per_byte_goes_first_and_what_fits_behind_it_is_added() -> None:
    ranked = [(Digest("dense"), Bytes(3_000)), (Digest("large"), Bytes(9_000)), (Digest("small"), Bytes(1_000))]
    assert fill(ranked, Bytes(6_000), Limits()) == ["dense", "small"]


def test_a_bundle_of_wire_version_1_is_still_read() -> None:
    bundle = unpack((GOLDEN / "bundle.olb").read_bytes())
    expected = [a_sample(number, size=120) for number in range(3)]
    assert (bundle.satellite, bundle.created) == ("sat-1", LAUNCH)
    assert bundle.pixels == tuple(pixels for _, pixels in expected)
    assert all(same(before, after) for (before, _), after in zip(expected, bundle.samples, strict=True))


MESSAGES: list[Message] = [
    Hello(satellite="sat-1", flying=DIGEST, clock=LAUNCH, queued_samples=3, queued_bytes=Bytes(360)),
    Welcome.model_validate(
        {"clock": LAUNCH, "offer": {"digest": DIGEST, "size": 5, "base": DIGEST, "result": digest_of(b"next")}}
    ),
    Receipt(bundle=DIGEST, samples=3, stored=LAUNCH),
    UpdateReport(
        satellite="sat-1",
        update=DIGEST,
        outcome=Outcome.ROLLED_BACK,
        reason="worse on board",
        flying=DIGEST,
        canary_before=0.5,
        canary_after=0.25,
        at=LAUNCH,
    ),
    Telemetry(
        satellite="sat-1",
        frames_captured=9,
        frames_processed=8,
        captured_bytes=Bytes(1_000),
        samples_spooled=3,
    ),
]


def test_a_hello_that_says_what_became_of_selection_logics_is_still_read() -> None:
    stored = json.loads((GOLDEN / "hello-with-logic.json").read_bytes())
    found = Hello.model_validate(stored)
    logic = LogicOnBoard(
        flying=DIGEST, flying_version=3, application="ships", refused=digest_of(b"next"), reason="no newer than 3"
    )
    assert (found.selection, found.logic) == (digest_of(b"next"), logic)
    assert json.loads(found.model_dump_json(exclude_unset=True)) == stored


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_of_wire_version_1_is_still_read(message: Message) -> None:
    stored = json.loads((GOLDEN / f"{type(message).__name__.lower()}.json").read_bytes())
    assert type(message).model_validate_json(json.dumps(stored | {"from_the_future": 1})) == message
