"""A frame under a selection logic, on board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from orbitloop.domain.density import Downlink
from orbitloop.domain.detection import Detections, Floats
from orbitloop.domain.errors import BadInput
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.resampling import Pixels, as_input, cut_tiles
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.selection import Action, Discard, Grade, Raw, Run, SelectionLogic
from orbitloop.domain.tiling import PAD
from orbitloop.domain.units import Bytes
from orbitloop.testing.builders import a_digest, some_detections
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.testing.spool import MemorySpool
from orbitloop.wire.bundle import Bundle, unpack
from orbitloop.wire.selection_file import ReferenceView, SelectionPackage
from orbitloop_edge.adapters.imagery import decode_picture, encode_picture, read_picture, resampled
from orbitloop_edge.adapters.onnx_networks import OnnxNetwork, WarmNetworks, session_size
from orbitloop_edge.adapters.selection_files import FileDecisions
from orbitloop_edge.usecases.observe import Imagery
from orbitloop_edge.usecases.select import Board, Mosaic, SelectFrames

SIDE = 256
DARK, LIGHT, STRANGE = 20, 220, 128


def grades_of(action: Action, worth: float) -> tuple[Grade, ...]:
    """One grade, from where the action begins."""
    if isinstance(action, Discard):
        return ()
    return (Grade(threshold=action.threshold if isinstance(action, Run) else 0.0, worth=worth),)


class Engine:
    """Dark tiles are sea, light ones port, grey ones like nothing."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, tiles: Floats) -> list[Floats]:
        self.asked += len(tiles)
        means = tiles.mean(axis=(1, 2, 3))
        logits = np.stack([1 - means, means], axis=1).astype(np.float32)
        return [logits, (np.abs(means - 0.5) < 0.1).astype(np.float32) * 100]


