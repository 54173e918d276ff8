"""A gateway whose ledger and pixels are elsewhere, in PostgreSQL and in a bucket: the same promises to a satellite."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3fs import S3FileSystem
from tests.postgresql import PostgreSQL

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import NotYet
from orbitloop.domain.units import Bytes
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import pack
from orbitloop_ground.app import Dependencies, compose, dataset_folder, exported_datasets
from orbitloop_ground.settings import GroundSettings

SAMPLES = [a_sample(number, size=200) for number in range(12)]
BUNDLE = pack("sat-1", LAUNCH, SAMPLES)


@pytest.fixture
def settings(tmp_path: Path, keys: Path, postgresql: PostgreSQL, s3: str) -> GroundSettings:
    return GroundSettings(
        folder=tmp_path / "ground",
        keys=keys / "ground",
        database=postgresql.database(),
        blobs=f"s3://test-{secrets.token_hex(6)}/pixels",
        blobs_endpoint=s3,
    )


@pytest.fixture
def gateways(settings: GroundSettings) -> Iterator[list[Dependencies]]:
    opened = [compose(settings, VirtualClock(LAUNCH)) for _ in range(2)]
    yield opened
    for parts in opened:
        parts.ledger.close()


def arrives(parts: Dependencies) -> None:
    digest = digest_of(BUNDLE)
    parts.receiver.write(parts.receiver.begin("sat-1", digest, Bytes(len(BUNDLE))), 0, BUNDLE)


def test_what_one_gateway_took_another_knows_and_exports(
    settings: GroundSettings, gateways: list[Dependencies], tmp_path: Path
) -> None:
    first, second = gateways
    arrives(first)
    receipt = first.receiver.receipt("sat-1", digest_of(BUNDLE))
    assert receipt is not None
    assert second.receiver.receipt("sat-1", digest_of(BUNDLE)) == receipt
    assert [second.blobs.get(item.blob) for item in second.ledger.waiting()] == [pixels for _, pixels in SAMPLES]

    [export] = exported_datasets(settings, "sat-1", dataset_folder(tmp_path / "data", "index.txt"), None)
    images = [tmp_path / "data" / line.split()[0] for line in Path(export.path).read_text().splitlines()]
    assert 0 < len(images) <= len(SAMPLES)
    assert {image.read_bytes() for image in images} <= {pixels for _, pixels in SAMPLES}
    assert not (settings.folder / "blobs").exists()
    assert not list(settings.folder.glob("ledger*"))


def test_there_is_no_receipt_before_the_pixels_are_in_the_bucket(
    settings: GroundSettings, gateways: list[Dependencies], s3: str
) -> None:
    bucket = (settings.blobs or "").split("/")[2]
    files = S3FileSystem(endpoint_url=s3, skip_instance_cache=True)
    files.rm(bucket, recursive=True)
    parts = gateways[0]
    arrives(parts)
    with pytest.raises(NotYet, match=bucket):
        parts.receiver.receipt("sat-1", digest_of(BUNDLE))
    assert parts.ledger.entered("sat-1", digest_of(BUNDLE)) is None

    files.mkdir(bucket)
    receipt = parts.receiver.receipt("sat-1", digest_of(BUNDLE))
    assert receipt is not None
    assert receipt.samples == len(SAMPLES)
    assert parts.blobs.get(digest_of(SAMPLES[0][1])) == SAMPLES[0][1]
