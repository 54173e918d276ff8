"""The satellite by itself, with nothing made up: disk, SQLite, torch's weights and the real runtime."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from orbitloop.domain.delta import Shift, apply
from orbitloop.domain.mining import mining_rule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.rollout import CanaryRule, Outcome
from orbitloop.domain.units import Bytes
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_spec, an_offer, some_weights
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.bundle import unpack
from orbitloop.wire.model_folder import Model
from orbitloop.wire.onnx_integers import tensors_for
from orbitloop.wire.update import Step, Update, pack_update
from orbitloop_edge.adapters.imagery import decode_picture, encode_picture, read_picture
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_edge.adapters.results import FrameResults
from orbitloop_edge.adapters.shelf import Shelf
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.adapters.spool import DiskSpool
from orbitloop_edge.usecases.detector import Detector
from orbitloop_edge.usecases.observe import Imagery, Mining, ObserveFrames
from orbitloop_edge.usecases.prove import ProveUpdate
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.integers import calibrated, integer_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of

GROUND_KEY = Ed25519PrivateKey.from_private_bytes(b"g" * 32)
LARGE = Bytes(2**30)


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(3)
    spec = a_spec(tile=320)
    return Model(spec=spec, weights=weights_of(YoloTiny(spec, normalised=False)), graph=export_graph(spec))


def load(model: Model) -> OnnxDetector:
    return OnnxDetector(model.graph, model.weights, model.spec, threads=1)


def a_frame(folder: Path, number: int) -> Path:
    rng = np.random.default_rng(number)
    coarse: NDArray[np.uint8] = rng.integers(0, 256, (40, 40, 3), np.uint8)
    path = folder / f"{number:04}.png"
    path.write_bytes(encode_picture(coarse.repeat(16, axis=0).repeat(16, axis=1), "png", 100))
    return path


def test_frames_are_observed_samples_wait_on_disk_and_an_update_is_flown(tmp_path: Path, model: Model) -> None:
    clock = VirtualClock(LAUNCH)
    slots, shelf = Slots(tmp_path / "slots"), Shelf(tmp_path / "canaries")
    slots.install(model)
    results = FrameResults(tmp_path / "results.db", "sat-1")
    chance = np.random.default_rng(1)
    spool = DiskSpool(tmp_path / "spool", "sat-1", clock, budget=LARGE)
    observe = ObserveFrames(
        satellite="sat-1",
        detector=load(slots.active()),
        policy=LinkPolicy(downlink_share=0.9),
        mining=Mining(rule=mining_rule("IBT"), uniform=lambda: float(chance.random())),
        imagery=Imagery(read=read_picture, encode=encode_picture, decode=decode_picture),
        spool=spool,
        results=results,
        canaries=shelf,
        clock=clock,
    )
    frames = [a_frame(tmp_path, number) for number in range(4)]
    first = [observe.observe(path) for path in frames[:2]]

    change = Shift(tensor="fine_head.bias", exponent=-4, quanta=np.ones(18, np.int8))
    new = weights_digest(apply(model.weights, [change]))
    step = Step(changes=(change,), result=new)
    data = pack_update(Update(base=weights_digest(model.weights), steps=(step,)), GROUND_KEY.sign)
    (tmp_path / "update").write_bytes(data)
    prove = ProveUpdate(
        satellite="sat-1",
        slots=slots,
        canaries=shelf,
        load=load,
        swap=observe.swap,
        verify=lambda signature, message: GROUND_KEY.public_key().verify(signature, message),
        clock=clock,
        rule=CanaryRule(least=0),
    )
    report = prove(tmp_path / "update", an_offer(data, base=weights_digest(model.weights), result=new))
    second = [observe.observe(path) for path in frames[2:]]

    assert (report.outcome, report.flying) == (Outcome.APPLIED, new)
    assert {result.model for result in first} == {weights_digest(model.weights)}
    assert {result.model for result in second} == {new}
    spool.close()
    results.close()

    with DiskSpool(tmp_path / "spool", "sat-1", clock, budget=LARGE) as waiting:  # after a restart
        sealed = waiting.seal(LARGE)
        assert sealed is not None
        bundle = unpack(sealed[1])
    assert len(bundle) == sum(result.samples for result in [*first, *second]) > 0
    flown = {result.frame: result.model for result in [*first, *second]}
    assert all(sample.model == flown[sample.frame] for sample in bundle.samples)
    assert weights_digest(Slots(tmp_path / "slots").active().weights) == new


def test_an_update_of_float32_weights_flies_on_a_satellite_that_computes_in_integers(
    tmp_path: Path, model: Model
) -> None:
    rng = np.random.default_rng(7)
    tiles = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(2)]
    flying = Model(
        spec=model.spec, weights=model.weights, graph=integer_graph(model, calibrated(model, tiles, inside=1.0))
    )
    slots = Slots(tmp_path / "slots")
    slots.install(flying)
    swapped: list[OnnxDetector] = []

    def swap(detector: Detector) -> None:
        assert isinstance(detector, OnnxDetector)
        swapped.append(detector)

    name = "neck.conv.weight"
    change = Shift(tensor=name, exponent=-6, quanta=rng.integers(-9, 9, model.weights[name].size, np.int8))
    wanted = apply(model.weights, [change])
    step = Step(changes=(change,), result=weights_digest(wanted))
    data = pack_update(Update(base=weights_digest(model.weights), steps=(step,)), GROUND_KEY.sign)
    (tmp_path / "update").write_bytes(data)
    prove = ProveUpdate(
        satellite="sat-1",
        slots=slots,
        canaries=Shelf(tmp_path / "canaries"),
        load=load,
        swap=swap,
        verify=lambda signature, message: GROUND_KEY.public_key().verify(signature, message),
        clock=VirtualClock(LAUNCH),
        rule=CanaryRule(least=0),
    )
    report = prove(tmp_path / "update", an_offer(data, base=weights_digest(model.weights), result=step.result))

    assert (report.outcome, report.flying) == (Outcome.APPLIED, step.result)
    updated = Model(spec=model.spec, weights=wanted, graph=flying.graph)
    assert weights_digest(slots.active().weights) == step.result
    assert slots.active().graph == flying.graph
    assert swapped[-1].answer() == load(updated).answer() == load(slots.active()).answer() != load(flying).answer()
    integers, before = (tensors_for(flying.graph, weights)[name] for weights in (swapped[-1].weights, model.weights))
    assert integers.dtype == np.int8
    assert (integers != before).any()
    np.testing.assert_array_equal(integers, tensors_for(flying.graph, wanted)[name])


def test_whenever_a_swap_is_killed_one_whole_model_flies(tmp_path: Path) -> None:
    script = Path(__file__).with_name("swap_until_killed.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr
    *lines, last = ran.stdout.splitlines()
    assert last == "done"
    flying = [line.split() for line in lines]
    assert all(found == said for found, said in flying)
    order = [each for each, _ in groupby(found for found, _ in flying)]
    assert order == [weights_digest(some_weights(number)) for number in (1, 2, 3)]
    assert len(lines) > 20
