"""A model folder that computes in integers, made on the ground of one that computes in float32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orbitloop.adapters.model_files import read_model, write_model
from orbitloop.domain.errors import BadInput
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_model, a_spec
from orbitloop.wire.model_folder import Model
from orbitloop.wire.onnx_integers import integers_of
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_ground.adapters.coco import read_coco
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of
from orbitloop_mission.cli.quantising import quantise_model, some_tiles

SIDE = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    spec = a_spec()
    weights = {name: w.astype(np.float16).astype(np.float32) for name, w in weights_of(_network()).items()}
    write_model(tmp_path / "model", Model(spec=spec, weights=weights, graph=export_graph(spec)), half=True)
    return tmp_path / "model"


def _network() -> YoloTiny:
    return YoloTiny(a_spec(), normalised=False)


def a_set(folder: Path, *splits: str) -> Path:
    images = []
    for number, split in enumerate(splits):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE, "split": split})
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": [{"id": 0, "name": "airplane"}]}))
    return path


@pytest.mark.parametrize(("splits", "compared"), [(("train", "train", "val"), True), (("train",), False)], ids=str)
def test_the_weights_stay_and_the_graph_computes_in_integers(
    tmp_path: Path, folder: Path, splits: tuple[str, ...], compared: bool
) -> None:
    quantise_model(a_set(tmp_path, *splits), folder, tmp_path / "out", tiles=6, weight_bits=8)
    before, made = read_model(folder), read_model(tmp_path / "out")
    assert weights_digest(made.weights) == weights_digest(before.weights)
    assert integers_of(made.graph) is not None
    assert len(OnnxDetector(made.graph, made.weights, made.spec).see(np.zeros((1, 64, 64, 3), np.uint8))) == 2
    figures = json.loads((tmp_path / "out" / "integers.json").read_bytes())
    assert figures["digest"] == weights_digest(made.weights)
    assert all((value is not None) == compared for value in figures["map50_val"].values())
    with pytest.raises(BadInput, match="out: computes in integers already"):
        quantise_model(tmp_path / "annotations.json", tmp_path / "out", tmp_path / "again", tiles=6, weight_bits=8)


@pytest.mark.parametrize(
    ("splits", "out", "tiles", "bits", "complaint"),
    [
        (("val",), "out", 6, 8, r"annotations\.json: no image has split 'train'"),
        (("train",), "model", 6, 8, "model: is the model's own folder"),
        (("train",), "out", 0, 8, "tiles 0 must be at least 1"),
        (("train",), "out", 6, 4, "weight bits 4 must be 7 or 8"),
    ],
    ids=["nothing to calibrate on", "onto itself", "no tiles", "too few bits"],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    tmp_path: Path, folder: Path, splits: tuple[str, ...], out: str, tiles: int, bits: int, complaint: str
) -> None:
    graph = read_model(folder).graph
    with pytest.raises(BadInput, match=complaint):
        quantise_model(a_set(tmp_path, *splits), folder, tmp_path / out, tiles=tiles, weight_bits=bits)
    assert read_model(folder).graph == graph
    assert not (tmp_path / "out").exists()


def test_what_is_no_network_is_named_by_its_folder(tmp_path: Path) -> None:
    other = a_model()
    for graph, complaint in ((other.graph, "no ONNX model"), (export_graph(a_spec()), "no network")):
        write_model(tmp_path / "other", Model(spec=other.spec, weights=other.weights, graph=graph))
        with pytest.raises(BadInput, match=f"other: .*{complaint}") as refused:
            quantise_model(a_set(tmp_path, "train"), tmp_path / "other", tmp_path / "out", tiles=1, weight_bits=8)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_tiles_come_from_all_pictures_alike(tmp_path: Path, count: int) -> None:
    images = list(read_coco(a_set(tmp_path, "train", "train", "train")).images)
    found = list(some_tiles(images, 64, count))
    there = 3 * 16
    assert len(found) == min(count, there)
    assert {tile.shape for tile in found} == {(64, 64, 3)}
    assert len({tile.tobytes() for tile in found}) == len(found)