class Network:
    """Sure of the first row of every tile; counts what it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, tiles: Floats) -> list[Floats]:
        self.seen += len(tiles)
        values = np.zeros((len(tiles), 16, 16), np.float32)
        values[:, :4] = 0.9
        return [values]


class Sees:
    """A detector that finds one object in every picture."""

    version = a_digest("model")

    def __init__(self) -> None:
        self.sides: list[tuple[int, ...]] = []

    def detect(self, pixels: Pixels) -> Detections:
        self.sides.append(pixels.shape)
        return some_detections((2, 2, 10, 10), scores=[0.8])


class Flown:
    """A satellite under a logic; its clock counts ``slow`` seconds a frame."""

    def __init__(self, folder: Path, *, slow: float = 0.0, deadline: float = 1.0, **table: Action) -> None:
        self.folder = folder
        given: dict[str, Action] = {"sea": Discard(), "port": Run(model="small", threshold=0.5), "unknown": Raw()}
        table = given | table
        worth = {"sea": 0.1, "port": 0.9, "unknown": 0.2}
        grades = {name: grades_of(action, worth[name]) for name, action in table.items()}
        logic = SelectionLogic(tiles=2, cells=8, table=table, grades=grades)
        self.package = SelectionPackage(
            version=1,
            application="ships",
            target="toy",
            side=SIDE,
            highest=True,
            prevalence=0.05,
            reference=ReferenceView(side=128, margin=2.0, around=8),
            link=Downlink(capacity=0.1, deadline=deadline),
            contexts=("sea", "port"),
            reach=9.0,
            logic=logic,
            parts={"engine": b"x", "small": b"x"},
        )
        self.engine, self.network, self.detector = Engine(), Network(), Sees()
        clock = VirtualClock(LAUNCH)
        self.spool = MemorySpool("sat-1", clock, budget=Bytes(2**30))
        self._ticks = 0.0
        self._slow = slow
        self.board = Board(
            satellite="sat-1",
            detect=self.detector.detect,
            policy=LinkPolicy(codec="png"),
            imagery=Imagery(read=read_picture, encode=encode_picture, decode=decode_picture),
            resample=resampled,
            spool=self.spool,
            clock=clock,
            seconds=self._seconds,
            decisions=FileDecisions(folder / "frame.json"),
        )
        self.select = SelectFrames(self.package, a_digest("logic"), self, self.board)

    def _seconds(self) -> float:
        self._ticks += self._slow
        return self._ticks

    def get(self, name: str) -> Engine | Network:
        """Networks by name."""
        return self.engine if name == "engine" else self.network

    def frame(self, *levels: int, name: str = "a.png") -> Path:
        """A frame of four tiles of these brightnesses."""
        pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
        for index, level in enumerate(levels):
            y, x = (place * SIDE // 2 for place in divmod(index, 2))
            pixels[y : y + SIDE // 2, x : x + SIDE // 2] = level
        path = self.folder / name
        Image.fromarray(pixels).save(path)
        return path

    def bundle(self) -> Bundle:
        """All that waits."""
        sealed = self.spool.seal(Bytes(2**30))
        assert sealed is not None
        return unpack(sealed[1])


def test_each_tile_is_run_sent_or_forgotten_by_its_context(tmp_path: Path) -> None:
    flown = Flown(tmp_path)
    selected = flown.select.select(flown.frame(DARK, LIGHT, STRANGE, DARK))
    assert selected.contexts == {"sea": 2, "port": 1, "unknown": 1}
    assert selected.samples == 2
    assert flown.engine.asked == 4
    assert flown.network.seen == 1
    entries = sorted(flown.bundle().samples, key=lambda sample: sample.window)
    port, strange = entries
    assert (port.window.x0, port.window.y0, port.window.width, port.window.height) == (128, 0, 128, 32)
    assert (strange.window.x0, strange.window.y0, strange.window.width, strange.window.height) == (0, 128, 128, 128)
    assert {sample.reason for sample in entries} == {Reason.VALUE}
    assert {sample.model for sample in entries} == {a_digest("logic")}
    assert port.value == pytest.approx(0.9 * 4)
    assert strange.value == pytest.approx(0.2 * 16)


def test_what_is_not_sent_of_a_window_is_grey(tmp_path: Path) -> None:
    flown = Flown(tmp_path, port=Run(model="reference", threshold=0.5))
    flown.select.select(flown.frame(LIGHT, DARK, DARK, DARK))
    ((_, encoded),) = flown.bundle()
    pixels = decode_picture(encoded, "sample")
    assert pixels.shape == (32, 32, 3)
    assert (pixels == LIGHT).all()
    assert flown.detector.sides == [(80, 80, 3)]


def test_the_reference_in_the_slots_sees_unknown_tiles(tmp_path: Path) -> None:
    flown = Flown(tmp_path, unknown=Run(model="reference", threshold=0.5))
    flown.select.select(flown.frame(STRANGE, DARK, DARK, STRANGE))
    assert flown.detector.sides == [(80, 160, 3)]
    assert len(flown.bundle()) == 1


def test_many_tiles_are_looked_at_as_a_whole_frame(tmp_path: Path) -> None:
    flown = Flown(tmp_path, unknown=Run(model="reference", threshold=0.5), sea=Run(model="reference", threshold=0.5))
    flown.select.select(flown.frame(STRANGE, DARK, DARK, STRANGE))
    assert flown.detector.sides == [(128, 128, 3)]
    assert len(flown.bundle()) == 1


def test_tiles_beside_each_other_show_what_is_around_them_and_give_their_own_places_back() -> None:
    whole = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    seen: list[Pixels] = []

    def detect(picture: Pixels) -> Detections:
        seen.append(picture)
        return some_detections((9, 1, 11, 3), (1, 9, 3, 11), scores=[0.9, 0.8])

    found = Mosaic(whole, 4, 2).look(detect, [(0, 0), (1, 1), (3, 2)])
    (picture,) = seen
    assert picture.shape == (16, 16, 3)
    assert (picture[:2, :8] == PAD).all()
    assert np.array_equal(picture[:8, 8:], whole[2:10, 2:10])
    assert [len(each) for each in found] == [0, 1, 1]
    assert found[1].boxes.tolist() == [[-1, -1, 1, 1]]


def test_where_two_cells_far_apart_are_sent_the_rest_between_is_grey(tmp_path: Path) -> None:
    class Corners(Network):
        def __call__(self, tiles: Floats) -> list[Floats]:
            values = np.zeros((len(tiles), 16, 16), np.float32)
            values[:, 0, 0] = values[:, 15, 15] = 0.9
            return [values]

    flown = Flown(tmp_path)
    flown.network = Corners()
    flown.select.select(flown.frame(LIGHT, DARK, DARK, DARK))
    ((sample, encoded),) = flown.bundle()
    pixels = decode_picture(encoded, "sample")
    assert pixels.shape == (128, 128, 3)
    assert (pixels[:32, :32] == LIGHT).all()
    assert (pixels[32:96] == PAD).all()
    assert sample.value == pytest.approx(0.9 * 2)


def test_a_frame_without_anything_of_value_costs_nothing_to_send(tmp_path: Path) -> None:
    flown = Flown(tmp_path)
    assert flown.select.select(flown.frame(DARK, DARK, DARK, DARK)).samples == 0
    assert flown.spool.state().samples == 0


def test_who_is_too_slow_sends_frames_raw_until_there_is_time_again(tmp_path: Path) -> None:
    flown = Flown(tmp_path, slow=3.0, deadline=1.0)
    done = [flown.select.select(flown.frame(DARK, LIGHT, DARK, DARK, name=f"{index}.png")) for index in range(6)]
    assert [each.processed for each in done[:2]] == [True, True]
    late = [each for each in done if not each.processed]
    assert late
    assert {each.samples for each in late} == {1}
    assert [each.contexts for each in late] == [{}] * len(late)


def test_frames_are_looked_at_where_sending_them_raw_takes_longer(tmp_path: Path) -> None:
    """Every sample that is spooled takes time, and a raw frame is one even where nothing of it is of value."""
    flown = Flown(tmp_path, slow=2.0, deadline=1.0)
    taken = flown.spool.add

    def slowly(sample: Sample, pixels: bytes) -> bool:
        flown._ticks += 10
        return taken(sample, pixels)

    flown.spool.add = slowly  # type: ignore[method-assign]
    done = [flown.select.select(flown.frame(DARK, DARK, DARK, DARK, name=f"{index}.png")) for index in range(20)]
    assert sum(not each.processed for each in done) == 1


def test_large_frames_without_a_look_go_in_parts(tmp_path: Path) -> None:
    flown = Flown(tmp_path, slow=3.0, deadline=0.1)
    package = replace(flown.package, side=4 * SIDE)
    select = SelectFrames(package, a_digest("logic"), flown, flown.board)
    done = []
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 9, (4 * SIDE, 4 * SIDE, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{index}.png")
        done.append(select.select(tmp_path / f"{index}.png"))
    (late, *_) = (each for each in done if not each.processed)
    assert late.samples == 4
    windows = {sample.window.box for sample in flown.bundle().samples if sample.frame == late.frame}
    assert windows == {(x, y, x + 512, y + 512) for x in (0, 512) for y in (0, 512)}


def test_a_frame_seen_again_is_spooled_once(tmp_path: Path) -> None:
    flown = Flown(tmp_path)
    path = flown.frame(LIGHT, DARK, DARK, STRANGE)
    flown.select.select(path)
    flown.select.select(path)
    assert flown.spool.state().samples == 2


def test_a_frame_that_comes_again_after_a_kill_makes_the_same_samples(tmp_path: Path) -> None:
    """It was sent raw for want of time; the next process has time, and sends nothing of it a second time."""

    class Stops(Exception):
        """The process is killed here."""

    flown = Flown(tmp_path, slow=3.0, deadline=1.0)
    for index in range(2):
        flown.select.select(flown.frame(DARK, DARK, DARK, DARK, name=f"{index}.png"))
    taken = flown.spool.add

    def stops(sample: Sample, pixels: bytes) -> bool:
        new = taken(sample, pixels)
        if new:
            raise Stops
        return new

    flown.spool.add = stops  # type: ignore[method-assign]
    path = flown.frame(DARK, LIGHT, DARK, STRANGE, name="late.png")
    with pytest.raises(Stops):
        flown.select.select(path)
    flown.spool.add = taken  # type: ignore[method-assign]
    decisions = FileDecisions(tmp_path / "frame.json")
    assert decisions.frame == "late.png"
    again = SelectFrames(flown.package, a_digest("logic"), flown, replace(flown.board, decisions=decisions))
    assert not again.select(path).processed
    assert flown.spool.state().samples == 1
    assert again.select(flown.frame(DARK, DARK, DARK, DARK, name="next.png")).processed


def test_tiles_of_which_a_model_says_nothing_are_sent_raw(tmp_path: Path) -> None:
    class Nothing(Network):
        def __call__(self, tiles: Floats) -> list[Floats]:
            return [np.full((len(tiles), 16, 16), np.nan, np.float32)]

    flown = Flown(tmp_path)
    flown.network = Nothing()
    flown.select.select(flown.frame(DARK, LIGHT, DARK, DARK))
    (sample,) = flown.bundle().samples
    assert (sample.window.x0, sample.window.width, sample.window.height) == (128, 128, 128)
    assert sample.value == pytest.approx(flown.package.prevalence * 16)


@pytest.mark.parametrize("wrong", ["logits", "distances"])
def test_an_engine_without_an_answer_knows_no_context(tmp_path: Path, wrong: str) -> None:
    class Lost(Engine):
        def __call__(self, tiles: Floats) -> list[Floats]:
            logits, distances = super().__call__(tiles)
            (logits if wrong == "logits" else distances)[:] = np.nan
            return [logits, distances]

    flown = Flown(tmp_path)
    flown.engine = Lost()
    assert flown.select.select(flown.frame(DARK, LIGHT, DARK, DARK)).contexts == {"unknown": 4}
    assert len(flown.bundle()) == 4


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_grey_frames_are_looked_at_as_rgb(tmp_path: Path, mode: str) -> None:
    flown = Flown(tmp_path)
    levels = np.full((SIDE, SIDE), LIGHT, np.uint16 if mode == "I;16" else np.uint8)
    if mode == "I;16":
        levels <<= 8
    Image.fromarray(levels).save(tmp_path / "grey.png")
    assert flown.select.select(tmp_path / "grey.png").contexts == {"port": 4}


def test_half_a_frame_is_refused(tmp_path: Path) -> None:
    flown = Flown(tmp_path)
    path = flown.frame(DARK, LIGHT, DARK, DARK)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadInput, match="cannot be read as a picture"):
        flown.select.select(path)
    assert flown.spool.state().samples == 0


def test_frames_of_another_camera_are_refused(tmp_path: Path) -> None:
    flown = Flown(tmp_path)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(BadInput, match="64x64 pixels, the selection logic is for 256x256"):
        flown.select.select(tmp_path / "small.png")


def test_a_network_that_did_not_come_along_is_named(tmp_path: Path) -> None:
    networks = WarmNetworks({"engine": identity(1)}, memory=2**20)
    with pytest.raises(BadInput, match="'small', which did not come with it"):
        networks.get("small")
    assert Flown(tmp_path).package.logic.models == ("small",)


def identity(weight: int) -> bytes:
    """A network that gives its input back, of about ``4 * weight`` bytes."""
    node = helper.make_node("Identity", ["tiles"], ["values"])
    unused = helper.make_tensor("ballast", TensorProto.FLOAT, [weight], [0.0] * weight)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 3, 2, 2]) for name in ("tiles", "values")]
    graph = helper.make_graph([node], "identity", info[:1], info[1:], [unused])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def test_networks_stay_warm_under_the_memory_limit() -> None:
    graphs = {name: identity(1000) for name in "abc"}
    networks = WarmNetworks(graphs, memory=2 * session_size(graphs["a"]))
    for name in "ababab":
        networks.get(name)
    assert networks.loads == 2
    networks.get("c")
    assert networks.warm == ("b", "c")
    networks.get("b")
    assert networks.loads == 3


def test_a_network_larger_than_the_limit_is_loaded_alone() -> None:
    networks = WarmNetworks({"a": identity(1000), "b": identity(1000)}, memory=1)
    networks.get("a")
    networks.get("b")
    assert networks.warm == ("b",)


def test_the_engine_is_let_go_last() -> None:
    graphs = {name: identity(1000) for name in ("engine", "a", "b")}
    networks = WarmNetworks(graphs, memory=2 * session_size(graphs["a"]))
    for name in ("engine", "a", "b", "engine"):
        networks.get(name)
    assert networks.loads == 3
    assert networks.warm == ("b", "engine")


def test_networks_at_rest_take_nothing_and_come_back() -> None:
    networks = WarmNetworks({"a": identity(1000)}, memory=2**30)
    networks.get("a")
    networks.rest()
    assert networks.warm == ()
    networks.get("a")
    assert networks.loads == 2


def test_small_networks_take_more_than_their_files() -> None:
    """What is kept for a batch is the most of it: memory for one is not memory for a hundred."""
    graphs = {str(index): identity(1) for index in range(100)}
    networks = WarmNetworks(graphs, memory=256 * 2**20)
    for name in graphs:
        networks.get(name)
    assert 2 <= len(networks.warm) <= 12


def test_a_network_without_an_input_is_refused() -> None:
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
    node = helper.make_node("Constant", [], ["values"], value=value)
    graph = helper.make_graph([node], "none", [], [helper.make_tensor_value_info("values", TensorProto.FLOAT, [1])])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BadInput, match="0 inputs instead of one"):
        OnnxNetwork(made.SerializeToString())


def test_a_network_with_weights_in_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(np.arange(12, dtype=np.float32).tobytes())
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[12, 1], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="weights")
    nodes = [helper.make_node("Flatten", ["tiles"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["values"])]
    info = helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["b", 3, 2, 2])
    out = helper.make_tensor_value_info("values", TensorProto.FLOAT, ["b", 1])
    made = helper.make_model(
        helper.make_graph(nodes, "reaching", [info], [out], [weights]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    with pytest.raises(BadInput, match="in another file"):
        OnnxNetwork(made.SerializeToString())


def test_what_is_no_network_and_tiles_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="does not load"):
        OnnxNetwork(b"nonsense")
    with pytest.raises(BadInput, match="does not take tiles"):
        OnnxNetwork(identity(1))(np.zeros((1, 3, 5, 5), np.float32))


def test_tiles_are_cut_row_by_row() -> None:
    whole = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    tiles = cut_tiles(whole, 2)
    assert tiles.shape == (4, 3, 2, 2)
    assert np.array_equal(tiles[1], whole[:2, 2:].transpose(2, 0, 1))
    assert as_input(np.array([255], np.uint8))[0] == 1.0
    with pytest.raises(BadInput, match="cannot be cut"):
        cut_tiles(whole, 3)


def test_frames_are_resampled_by_whole_numbers_only() -> None:
    pixels = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
    assert np.array_equal(resampled(pixels, 6), pixels)
    assert np.array_equal(resampled(resampled(pixels, 12), 6), pixels)
    assert resampled(pixels, 3).shape == (3, 3, 3)
    for bad, side in ((pixels, 4), (pixels[:5], 5), (pixels[:0, :0], 4)):
        with pytest.raises(BadInput, match="cannot be shown as"):
            resampled(bad, side)
