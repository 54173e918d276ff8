"""One file a sample: its description and its pixels together, checked, so that the folder alone restores the queue.

64 hexadecimal digits  SHA-256 of all behind the first line's end
newline
entry                  JSON in one line, see :func:`orbitloop.wire.bundle.entry_of`
newline
pixels                 as encoded
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbitloop.adapters.durable import discard_unfinished, sync_folder, write_durably
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import Refused, Untrusted
from orbitloop.domain.samples import Sample
from orbitloop.domain.units import Bytes, Digest
from orbitloop.wire.bundle import cost, entry_of, sample_from

_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """A sample as it lies on disk; ``cost`` is the most bytes that it adds to a bundle."""

    sample: Sample
    pixels: bytes
    cost: Bytes


class SampleFiles:
    """The samples' folder; whoever writes there holds the spool's lock.

    Args:
        folder: made if it is not there.
        satellite: whose samples these are.
    """

    def __init__(self, folder: Path, satellite: str) -> None:
        self._folder = folder
        self._satellite = satellite
        folder.mkdir(parents=True, exist_ok=True)
        discard_unfinished(folder)

    def write(self, name: Digest, entry: bytes, pixels: bytes) -> None:
        """Keep a sample durably. Raises ``NoSpace``."""
        body = entry + b"\n" + pixels
        write_durably(self._path(name), hexadecimal(digest_of(body)).encode() + b"\n" + body)

    def read(self, name: Digest) -> Stored | None:
        """A sample, or ``None`` if its file is gone or the disk has damaged it."""
        path = self._path(name)
        data = path.read_bytes() if path.exists() else b""
        first, body = data[:_DIGITS], data[_DIGITS + 1 :]
        if hexadecimal(digest_of(body)).encode() != first:
            return None
        entry, _, pixels = body.partition(b"\n")
        try:
            sample = sample_from(entry)
            checked = entry_of(self._satellite, sample, pixels)
        except Refused:
            return None  # whole, but written for another satellite or by a version that this one cannot read
        return Stored(sample=sample, pixels=pixels, cost=cost(checked, sample.size)) if sample.id == name else None

    def remove(self, name: Digest) -> None:
        """Forget a sample. Idempotent."""
        self._path(name).unlink(missing_ok=True)

    def names(self) -> set[Digest]:
        """All samples here; what is no sample's file is removed."""
        found: set[Digest] = set()
        for path in self._folder.iterdir():
            name = named(path)
            if name is None:
                path.unlink()
            else:
                found.add(name)
        return found

    def sync(self) -> None:
        """Make removals durable."""
        sync_folder(self._folder)

    def _path(self, name: Digest) -> Path:
        return self._folder / hexadecimal(name)


class BundleFiles:
    """The sealed bundles' folder, each under its digest.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        discard_unfinished(folder)

    def write(self, digest: Digest, data: bytes) -> None:
        """Keep a bundle durably. Raises ``NoSpace``."""
        write_durably(self._path(digest), data)

    def read(self, digest: Digest) -> bytes:
        """A bundle.

        Raises:
            Untrusted: the disk has lost or damaged it.
        """
        path = self._path(digest)
        data = path.read_bytes() if path.exists() else b""
        if digest_of(data) != digest:
            raise Untrusted(f"{path}: not the bytes that were sealed as {digest}; seal its samples afresh")
        return data

    def remove(self, digest: Digest) -> None:
        """Forget a bundle. Idempotent."""
        self._path(digest).unlink(missing_ok=True)

    def names(self) -> list[Digest]:
        """All bundles here, the oldest first; what is no bundle's file is removed."""
        found: list[tuple[int, Digest]] = []
        for path in self._folder.iterdir():
            name = named(path)
            if name is None:
                path.unlink()
            else:
                found.append((path.stat().st_mtime_ns, name))
        return [name for _, name in sorted(found)]

    def _path(self, digest: Digest) -> Path:
        return self._folder / hexadecimal(digest)


def named(path: Path) -> Digest | None:
    """The digest that a file is named by, if it is."""
    if len(path.name) != _DIGITS or set(path.name) - set("0123456789abcdef"):
        return None
    return Digest(f"sha256:{path.name}")
