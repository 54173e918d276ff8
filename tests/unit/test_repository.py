"""What lies in the repository is what it claims to be: the bundled data and the links between documents."""

import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
AIRBUS = ROOT / "examples" / "data" / "airbus-aircraft"
SHIPS = ROOT / "examples" / "data" / "sen2ships"
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1[ \t]*$", flags=re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:", flags=re.IGNORECASE)

pytestmark = pytest.mark.verify


def documents() -> list[Path]:
    """Every Markdown file of the repository, without what tools have put beside it."""
    folders = [
        path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name != "build"
    ]
    return sorted([*ROOT.glob("*.md"), *(page for folder in folders for page in folder.rglob("*.md"))])


def prose(path: Path) -> str:
    """A document without its code."""
    return CODE.sub("", FENCE.sub("", path.read_text()))


def anchors(path: Path) -> set[str]:
    """The anchors that a Markdown viewer makes of a document's headings."""
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", path.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    """Links of a document that lead nowhere inside the repository."""
    broken = []
    for link in LINK.findall(prose(path)):
        if OUTSIDE.match(link):
            continue
        place, _, anchor = unquote(link).partition("#")
        target = (path.parent / place).resolve() if place else path
        found = target.exists() and target.is_relative_to(ROOT)
        if not found or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading\n[no](missing.md) [yes](https://example.org) `[code](is-not-a-link.md)` [here](#gone)\n"
    )
    assert broken_links(page) == ["missing.md", "#gone"]


@pytest.fixture(scope="module")
def airbus() -> dict[str, Any]:
    """The bundled annotations."""
    read: dict[str, Any] = json.loads((AIRBUS / "annotations.json").read_text())
    return read


def test_bundled_images_match_their_digests(airbus: dict[str, Any]) -> None:
    differ = [
        entry["file_name"]
        for entry in airbus["images"]
        if hashlib.sha256((AIRBUS / entry["file_name"]).read_bytes()).hexdigest() != entry["sha256"]
    ]
    assert differ == []


def test_bundled_images_are_exactly_those_listed(airbus: dict[str, Any]) -> None:
    listed = {entry["file_name"] for entry in airbus["images"]}
    assert listed == {path.relative_to(AIRBUS).as_posix() for path in (AIRBUS / "images").iterdir()}


def test_bundled_images_have_the_size_they_claim(airbus: dict[str, Any]) -> None:
    for entry in airbus["images"]:
        with Image.open(AIRBUS / entry["file_name"]) as image:
            assert image.size == (entry["width"], entry["height"]), entry["file_name"]


def test_bundled_boxes_lie_inside_their_images(airbus: dict[str, Any]) -> None:
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in airbus["images"]}
    for annotation in airbus["annotations"]:
        x, y, width, height = annotation["bbox"]
        right, bottom = sizes[annotation["image_id"]]
        assert 0 <= x < x + width <= right, annotation
        assert 0 <= y < y + height <= bottom, annotation


def test_bundled_scenes_of_ships_are_what_they_are_said_to_be() -> None:
    scenes = json.loads((SHIPS / "annotations.json").read_text())
    for entry in scenes["images"]:
        assert hashlib.sha256((SHIPS / entry["file_name"]).read_bytes()).hexdigest() == entry["sha256"]
        with Image.open(SHIPS / entry["file_name"]) as image:
            assert image.size == (entry["width"], entry["height"]), entry["file_name"]
    listed = {entry[key] for entry in scenes["images"] for key in ("file_name", "nir_file") if entry[key]}
    assert listed == {path.relative_to(SHIPS).as_posix() for path in SHIPS.glob("*/*")}
    assert len(scenes["annotations"]) == 312
    assert len({entry["port"] for entry in scenes["images"]}) == len(scenes["images"])


def test_no_site_is_in_two_splits(airbus: dict[str, Any]) -> None:
    seen = sorted({(entry["site"], entry["split"]) for entry in airbus["images"]})
    assert [site for (site, _), (following, _) in pairwise(seen) if site == following] == []
