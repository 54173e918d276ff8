"""Bills of materials: read from an image's own records, valid by CycloneDX's schema."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hack.images.contents import Kind, Part, parts
from hack.images.sbom import Subject, bill

_STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u14
Description: GNU C Library
 Contains the standard libraries.

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
_SUBJECT = Subject(
    name="ghcr.io/orbitloop/orbitloop-edge",
    tag="0.1.0",
    digest="sha256:" + "ab" * 32,
    made=datetime(2026, 3, 1, tzinfo=UTC),
)


def image(**files: str) -> io.BytesIO:
    """An image's files as an archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    stream.seek(0)
    return stream


def distribution(name: str, licence: str = "") -> dict[str, str]:
    text = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.2\n{licence}\n\nName: not a field\n"
    return {f"opt/orbitloop/lib/python3.11/site-packages/{name}-1.2.dist-info/METADATA": text}


def found(files: dict[str, str]) -> list[Part]:
    return parts(image(**files))


def test_debians_record_is_read_without_what_was_removed() -> None:
    [part] = found({"var/lib/dpkg/status": _STATUS, "etc/motd": "Package: none"})
    assert part == Part(name="libc6", version="2.36-9+deb12u14", kind=Kind.DEBIAN, architecture="amd64")


@pytest.mark.parametrize(
    ("line", "licence"),
    [
        ("", ""),
        ("License-Expression: Apache-2.0 OR MIT", "Apache-2.0 OR MIT"),
        ("License: BSD", "BSD"),
        ("License: Copyright (c)\n  All rights\n  reserved.", ""),
    ],
)
def test_pythons_record_is_read_with_the_licence_it_names(line: str, licence: str) -> None:
    assert found(distribution("some", line)) == [Part(name="some", version="1.2", kind=Kind.PYTHON, licence=licence)]


def test_a_python_that_no_package_brought_is_a_part_too() -> None:
    header = '/* Version as a string */\n#define PY_VERSION      \t"3.11.14"\n'
    [part] = found({"usr/local/include/python3.11/patchlevel.h": header})
    assert (part.name, part.version, part.kind) == ("python", "3.11.14", Kind.INTERPRETER)


def test_a_part_that_two_layers_hold_is_listed_once() -> None:
    elsewhere = "usr/lib/python3/dist-packages/some-1.2.dist-info/METADATA"
    assert len(found(distribution("some") | {elsewhere: "Name: some\nVersion: 1.2\n"})) == 1


def test_a_bill_is_valid_by_the_schema_and_names_every_part() -> None:
    python = distribution("b", "License: Own words") | distribution("a", "License-Expression: MIT")
    text = bill(_SUBJECT, found({"var/lib/dpkg/status": _STATUS} | python))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    said = json.loads(text)
    assert said["metadata"]["component"]["name"] == "ghcr.io/orbitloop/orbitloop-edge"
    assert {component["purl"] for component in said["components"]} == {
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian",
        "pkg:pypi/a@1.2",
        "pkg:pypi/b@1.2",
    }


def test_the_same_image_has_the_same_bill() -> None:
    listed = found(distribution("a"))
    assert bill(_SUBJECT, listed) == bill(_SUBJECT, listed)
