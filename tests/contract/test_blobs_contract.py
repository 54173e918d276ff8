"""What every store of blobs promises, in a folder, in a bucket and in memory; and what a bucket says when it fails."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from s3fs import S3FileSystem
from tests.pods import free_port

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NotYet, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.ports.sample_store import Blobs
from orbitloop.testing.blobs import MemoryBlobs
from orbitloop_ground.adapters.blobs import FolderBlobs
from orbitloop_ground.adapters.bucket_blobs import BucketBlobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store, a second process's view of it, and what damages a blob in it."""

    blobs: Blobs
    again: Callable[[], Blobs]
    damage: Callable[[Digest], object]


def in_folder(folder: Path) -> Store:
    def damage(digest: Digest) -> None:
        name = hexadecimal(digest)
        (folder / name[:2] / name).write_bytes(b"other")

    return Store(blobs=FolderBlobs(folder), again=lambda: FolderBlobs(folder), damage=damage)


def in_memory() -> Store:
    blobs = MemoryBlobs()
    return Store(blobs=blobs, again=lambda: blobs, damage=lambda digest: blobs.stored.update({digest: b"other"}))


def in_bucket(endpoint: str) -> Store:
    url = f"s3://{a_bucket()}/pixels"

    def damage(digest: Digest) -> None:
        name = hexadecimal(digest)
        S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True).pipe_file(f"{url}/{name[:2]}/{name}", b"other")

    return Store(blobs=BucketBlobs(url, endpoint), again=lambda: BucketBlobs(url, endpoint), damage=damage)


def a_bucket() -> str:
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(params=["folder", "memory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return in_folder(tmp_path)
    return in_memory() if request.param == "memory" else in_bucket(request.getfixturevalue("s3"))


@pytest.mark.parametrize("count", [0, 1, 16, 60])
def test_however_many_are_put_at_once_each_is_there_under_its_digest(store: Store, count: int) -> None:
    given = {digest_of(data): data for data in (str(number).encode() for number in range(count))}
    store.blobs.put(given)
    store.blobs.put(given)
    seen = store.again()
    assert {digest: seen.get(digest) for digest in given} == given


def test_a_blob_that_is_missing_or_damaged_is_told_apart(store: Store) -> None:
    digest = digest_of(b"pixels")
    with pytest.raises(BadInput, match="no blob"):
        store.blobs.get(digest)
    store.blobs.put({digest: b"pixels"})
    assert store.blobs.get(digest) == b"pixels"
    store.damage(digest)
    with pytest.raises(Untrusted, match="damaged"):
        store.blobs.get(digest)


def test_several_may_put_and_get_at_once(store: Store) -> None:
    stores = [store.blobs, store.again(), store.again()]
    given = {digest_of(data): data for data in (bytes([number]) * 1000 for number in range(20))}
    found: list[dict[Digest, bytes]] = []

    def work(blobs: Blobs) -> None:
        blobs.put(given)
        found.append({digest: blobs.get(digest) for digest in given})

    threads = [threading.Thread(target=work, args=(blobs,)) for blobs in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [given] * 3


# ------------------------------------------------------------------------------------------------------- a bucket's own


def test_gateways_that_make_the_same_bucket_at_once_all_get_it(s3: str) -> None:
    url, opened = f"s3://{a_bucket()}", []
    threads = [threading.Thread(target=lambda: opened.append(BucketBlobs(url, s3))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4


def test_a_service_that_is_not_there_is_a_reason_to_ask_again_and_gives_no_secret_away(s3: str) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotYet, match=f"s3://samples at {endpoint}") as refused:
        BucketBlobs("s3://samples", endpoint)
    assert "a-secret" not in str(refused.value)


def test_a_bucket_that_goes_away_acknowledges_nothing(s3: str) -> None:
    bucket = a_bucket()
    blobs = BucketBlobs(f"s3://{bucket}", s3)
    S3FileSystem(endpoint_url=s3, skip_instance_cache=True).rm(bucket, recursive=True)
    with pytest.raises(NotYet, match="does not do as it is asked"):
        blobs.put({digest_of(b"pixels"): b"pixels"})


@pytest.mark.parametrize("url", ["s3://", "samples", "https://host/samples"])
def test_what_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="write s3://bucket"):
        BucketBlobs(url)
