"""Reviews to a labelling tool and back by the command line: what tools add, and what they get wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from tests.reviewing import BOXES, CLASSES, SIDE, Desk, desk

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.testing.reviews import a_truth
from orbitloop.testing.samples import LAUNCH
from orbitloop_ground.cli import main

TOOLS = ("coco", "cvat", "label-studio")
FILES = {"coco": "annotations.json", "cvat": "annotations.xml", "label-studio": "tasks.json"}
FIXED, NEW = (61.0, 62.0, 131.0, 122.0), (10.0, 20.0, 50.5, 60.25)
Edit = Callable[[Any], object]


@pytest.fixture
def reviews(tmp_path: Path, keys: Path) -> Iterator[Desk]:
    with desk(tmp_path, keys) as made:
        yield made


def told(reviews: Desk, *words: str) -> list[str]:
    settings = reviews.settings
    known = ["--folder", str(settings.folder), "--keys", str(settings.keys), "--classes", *settings.classes]
    return ["reviews", *words, *known]


def exported(reviews: Desk, tool: str, folder: Path, *more: str) -> Path:
    assert main(told(reviews, "export", "--format", tool, "--to", str(folder), *more)) == 0
    return folder / FILES[tool]


def imported(reviews: Desk, tool: str, path: Path, *more: str) -> int:
    return main(told(reviews, "import", "--format", tool, "--from", str(path), "--who", "ana", *more))


def stored(reviews: Desk) -> list[list[list[float]] | str | None]:
    """What stands for each tile: its objects, ``None`` where it was rejected, ``waits``."""
    found: list[list[list[float]] | str | None] = []
    for review in reviews.parts.ledger.reviews():
        if review.verdict is None:
            found.append("waits")
        elif (truth := review.verdict.truth) is None:
            found.append(None)
        else:
            rows = zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)
            found.append([[*(round(side, 1) for side in box), label] for box, label in rows])
    return found


# ----------------------------------------------------------------------------------------- people at work, by tool
# The first tile: its first box fixed, its second deleted, a helicopter drawn. The second: rejected. The third: later.


def work_in_coco(path: Path) -> None:
    document = json.loads(path.read_text())
    assert [entry["name"] for entry in document["categories"]] == list(CLASSES)
    # Other tools number anew, add categories of their own, and say more than they were asked.
    document["categories"] = [
        {"id": 0, "name": "objects", "supercategory": "none"},
        {"id": 1, "name": "helicopter", "supercategory": "objects"},
        {"id": 2, "name": "airplane", "supercategory": "objects"},
    ]
    first, second, third = document["images"]
    first["file_name"] = f"train/{Path(first['file_name']).stem}_png.rf.0123456789abcdef0123456789abcdef.jpg"
    second |= {"rejected": True, "license": 1, "date_captured": "2026-11-01"}
    document["images"] = [first, second]
    kept = [entry for entry in document["annotations"] if entry["image_id"] != third["id"]]
    for entry in kept:
        entry |= {"category_id": 2, "segmentation": [], "keypoints": None}
    kept[0]["bbox"] = [FIXED[0], FIXED[1], FIXED[2] - FIXED[0], FIXED[3] - FIXED[1]]
    kept[1] |= {"category_id": 1, "bbox": [NEW[0], NEW[1], NEW[2] - NEW[0], NEW[3] - NEW[1]]}
    document |= {"annotations": kept, "info": {"year": "2026"}, "licenses": []}
    path.write_text(json.dumps(document))


def work_in_cvat(path: Path) -> None:
    root = ElementTree.parse(path).getroot()
    meta = ElementTree.fromstring("<meta><task><name>tiles</name><labels/></task><dumped>2026-11-01</dumped></meta>")
    root.insert(1, meta)
    first, second, third = root.iter("image")
    first.set("name", f"upload/{first.get('name')}")
    fixed, deleted = first.findall("box")
    for name, value in zip(("xtl", "ytl", "xbr", "ybr"), FIXED, strict=True):
        fixed.set(name, f"{value:.2f}")
    fixed.set("rotation", "0.00")
    first.remove(deleted)
    sides = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{value:.2f}" for value in NEW), strict=True))
    ElementTree.SubElement(first, "box", {"label": "helicopter", "source": "manual", "occluded": "1", **sides})
    for tile, tag in ((second, "rejected"), (third, "later")):
        ElementTree.SubElement(tile, "tag", {"label": tag, "source": "manual"})
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def work_in_label_studio(path: Path) -> None:
    first, second, third = tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks, start=1):
        task |= {"id": number, "project": 3, "meta": {}, "file_upload": None, "total_annotations": 1}
        del task["data"]["frame"]
        assert len(task["predictions"][0]["result"]) == 2
    del first["data"]["sample"]
    first["data"]["image"] = f"/data/upload/3/1a2b3c4d-{Path(first['data']['image']).name}"

    def drawn(box: tuple[float, ...], name: str) -> dict[str, Any]:
        x0, y0, x1, y1 = (100 * side / SIDE for side in box)
        value = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0, "rectanglelabels": [name]}
        size = {"original_width": SIDE, "original_height": SIDE, "image_rotation": 0}
        return {"id": "x", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value, **size}

    older = {"id": 7, "result": [], "was_cancelled": True, "updated_at": "2026-11-01T10:00:00Z", "completed_by": 1}
    newer = {
        "id": 3,
        "was_cancelled": False,
        "updated_at": "2026-11-01T11:00:00Z",
        "lead_time": 4.2,
        "ground_truth": False,
    }
    comment = {"type": "textarea", "from_name": "note", "to_name": "image", "value": {"text": ["a glider?"]}}
    newer["result"] = [drawn(FIXED, "airplane"), drawn(NEW, "helicopter"), comment]
    first["annotations"] = [newer, older]
    second["annotations"] = [{"id": 8, "result": [], "was_cancelled": True}]
    third["annotations"] = []
    path.write_text(json.dumps(tasks))


WORK = {"coco": work_in_coco, "cvat": work_in_cvat, "label-studio": work_in_label_studio}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_people_make_of_tiles_in_a_tool_comes_back(
    reviews: Desk, tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(reviews, tool, tmp_path / "out", "--json")
    assert json.loads(capsys.readouterr().out) == {"tiles": 3, "left_out": 0, "folder": str(tmp_path / "out")}
    for name in reviews.samples:
        with Image.open(tmp_path / "out" / "images" / f"{hexadecimal(name)}.png") as picture:
            assert (picture.format, picture.size) == ("PNG", (SIDE, SIDE))
    WORK[tool](path)
    assert imported(reviews, tool, tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"verdicts": 2, "news": 2, "rejected": 1, "boxes": 2}
    assert stored(reviews) == [[[*FIXED, 0], [10.0, 20.0, 50.5, 60.2, 1]], None, "waits"]
    found = reviews.parts.ledger.review(reviews.samples[0])
    assert found is not None
    assert found.verdict is not None
    assert found.verdict.who == "ana"
    assert imported(reviews, tool, path) == 0, "the same again"
    assert "tiles decided: 2, news: 0" in capsys.readouterr().out


@pytest.mark.parametrize("tool", TOOLS)
def test_what_was_decided_goes_out_as_decided_and_comes_back_the_same(
    reviews: Desk, tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = reviews.parts.ledger
    ledger.decide(reviews.samples[0], a_truth((1.234, 2.345, 30.456, 40.567, 1)), "ben", LAUNCH)
    ledger.decide(reviews.samples[1], None, "ben", LAUNCH)
    before = stored(reviews)
    path = exported(reviews, tool, tmp_path / "out", "--state", "decided")
    assert imported(reviews, tool, path) == 0
    assert "tiles decided: 2, news: 0, rejected: 1; boxes: 1" in capsys.readouterr().out
    assert stored(reviews) == before


@pytest.mark.parametrize("tool", TOOLS)
def test_an_older_file_does_not_undo_what_was_decided_since_unless_it_is_told_to(
    reviews: Desk, tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(reviews, tool, tmp_path / "out")
    WORK[tool](path)
    reviews.parts.ledger.decide(reviews.samples[1], a_truth(), "ben", LAUNCH)
    assert imported(reviews, tool, path) == 1
    error = capsys.readouterr().err
    assert "ben has decided otherwise since" in error
    assert "--replace" in error
    assert stored(reviews) == ["waits", [], "waits"], "nothing half imported"
    assert imported(reviews, tool, path, "--replace") == 0
    assert stored(reviews)[1] is None


# --------------------------------------------------------------------------------------------------- what is wrong


def in_json(edit: Edit) -> Callable[[Path], None]:
    def edited(path: Path) -> None:
        document = json.loads(path.read_text())
        changed = edit(document)
        path.write_text(json.dumps(document if changed is None else changed))

    return edited


def in_xml(old: str, new: str) -> Callable[[Path], None]:
    def edited(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edited


def studio_box(**changes: Any) -> Callable[[Path], None]:
    def edit(tasks: Any) -> None:
        for task in tasks:
            task["annotations"] = [{"result": task["predictions"][0]["result"], "was_cancelled": False}]
        result = tasks[1]["annotations"][0]["result"][0]
        value = {name: changes.pop(name) for name in list(changes) if name in result["value"]}
        result["value"] |= value
        result |= changes

    return in_json(edit)


STRANGER = hexadecimal(digest_of(b"nobody's"))
WRONG: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("coco", "no JSON", lambda path: path.write_text("{"), "not JSON"),
    ("coco", "another format", in_json(lambda d: [d]), "COCO needs the lists"),
    (
        "coco",
        "an unknown sample",
        in_json(lambda d: d["images"][2].update(file_name=f"{STRANGER}.png")),
        "review queue",
    ),
    ("coco", "no sample", in_json(lambda d: d["images"][2].update(file_name="IMG_0001.png")), "names no sample"),
    ("coco", "twice", in_json(lambda d: d["images"][2].update(file_name=d["images"][1]["file_name"])), "occurs twice"),
    ("coco", "resized", in_json(lambda d: d["images"][1].update(width=640, height=640)), "640x640 pixels"),
    ("coco", "outside", in_json(lambda d: d["annotations"][3].update(bbox=[400, 0, 60, 20])), "leaves the image"),
    ("coco", "no area", in_json(lambda d: d["annotations"][3].update(bbox=[4, 4, 0, 5])), "has no area"),
    ("coco", "another class", in_json(lambda d: d["categories"][0].update(name="ship")), "class 'ship' is unknown"),
    ("cvat", "no XML", lambda path: path.write_text("<annotations>"), "no XML"),
    ("cvat", "empty", lambda path: path.write_bytes(b""), "no XML"),
    ("cvat", "an unknown encoding", lambda path: path.write_text("<?xml version='1.0' encoding='x'?><a/>"), "no XML"),
    ("cvat", "another format", lambda path: path.write_text("<annotation><object/></annotation>"), "not of CVAT"),
    ("cvat", "a video", in_xml("<image", "<track/><image"), "not of CVAT for images"),
    (
        "cvat",
        "entities",
        in_xml("<annotations>", '<!DOCTYPE a [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]><annotations>'),
        "has a DTD or entities",
    ),
    (
        "cvat",
        "a file of the machine",
        in_xml("<annotations>", '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotations>'),
        "has a DTD or entities",
    ),
    ("cvat", "a polygon", in_xml("<box", '<polygon label="airplane" points="1,1;2,2;3,1"/><box'), "holds a polygon"),
    ("cvat", "outside", in_xml('xbr="300.00"', 'xbr="500.00"'), "leaves its tile"),
    ("cvat", "inside out", in_xml('xbr="300.00"', 'xbr="100.00"'), "x0 < x1"),
    ("cvat", "no number", in_xml('xbr="300.00"', 'xbr="nan"'), "xbr='nan' is no number"),
    ("cvat", "turned", in_xml('source="auto"', 'rotation="12.5" source="auto"'), "is turned"),
    ("cvat", "another class", in_xml('label="airplane"', 'label="ship"'), "class 'ship' is unknown"),
    ("cvat", "resized", in_xml('width="416"', 'width="640"'), "640x416 pixels"),
    ("label-studio", "no JSON", lambda path: path.write_bytes(b"\xff"), "not JSON"),
    ("label-studio", "too deep", lambda path: path.write_text("[" * 100_000), "not JSON"),
    ("label-studio", "JSON-MIN", in_json(lambda d: [{"image": "x.png", "label": []}]), "not as JSON-MIN"),
    ("label-studio", "outside", studio_box(x=99), "leaves its tile"),
    ("label-studio", "another class", studio_box(rectanglelabels=["ship"]), "class 'ship' is unknown"),
    ("label-studio", "two classes", studio_box(rectanglelabels=["airplane", "helicopter"]), "exactly one class"),
    ("label-studio", "turned", studio_box(rotation=30), "is turned"),
    ("label-studio", "no number", studio_box(width="12"), "must be numbers"),
    ("label-studio", "a polygon", studio_box(type="polygonlabels"), "of type 'polygonlabels'"),
    ("label-studio", "without sides", studio_box(original_width=None), "original_width"),
]


@pytest.mark.parametrize(
    ("tool", "edit", "why"), [(t, e, w) for t, _, e, w in WRONG], ids=[f"{t}: {n}" for t, n, _, _ in WRONG]
)
def test_what_is_wrong_in_a_file_is_said_and_nothing_is_imported(
    reviews: Desk,
    tool: str,
    edit: Callable[[Path], object],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = exported(reviews, tool, tmp_path / "out")
    edit(path)
    capsys.readouterr()
    assert imported(reviews, tool, path) == 1
    error = capsys.readouterr().err
    assert why in error
    assert str(path) in error
    assert error.count("\n") == 1
    assert stored(reviews) == ["waits"] * 3


@pytest.mark.parametrize("tool", TOOLS)
def test_the_file_of_another_tool_is_refused(
    reviews: Desk, tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for other in TOOLS:
        if other != tool:
            path = exported(reviews, other, tmp_path / other)
            assert imported(reviews, tool, path) == 1
    assert capsys.readouterr().err.count("\n") == 2
    assert stored(reviews) == ["waits"] * 3


def test_one_of_several_files_has_to_be_named(
    reviews: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(reviews, "label-studio", tmp_path / "out")
    shutil.copy(path, path.with_name("project-1.json"))
    assert imported(reviews, "label-studio", tmp_path / "out") == 1
    assert "project-1.json, tasks.json; name one of them by --from" in capsys.readouterr().err
    assert imported(reviews, "label-studio", tmp_path / "nowhere") == 1
    assert "holds no .json file" in capsys.readouterr().err


def test_a_tile_whose_pixels_are_gone_is_left_out_of_an_export(
    reviews: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = reviews.parts.ledger.sample(reviews.samples[1])
    assert entry is not None
    name = hexadecimal(entry.blob)
    (reviews.settings.folder / "blobs" / name[:2] / name).unlink()
    path = exported(reviews, "coco", tmp_path / "out")
    said = capsys.readouterr()
    assert said.out.endswith("out: 2\n")
    assert f"left out: no blob {entry.blob}" in said.err
    assert len(json.loads(path.read_text())["images"]) == 2


def test_what_waits_and_what_was_decided_is_listed(reviews: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    reviews.parts.ledger.decide(reviews.samples[0], None, "ben", LAUNCH)
    assert main(told(reviews, "list")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "frames/000001.png  2 boxes, 1 doubtful  waits" in lines[0]
    assert main(told(reviews, "list", "--state", "all", "--json")) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in rows] == ["rejected", None, None]
    assert rows[0]["who"] == "ben"


def test_no_name_no_verdict(reviews: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = exported(reviews, "coco", tmp_path / "out")
    assert main(told(reviews, "import", "--format", "coco", "--from", str(path), "--who", " ")) == 1
    assert "say who decided" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["list", "export", "import"])
def test_every_action_explains_itself(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["reviews", action, "--help"])
    assert f"usage: orbitloop-ground reviews {action}" in capsys.readouterr().out


def test_the_boxes_that_were_proposed_are_where_the_tools_look_for_them(reviews: Desk, tmp_path: Path) -> None:
    coco = json.loads(exported(reviews, "coco", tmp_path / "coco").read_text())
    assert coco["annotations"][1]["score"] == pytest.approx(0.43)
    assert coco["annotations"][1]["doubtful"] is True
    box = ElementTree.parse(exported(reviews, "cvat", tmp_path / "cvat")).getroot().find("image/box")
    assert box is not None
    assert [float(box.get(side, "")) for side in ("xtl", "ytl", "xbr", "ybr")] == list(BOXES[0])
    labels = json.loads((tmp_path / "cvat" / "labels.json").read_text())
    assert [label["name"] for label in labels] == [*CLASSES, "rejected", "later"]
    studio = json.loads(exported(reviews, "label-studio", tmp_path / "studio").read_text())
    assert studio[0]["data"]["image"] == f"/data/local-files/?d=images/{hexadecimal(reviews.samples[0])}.png"
    result = studio[0]["predictions"][0]["result"][1]
    assert result["value"]["x"] == pytest.approx(100 * BOXES[1][0] / SIDE)
    assert (result["score"], result["meta"]) == (pytest.approx(0.43), {"text": ["doubtful"]})
    config = ElementTree.parse(tmp_path / "studio" / "label-config.xml").getroot()
    assert [label.get("value") for label in config.iter("Label")] == list(CLASSES)
