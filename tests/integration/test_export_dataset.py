"""What came down as a dataset for training: whole, once, in the order of arrival, whatever is killed in between."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.reviewing import enter

from orbitloop.adapters.model_files import write_model
from orbitloop.domain.detection import Truth
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import is_canary
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.tiling import Window, cut
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.sample_store import Arrival
from orbitloop.testing.builders import a_model
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.reviews import a_proposal
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import entry_of, sample_id
from orbitloop.worker.datasets import TxtDataParse
from orbitloop_ground.adapters.coco import read_coco
from orbitloop_ground.adapters.dataset_folder import IndexedFolder
from orbitloop_ground.adapters.labels import TileLabels
from orbitloop_ground.app import Dependencies, compose
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.exports import Exporter, canaries
from orbitloop_ground.usecases.labelling import LabelTile, TileLabeller
from orbitloop_ground.usecases.products import export_products

GROUND = [sys.executable, "-c", "import sys; from orbitloop_ground.cli import main; sys.exit(main())"]


EXAMPLES = Path(__file__).parents[2] / "examples"
ANNOTATIONS, LARGE = EXAMPLES / "data" / "airbus-aircraft" / "annotations.json", EXAMPLES / "models" / "airplane-1m"


@pytest.fixture
def parts(tmp_path: Path, keys: Path) -> Iterator[Dependencies]:
    made = compose(GroundSettings(folder=tmp_path / "ground", keys=keys / "ground"), VirtualClock(LAUNCH))
    yield made
    made.ledger.close()


def came_down(parts: Dependencies, numbers: range, *, satellite: str = "sat-1", reason: Reason = Reason.HARD) -> None:
    samples = [a_sample(number, satellite=satellite, size=200) for number in numbers]
    made = [(replace(sample, reason=reason), pixels) for sample, pixels in samples]
    parts.blobs.put({digest_of(pixels): pixels for _, pixels in made})
    arrival = Arrival(
        bundle=digest_of(f"{satellite} {numbers}".encode()),
        size=Bytes(100),
        satellite=satellite,
        at=LAUNCH,
        entries=tuple(entry_of(satellite, sample, pixels) for sample, pixels in made),
    )
    parts.ledger.enter(arrival)


def a_real_tile(pixels: NDArray[np.uint8], frame: str, corner: tuple[int, int]) -> tuple[Sample, bytes]:
    """A tile of 320 pixels of a real frame, as it flies."""
    window = Window(x0=corner[0], y0=corner[1], width=320, height=320)
    stream = io.BytesIO()
    Image.fromarray(cut(pixels, window)).save(stream, "webp", quality=60)
    name = sample_id("sat-1", frame, window, stream.getvalue())
    size = len(stream.getvalue())
    return replace(a_sample()[0], id=name, frame=frame, window=window, size=size), stream.getvalue()


def for_training(numbers: range, *, satellite: str = "sat-1") -> list[Digest]:
    ids = [a_sample(number, satellite=satellite, size=200)[0].id for number in numbers]
    return [id for id in ids if not is_canary(id)]


def exporter(parts: Dependencies, label: LabelTile | None = None) -> Exporter:
    by = None if label is None else TileLabeller(desk=parts.ledger, archive=label).label
    return Exporter(ledger=parts.ledger, blobs=parts.blobs, clock=parts.clock, label=by)


def image_of(id: Digest) -> str:
    return f"images/{hexadecimal(id)[:2]}/{hexadecimal(id)}.webp"


def lines(folder: Path) -> list[str]:
    return (folder / "index.txt").read_text().splitlines()


def test_what_came_down_is_there_once_in_its_order_with_its_pixels(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(20))
    export = exporter(parts).export("sat-1", IndexedFolder(tmp_path / "data"))
    expected = for_training(range(20))
    assert lines(tmp_path / "data") == [image_of(id) for id in expected]
    assert (export.path, export.lines) == (str(tmp_path / "data" / "index.txt"), len(expected))
    pixels = {a_sample(number, size=200)[0].id: a_sample(number, size=200)[1] for number in range(20)}
    assert all((tmp_path / "data" / image_of(id)).read_bytes() == pixels[id] for id in expected)


def test_held_out_tiles_are_not_for_training(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(40))
    exporter(parts).export("sat-1", IndexedFolder(tmp_path / "data"))
    assert len(lines(tmp_path / "data")) == len(for_training(range(40))) < 40


def test_what_an_application_wanted_is_not_for_training(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(20))
    came_down(parts, range(20, 40), reason=Reason.VALUE)
    exporter(parts).export("sat-1", IndexedFolder(tmp_path / "data"))
    assert lines(tmp_path / "data") == [image_of(id) for id in for_training(range(20))]


def test_what_an_application_wanted_is_exported_for_those_who_want_it(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(5))
    came_down(parts, range(5, 9), reason=Reason.VALUE)
    came_down(parts, range(9, 12), reason=Reason.VALUE, satellite="sat-2")
    folder = IndexedFolder(tmp_path / "data")
    for _ in range(2):
        assert export_products(parts.ledger, parts.blobs, "sat-1", folder) == 4
    expected = [a_sample(number, size=200) for number in range(5, 9)]
    read = [line.split(" ", 1) for line in lines(tmp_path / "data")]
    assert [name for name, _ in read] == [image_of(sample.id) for sample, _ in expected]
    assert [(tmp_path / "data" / name).read_bytes() for name, _ in read] == [pixels for _, pixels in expected]
    assert json.loads(read[0][1]) == {
        "frame": "frames/000005.png",
        "window": [80, 0, 496, 416],
        "captured": "2026-01-01T00:00:05+00:00",
        "value": round(expected[0][0].value, 4),
        "logic": digest_of(b"weights"),
    }


def test_products_are_exported_by_a_command_and_what_is_damaged_is_left_out(
    parts: Dependencies, tmp_path: Path
) -> None:
    came_down(parts, range(3), reason=Reason.VALUE)
    blob = parts.ledger.received("sat-1")[0].blob
    (path,) = (parts.settings.folder / "blobs").rglob(f"*{hexadecimal(blob)[2:]}*")
    path.write_bytes(b"damaged")
    command = [*GROUND, "export-products", "--folder", str(parts.settings.folder), "--keys", str(parts.settings.keys)]
    done = subprocess.run(
        [*command, "--satellite", "sat-1", "--to", str(tmp_path / "data")], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"index": str(tmp_path / "data" / "index.txt"), "lines": 2}
    assert len(lines(tmp_path / "data")) == 2


def test_what_comes_down_later_is_appended_and_what_is_there_stays(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(10))
    exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    before = lines(tmp_path)
    came_down(parts, range(10, 20))
    for _ in range(2):
        exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    assert lines(tmp_path) == [image_of(id) for id in for_training(range(20))]
    assert lines(tmp_path)[: len(before)] == before


def test_only_samples_of_the_satellite_that_is_named_are_exported(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(10))
    came_down(parts, range(10), satellite="sat-2")
    exporter(parts).export("sat-2", IndexedFolder(tmp_path))
    assert lines(tmp_path) == [image_of(id) for id in for_training(range(10), satellite="sat-2")]


def test_the_count_reaches_the_operators_and_moves_them_only_when_it_grew(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(10))
    export = exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    (report,) = parts.ledger.node_reports(0)
    assert report.exports == (export,)
    before = parts.ledger.bearings()
    exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    assert parts.ledger.bearings() == before


def test_two_exports_into_one_folder_write_each_line_once(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(200))
    ways = [IndexedFolder(tmp_path) for _ in range(2)]
    threads = [threading.Thread(target=exporter(parts).export, args=("sat-1", way)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lines(tmp_path)) == sorted(image_of(id) for id in for_training(range(200)))


def test_an_export_that_was_cut_short_is_made_good_by_the_next(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(20))
    exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    whole = lines(tmp_path)
    (tmp_path / "index.txt").write_text("".join(f"{line}\n" for line in whole[:5]))
    (tmp_path / ".0123.unfinished").write_text("half")
    (tmp_path / whole[7]).write_bytes(b"half a picture")
    exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    assert lines(tmp_path) == whole
    assert (tmp_path / whole[7]).read_bytes() != b"half a picture"
    assert not (tmp_path / ".0123.unfinished").exists()


def test_a_sample_whose_pixels_are_damaged_waits_and_the_others_go(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(10))
    id = for_training(range(10))[3]
    (entry,) = [entry for entry in parts.ledger.received("sat-1") if entry.sample.id == id]
    path = parts.settings.folder / "blobs" / hexadecimal(entry.blob)[:2] / hexadecimal(entry.blob)
    sound = path.read_bytes()
    path.write_bytes(b"damaged")
    exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    assert image_of(id) not in lines(tmp_path)
    assert len(lines(tmp_path)) == len(for_training(range(10))) - 1
    path.write_bytes(sound)
    exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    assert lines(tmp_path)[-1] == image_of(id)


def annotated(folder: Path, frames: range) -> Path:
    """One object of 40 pixels in the middle of the tile that is cut from each frame."""
    path = folder / "annotations.json"
    images = [{"id": n, "file_name": f"{n:06}.png", "width": 16 * n + 416, "height": 416} for n in frames]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [16 * n + 200, 100, 40, 40]} for n in frames]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ship"}]}
    path.write_text(json.dumps(document))
    return path


def test_labels_are_in_the_pixels_of_the_tile_and_samples_without_any_wait(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(10))
    label = TileLabels(read_coco(annotated(tmp_path, range(6))))
    exporter(parts, label).export("sat-1", IndexedFolder(tmp_path / "data"))
    assert lines(tmp_path / "data") == [f"{image_of(id)} 200,100,240,140,0" for id in for_training(range(6))]
    later = TileLabels(read_coco(annotated(tmp_path, range(10))))
    exporter(parts, later).export("sat-1", IndexedFolder(tmp_path / "data"))
    assert [line.split()[0] for line in lines(tmp_path / "data")] == [image_of(id) for id in for_training(range(10))]


def test_the_labels_of_held_out_tiles_go_up_with_updates(parts: Dependencies, tmp_path: Path) -> None:
    came_down(parts, range(60))
    archive = TileLabels(read_coco(annotated(tmp_path, range(60))))
    told = canaries(parts.ledger.received("sat-1"), TileLabeller(desk=parts.ledger, archive=archive).label)
    assert {canary.sample for canary in told} <= {a_sample(number, size=200)[0].id for number in range(60)}
    assert all(is_canary(canary.sample) for canary in told)
    assert len(told) == 60 - len(for_training(range(60)))
    assert told[0].truth.boxes.tolist() == [[200, 100, 240, 140]]


def test_the_gateway_takes_labels_of_held_out_tiles_from_what_the_exports_teacher_thought(parts: Dependencies) -> None:
    came_down(parts, range(60))
    received = parts.ledger.received("sat-1")
    held_out = [entry.sample.id for entry in received if is_canary(entry.sample.id)]
    sure = replace(a_proposal(1), doubtful=np.zeros(1, bool))
    parts.ledger.record_opinions("large", {held_out[0]: sure, held_out[1]: a_proposal(1)})
    told = canaries(received, TileLabeller(desk=parts.ledger, believed=True).label)
    assert [canary.sample for canary in told] == held_out[:1]
    assert canaries(received, TileLabeller(desk=parts.ledger).label) == []


@pytest.mark.parametrize(
    ("window", "boxes"),
    [
        (Window(x0=0, y0=0, width=100, height=100), [[10, 10, 50, 50]]),
        (Window(x0=20, y0=20, width=100, height=100), [[0, 0, 30, 30]]),
        (Window(x0=30, y0=30, width=100, height=100), []),
        (Window(x0=60, y0=0, width=100, height=100), []),
    ],
    ids=["whole", "more than half", "a quarter", "beside it"],
)
def test_an_object_counts_in_a_tile_that_holds_half_of_it(
    window: Window, boxes: list[list[float]], tmp_path: Path
) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 300, "height": 300}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 40, 40]}],
        "categories": [{"id": 3, "name": "ship"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    label = TileLabels(read_coco(tmp_path / "annotations.json"))
    truth = label("frames/a.png", window)
    assert isinstance(truth, Truth)
    assert truth.boxes.tolist() == boxes
    assert truth.labels.tolist() == [0] * len(boxes)
    assert label("b.png", window) is None


@pytest.mark.parametrize("index", ["", "../index.txt", "a/b.txt"])
def test_an_index_is_a_file_of_the_folder(index: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="name of a file"):
        IndexedFolder(tmp_path, index)


def test_an_index_that_is_none_is_left_alone(parts: Dependencies, tmp_path: Path) -> None:
    (tmp_path / "index.txt").write_bytes(b"\xff\xfe")
    came_down(parts, range(3))
    with pytest.raises(BadInput, match="no index"):
        exporter(parts).export("sat-1", IndexedFolder(tmp_path))
    assert (tmp_path / "index.txt").read_bytes() == b"\xff\xfe"


def test_the_command_exports_what_user_code_reads_as_a_dataset(parts: Dependencies, tmp_path: Path, keys: Path) -> None:
    came_down(parts, range(10))
    command = [*GROUND, "export-dataset", "--folder", tmp_path / "ground", "--keys", keys / "ground"]
    command += ["--satellite", "sat-1", "--to", tmp_path / "data", "--labels", annotated(tmp_path, range(10))]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    expected = for_training(range(10))
    assert json.loads(ran.stdout) == {"index": str(tmp_path / "data" / "index.txt"), "lines": len(expected)}
    read = TxtDataParse(data_type="train")
    read.parse(str(tmp_path / "data" / "index.txt"))
    assert [str(name).endswith(image_of(id)) for name, id in zip(read.x, expected, strict=True)] == [True] * len(
        expected
    )
    assert np.array(read.y).tolist() == ["200,100,240,140,0"] * len(expected)


def test_the_command_goes_on_and_appends_what_comes_down_and_is_labelled_later(
    parts: Dependencies, tmp_path: Path, keys: Path
) -> None:
    came_down(parts, range(6))
    command = [*GROUND, "export-dataset", "--folder", tmp_path / "ground", "--keys", keys / "ground", "--every", "0.2"]
    command += ["--satellite", "sat-1", "--to", tmp_path / "data", "--labels", annotated(tmp_path, range(3))]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["lines"] == len(for_training(range(3)))
            (tmp_path / "annotations.json").write_text("half of it is writ")
            time.sleep(0.5)  # it is read like that at least once
            annotated(tmp_path, range(6))
            assert json.loads(process.stdout.readline())["lines"] == len(for_training(range(6)))
            annotated(tmp_path, range(20))
            came_down(parts, range(6, 20))
            assert json.loads(process.stdout.readline())["lines"] == len(for_training(range(20)))
        finally:
            process.kill()
    assert [line.split()[0] for line in lines(tmp_path / "data")] == [image_of(id) for id in for_training(range(20))]


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path, keys: Path) -> None:
    command = [*GROUND, "export-dataset", "--folder", tmp_path / "ground", "--keys", keys / "ground"]
    command += ["--satellite", "sat-1", "--to", tmp_path / "data", "--labels", tmp_path / "missing.json"]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("orbitloop-ground: ")
    assert "no such file" in ran.stderr


def test_without_annotations_a_teacher_labels_what_it_is_sure_of_and_asks_about_the_rest(
    parts: Dependencies, tmp_path: Path, keys: Path
) -> None:
    frame = next(iter(read_coco(ANNOTATIONS).where(split="val").images))
    pixels = np.asarray(frame.load())
    corners = sorted({(int(x) // 320 * 320, int(y) // 320 * 320) for x, y in frame.truth.boxes[:, :2]})
    tiles = [a_real_tile(pixels, frame.path.name, corner) for corner in corners[:3]]
    enter(parts, tiles)
    command = [*GROUND, "export-dataset", "--folder", tmp_path / "ground", "--keys", keys / "ground"]
    command += ["--satellite", "sat-1", "--to", tmp_path / "data", "--teacher", LARGE]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    thought = parts.ledger.opinions([sample.id for sample, _ in tiles])
    assert len(thought) == len(tiles)
    sure = [id for id, opinion in thought.items() if not opinion.doubtful.any()]
    assert {review.sample for review in parts.ledger.pending()} == thought.keys() - set(sure)
    assert {line.split()[0] for line in lines(tmp_path / "data")} == {image_of(id) for id in sure if not is_canary(id)}
    assert sum(len(opinion.boxes) for opinion in thought.values()) > 0
    ran = subprocess.run(
        [
            str(word)
            for word in [*GROUND, "agreement", "--folder", tmp_path / "ground", "--keys", keys / "ground", "--json"]
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    (told,) = json.loads(ran.stdout)
    assert (told["satellite"], told["period"], told["tiles"]) == ("sat-1", "2026-01-01", len(tiles))
    assert 0 < told["looks"] <= 1


@pytest.mark.parametrize(("made", "reason"), [(False, "is no folder of a model"), (True, "is not calibrated")])
def test_a_teacher_that_cannot_be_used_is_said_in_one_line(made: bool, reason: str, tmp_path: Path, keys: Path) -> None:
    if made:
        write_model(tmp_path / "teacher", a_model())
    command = [*GROUND, "export-dataset", "--folder", tmp_path / "ground", "--keys", keys / "ground"]
    command += ["--satellite", "sat-1", "--to", tmp_path / "data", "--teacher", tmp_path / "teacher"]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert f"teacher {tmp_path / 'teacher'}: {reason}" in line


def test_the_command_registers_what_was_installed_on_board(tmp_path: Path, keys: Path) -> None:
    digest = write_model(tmp_path / "model", a_model())
    command = [*GROUND, "register", "--folder", tmp_path / "ground", "--keys", keys / "ground", tmp_path / "model"]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == {"digest": digest}
