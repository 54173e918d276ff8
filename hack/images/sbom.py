"""Bills of materials: what is in an image, as CycloneDX, which scanners of vulnerabilities and licences read."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from hack.images import docker as engine
from hack.images.contents import Kind, Part, parts
from hack.images.definitions import Image
from hack.images.docker import Failed
from packageurl import PackageURL


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a bill is of.

    Args:
        name, tag: of the image, its registry included.
        digest: its id in the engine, ``sha256:…``.
        made: when.
    """

    name: str
    tag: str
    digest: str
    made: datetime


def write(docker: str, image: Image, folder: Path) -> tuple[Path, int]:
    """Write ``folder/<target>.cdx.json``; its path, and how many parts it lists. Raises :class:`Failed`."""
    found = engine.inspect(docker, image.name)
    if found is None:
        raise Failed(f"there is no {image.name}; build it first: make images")
    name, _, tag = image.name.rpartition(":")
    made = datetime.fromisoformat(found["Created"])
    with engine.exported(docker, image.name) as files:
        listed = parts(files)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{image.target}.cdx.json"
    scratch = path.with_suffix(".new")
    scratch.write_text(bill(Subject(name=name, tag=tag, digest=found["Id"], made=made), listed))
    scratch.replace(path)
    return path, len(listed)


def bill(subject: Subject, listed: Iterable[Part]) -> str:
    """The bill, as CycloneDX 1.6 in JSON; the same for the same image."""
    whole = Component(
        name=subject.name,
        version=subject.tag,
        type=ComponentType.CONTAINER,
        bom_ref=subject.digest,
        purl=_of_image(subject),
    )
    components = [_component(part) for part in listed]
    made = Bom(components=components, serial_number=uuid.uuid5(uuid.NAMESPACE_URL, subject.digest))
    made.metadata.timestamp = subject.made
    made.metadata.component = whole
    made.register_dependency(whole, components)
    return str(JsonV1Dot6(made).output_as_string(indent=1))


def _of_image(subject: Subject) -> PackageURL:
    return PackageURL(type="oci", name=subject.name.rpartition("/")[2], version=subject.digest)


def _component(part: Part) -> Component:
    namespace = "debian" if part.kind is Kind.DEBIAN else None
    qualifiers = {"arch": part.architecture, "distro": "debian"} if part.kind is Kind.DEBIAN else None
    purl = PackageURL(part.kind.value, namespace, part.name, part.version, qualifiers)
    licence = LicenseFactory().make_from_string(part.licence) if part.licence else None
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[licence] if licence else [],
    )
