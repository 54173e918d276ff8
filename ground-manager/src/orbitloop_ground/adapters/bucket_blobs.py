"""Blobs in a bucket: an object for each, named by its digest, in Amazon S3 or whatever speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NotYet, Untrusted
from orbitloop.domain.units import Digest

_SCHEME = "s3://"
_PATIENCE = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 2}}
"""In seconds, and how often more. A satellite that is told NotYet asks again while its contact lasts."""
_MARK = "in-use"


class BucketBlobs:
    """The :class:`~orbitloop.ports.sample_store.Blobs` of several machines.

    Who asks is known by the environment (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``), by files or by the machine,
    as all of Amazon's programs have it. Nothing of it is kept here.

    Args:
        url: ``s3://bucket/prefix``. The bucket is made if it is not there.
        endpoint: URL of the service, if it is not Amazon's.

    Raises:
        BadInput: the URL is of no bucket, or the extra is not installed.
        NotYet: the bucket does not answer, or takes nothing from us; by every method too.
    """

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        if not url.startswith(_SCHEME) or url == _SCHEME:
            raise BadInput(f"the setting blobs is {url!r}; write s3://bucket or s3://bucket/prefix")
        self._place = url.removeprefix(_SCHEME).rstrip("/")
        self._endpoint = endpoint
        self._files = _file_system(endpoint)
        self._make_sure()

    def _make_sure(self) -> None:
        """That we may write is found out before a satellite has to wait for it."""
        with self._answering():
            mark = f"{self._place}/{_MARK}"
            try:
                self._files.pipe_file(mark, b"")
            except FileNotFoundError:
                self._files.makedirs(self._place.partition("/")[0], exist_ok=True)
                self._files.pipe_file(mark, b"")

    def put(self, blobs: Mapping[Digest, bytes]) -> None:
        """Store all of ``blobs``, several at a time; the service has each durably once it has answered.

        What is there already is written again: the same bytes under the same name.

        Raises:
            NotYet: the bucket does not answer, or takes no more; some of the blobs may be there.
        """
        if blobs:
            with self._answering():
                self._files.pipe({self._path(digest): data for digest, data in blobs.items()})

    def get(self, digest: Digest) -> bytes:
        """The bytes of ``digest``.

        Raises:
            BadInput: there are none.
            Untrusted: they are not those that were put there.
            NotYet: the bucket does not answer.
        """
        path = self._path(digest)
        with self._answering():
            try:
                data = bytes(self._files.cat_file(path, max_concurrency=1))  # in parts, it would ask for the size first
            except FileNotFoundError:
                raise BadInput(f"no blob {digest} in {_SCHEME}{self._place}") from None
        if digest_of(data) != digest:
            raise Untrusted(f"{_SCHEME}{path} is damaged: it does not match its name; restore it from a backup")
        return data

    def _path(self, digest: Digest) -> str:
        name = hexadecimal(digest)
        return f"{self._place}/{name[:2]}/{name}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        from aiohttp import ClientPayloadError
        from botocore.exceptions import BotoCoreError
        from botocore.parsers import ResponseParserError

        try:
            yield
        except (OSError, BotoCoreError, ClientPayloadError, ResponseParserError) as error:
            at = self._endpoint or "Amazon S3"
            raise NotYet(
                f"{_SCHEME}{self._place} at {at} does not do as it is asked ({type(error).__name__}: {error}); "
                "see that it is up, and that the keys in the environment are its"
            ) from error


def _file_system(endpoint: str | None) -> Any:
    try:
        from s3fs import S3FileSystem
    except ImportError as error:
        raise BadInput("the setting blobs names a bucket; install orbitloop-ground[s3] for it") from error
    return S3FileSystem(
        endpoint_url=endpoint, config_kwargs=_PATIENCE, use_listings_cache=False, skip_instance_cache=True
    )
