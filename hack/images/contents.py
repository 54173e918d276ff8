"""What really is in an image, by its own records: Debian's of packages, Python's of distributions."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from enum import Enum
from typing import IO


class Kind(Enum):
    """Who keeps the record; the value is the type of a package URL."""

    DEBIAN = "deb"
    PYTHON = "pypi"
    INTERPRETER = "generic"
    """Python itself, where it was not installed from a package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One package.

    Args:
        name, version: as recorded.
        kind: who recorded it.
        licence: as recorded, most often an SPDX expression; empty where the record says nothing.
        architecture: of a Debian package.
    """

    name: str
    version: str
    kind: Kind
    licence: str = ""
    architecture: str = ""


def parts(files: IO[bytes]) -> list[Part]:
    """The parts of an image, each once, ordered by kind and name.

    Args:
        files: all of its files, a tar archive, as ``docker export`` writes it.
    """
    found: set[Part] = set()
    with tarfile.open(fileobj=files, mode="r|") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isfile() and (reader := _reader(name)):
                opened = archive.extractfile(member)
                assert opened is not None
                found.update(reader(opened.read().decode(errors="replace")))
    return sorted(found, key=lambda part: (part.kind.value, part.name, part.version))


def _reader(name: str) -> Callable[[str], Iterator[Part]] | None:
    if name == "var/lib/dpkg/status":
        return _debian
    if re.search(r"/[^/]+\.dist-info/METADATA$", name):
        return _python
    if re.fullmatch(r"usr/local/include/python3\.\d+/patchlevel\.h", name):
        return _interpreter
    return None


def _debian(status: str) -> Iterator[Part]:
    for stanza in status.split("\n\n"):
        fields = HeaderParser().parsestr(stanza)
        if fields["Status"] == "install ok installed":
            yield Part(
                name=fields["Package"],
                version=fields["Version"],
                kind=Kind.DEBIAN,
                architecture=fields["Architecture"],
            )


def _python(metadata: str) -> Iterator[Part]:
    fields = HeaderParser().parsestr(metadata)
    licence = fields["License-Expression"] or fields["License"] or ""
    # Some write the whole text of their licence where its name belongs.
    short = "" if "\n" in licence else licence.strip()
    yield Part(name=fields["Name"], version=fields["Version"], kind=Kind.PYTHON, licence=short)


def _interpreter(header: str) -> Iterator[Part]:
    if version := re.search(r'#define PY_VERSION\s+"([^"]+)"', header):
        yield Part(name="python", version=version[1], kind=Kind.INTERPRETER, licence="Python-2.0")
