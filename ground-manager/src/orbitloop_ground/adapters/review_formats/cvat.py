"""CVAT for images 1.1 (https://docs.cvat.ai/docs/other/xml_format): XML, one element a picture, boxes in pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.review_formats.files import as_json, content_of
from orbitloop_ground.usecases.review_files import Marked, Tile, sample_in

REJECTED = "rejected"
"""The tag on a picture from which nothing is to be learned."""
LATER = "later"
"""The tag on a picture that nobody has decided on."""
_OTHER_SHAPES = ("cuboid", "ellipse", "mask", "points", "polygon", "polyline", "skeleton")
_SIDES = ("xtl", "ytl", "xbr", "ybr")


class CvatFormat:
    """Every picture in the file is decided by its boxes when it comes back, but for those with a tag."""

    suffix = ".xml"

    def write(self, tiles: Sequence[Tile], classes: Sequence[str]) -> Mapping[str, bytes]:
        """``annotations.xml``, and ``labels.json`` for the task's raw labels."""
        attributes = [
            {"name": name, "input_type": "text", "mutable": False, "values": [""]}
            for name in ("confidence", "doubtful")
        ]
        labels = [{"name": name, "type": "rectangle", "attributes": attributes} for name in classes]
        labels += [{"name": name, "type": "tag", "attributes": []} for name in (REJECTED, LATER)]
        root = Element("annotations")
        SubElement(root, "version").text = "1.1"
        for number, tile in enumerate(tiles):
            _picture(root, number, tile)
        indent(root)
        return {
            "annotations.xml": tostring(root, encoding="utf-8", xml_declaration=True),
            "labels.json": as_json(labels),
        }

    def read(self, path: Path) -> list[Marked]:
        """See :class:`~orbitloop_ground.usecases.review_files.ReviewFormat`; no DTD, no entities."""
        try:
            root = fromstring(content_of(path), forbid_dtd=True)
        except DefusedXmlException as error:
            raise BadInput(f"{path}: has a DTD or entities, which CVAT never writes; refused") from error
        except (ParseError, ValueError, LookupError) as error:
            raise BadInput(f"{path}: no XML ({error}); export the task as CVAT for images 1.1") from error
        if root.tag != "annotations" or root.find("track") is not None:
            raise BadInput(f"{path}: not of CVAT for images 1.1; export the task in that format")
        read = (_marked(each, f"{path}: image {each.get('name')!r}") for each in root.iter("image"))
        return [one for one in read if one is not None]


def _picture(root: Element, number: int, tile: Tile) -> None:
    window, proposal, truth = tile.review.window, tile.review.proposal, tile.truth
    size = {"width": str(window.width), "height": str(window.height)}
    picture = SubElement(root, "image", {"id": str(number), "name": tile.path.rpartition("/")[2], **size})
    proposed = truth.boxes is proposal.boxes
    for index, (box, label) in enumerate(zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)):
        sides = {name: f"{value:.2f}" for name, value in zip(_SIDES, box, strict=True)}
        kind = {"label": tile.names[label], "source": "auto" if proposed else "manual", "occluded": "0"}
        drawn = SubElement(picture, "box", {**kind, **sides, "z_order": "0"})
        if proposed:
            SubElement(drawn, "attribute", {"name": "confidence"}).text = f"{proposal.confidence[index]:.2f}"
            SubElement(drawn, "attribute", {"name": "doubtful"}).text = "yes" if proposal.doubtful[index] else "no"
    if tile.rejected:
        SubElement(picture, "tag", {"label": REJECTED, "source": "manual"})


def _marked(picture: Element, where: str) -> Marked | None:
    tags = {tag.get("label") for tag in picture.iter("tag")}
    if LATER in tags:
        return None
    if other := next((each.tag for each in picture if each.tag in _OTHER_SHAPES), None):
        raise BadInput(f"{where}: holds a {other}; only boxes can be learned from")
    objects = tuple(_box(each, where) for each in picture.iter("box"))
    return Marked(
        sample=sample_in(picture.get("name"), where),
        where=where,
        size=(_whole(picture, "width", where), _whole(picture, "height", where)),
        objects=None if REJECTED in tags else objects,
    )


def _box(drawn: Element, where: str) -> tuple[tuple[float, float, float, float], str]:
    if _number(drawn, "rotation", where, "0") % 360:
        raise BadInput(f"{where}: a box is turned; only upright ones can be learned from")
    x0, y0, x1, y1 = (_number(drawn, side, where) for side in _SIDES)
    return (x0, y0, x1, y1), drawn.get("label", "")


def _whole(element: Element, name: str, where: str) -> int:
    return int(_number(element, name, where))


def _number(element: Element, name: str, where: str, absent: str = "") -> float:
    text = element.get(name, absent)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"{where}: {name}={text!r} is no number")
    return value
