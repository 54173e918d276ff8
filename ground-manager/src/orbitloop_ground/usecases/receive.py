"""Taking in bundles: from bytes that arrive in pieces to samples that the ground holds durably."""

from __future__ import annotations

import logging

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet, Refused, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.ports.sample_store import Arrival, ArrivalLedger, Blobs
from orbitloop.ports.uploads import Upload, Uploads
from orbitloop.wire.bundle import Bundle, Limits, entry_of, unpack
from orbitloop.wire.messages import Receipt

_log = logging.getLogger(__name__)


class Corrupted(Untrusted):
    """The bytes that arrived are not those that were announced; the satellite still has them and sends them again."""


class Receiver:
    """Bundles of all satellites, from announcement to receipt, whichever layer and gateway carries them.

    Args:
        limits: what a bundle may hold.
    """

    def __init__(self, uploads: Uploads, blobs: Blobs, ledger: ArrivalLedger, clock: Clock, limits: Limits) -> None:
        self._uploads = uploads
        self._blobs = blobs
        self._ledger = ledger
        self._clock = clock
        self._limits = limits

    @property
    def largest(self) -> Bytes:
        """Length of the largest bundle that is taken."""
        return self._limits.packed

    def begin(self, satellite: str, digest: Digest, size: Bytes) -> Upload:
        """An announced bundle, and how much of it is here: all, if it was received before.

        Raises:
            BadInput: it was announced with another size, or is too large.
            NotYet: the satellite has too many unfinished ones.
            NoSpace: the disk is full.
        """
        if size > self._limits.packed:
            raise BadInput(f"bundle {digest} of {size} bytes exceeds the limit of {self._limits.packed}")
        known = self.standing(satellite, digest)
        if known is None:
            return self._uploads.open(satellite, digest, size)
        if known.size != size:
            raise BadInput(f"bundle {digest} of {satellite} was announced with {known.size} bytes before, now {size}")
        return known

    def standing(self, satellite: str, digest: Digest) -> Upload | None:
        """How much of an announced bundle is here, durably."""
        if (entered := self._ledger.entered(satellite, digest)) is not None:
            return Upload(satellite=satellite, digest=digest, size=entered.size, held=Spans.up_to(entered.size))
        return self._uploads.find(satellite, digest)

    def write(self, upload: Upload, start: int, data: bytes) -> Upload:
        """Keep ``data`` at ``start``. Raises ``NoSpace`` or, for bytes behind the announced size, ``BadInput``."""
        return self._uploads.write(upload, start, data)

    def withdraw(self, upload: Upload) -> None:
        """The satellite gives an unfinished bundle up."""
        self._uploads.discard(upload)

    def receipt(self, satellite: str, digest: Digest) -> Receipt | None:
        """The receipt of a bundle, if every byte of it is here; what a crash left unfinished is finished first.

        Raises:
            Refused: the bundle is bad, and was discarded.
            NoSpace: the disk is full; the bundle is kept.
        """
        if (entered := self._ledger.entered(satellite, digest)) is not None:
            return entered.receipt
        upload = self._uploads.find(satellite, digest)
        if upload is None or not upload.complete:
            return None
        try:
            return self._finish(upload)
        except NotYet:
            # The other layer, or another gateway, may have finished it in this moment and taken the file away.
            if (entered := self._ledger.entered(satellite, digest)) is not None:
                return entered.receipt
            raise

    def _finish(self, upload: Upload) -> Receipt:
        try:
            bundle = self._checked(upload)
        except Refused as error:
            self._uploads.discard(upload)
            _log.warning(
                "bundle_refused", extra={"satellite": upload.satellite, "bundle": upload.digest, "why": str(error)}
            )
            raise
        entries = tuple(entry_of(bundle.satellite, sample, pixels) for sample, pixels in bundle)
        self._blobs.put({digest_of(pixels): pixels for pixels in bundle.pixels})
        arrival = Arrival(
            bundle=upload.digest,
            size=upload.size,
            satellite=upload.satellite,
            at=self._clock.now(),
            entries=entries,
        )
        receipt = self._ledger.enter(arrival)
        self._uploads.discard(upload)
        _log.info(
            "bundle_stored", extra={"satellite": upload.satellite, "bundle": upload.digest, "samples": len(bundle)}
        )
        return receipt

    def _checked(self, upload: Upload) -> Bundle:
        data = self._uploads.content(upload)
        if (actual := digest_of(data)) != upload.digest:
            raise Corrupted(f"bundle {upload.digest} of {upload.satellite} arrived as {actual}; send it again from 0")
        bundle = unpack(data, self._limits)
        if bundle.satellite != upload.satellite:
            raise Untrusted(f"bundle {upload.digest} is of {bundle.satellite!r}, sent by {upload.satellite!r}")
        return bundle
