"""How fast a computer is: measured on this one, or scaled from that by what others have published."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from orbitloop.adapters.durable import write_durably
from orbitloop.adapters.model_files import read_model
from orbitloop.domain.errors import BadInput
from orbitloop.domain.hardware import HardwareTarget, Provenance
from orbitloop.domain.resampling import INPUT, Pixels, as_input, cut_tiles, glimpses
from orbitloop.wire.complaints import first_complaint
from orbitloop_edge.adapters.imagery import resampled
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_edge.adapters.onnx_networks import OnnxNetwork
from orbitloop_ground.adapters.transformation.fitting import Effort
from orbitloop_ground.adapters.transformation.graphs import Reach, engine_graph, value_graph
from orbitloop_ground.adapters.transformation.networks import FEATURES, SIZES, EngineNet, ValueNet

TARGETS = Path(__file__).parent / "targets"
_BATCH = 16
_MOST_EFFORT, _FEWEST = 100, 5
"""Largest factor on the training steps, and fewest steps of a network."""
_CONTEXTS = 4
_FRAME = 2560
_TINY_YOLO_GFLOP = 5.56
"""Of YOLOv3-tiny at 416 pixels (Redmon and Farhadi 2018, darknet's own count)."""
_PI_GFLOPS = 6.91 * 3.4
"""A Raspberry Pi 4 at 1.95 GHz, ncnn, four threads: 3.4 pictures a second of YOLOv4-tiny at 416 (6.91 GFLOP)."""
_JETSON_FPS = 546.69
"""Jetson Xavier NX at 15 W, TensorRT: YOLOv3-tiny at 416 pictures a second."""


class TargetText(BaseModel):
    """A target as it is written down; see :class:`~orbitloop.domain.hardware.HardwareTarget`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    provenance: Provenance
    source: str
    seconds: dict[str, float]
    memory: int
    watts: float


def read_target(given: str) -> HardwareTarget:
    """A target by the name of one that comes along, by its file, or as the JSON of such a file.

    Raises:
        BadInput: there is no such target, or the file is malformed.
    """
    if given.lstrip().startswith("{"):
        return _read(given.encode(), "the hardware target")
    path = TARGETS / f"{given}.json"
    if not path.exists():
        path = Path(given)
    try:
        return _read(path.read_bytes(), str(path))
    except OSError as error:
        known = ", ".join(sorted(entry.stem for entry in TARGETS.glob("*.json")))
        raise BadInput(f"{given}: no such hardware target; name one of {known}, or a file of your own") from error


def _read(text: bytes, source: str) -> HardwareTarget:
    try:
        return HardwareTarget(**TargetText.model_validate_json(text).model_dump())
    except ValidationError as error:
        raise BadInput(f"{source}: {first_complaint(error)}; profile the computer again") from error


def write_target(path: Path, target: HardwareTarget) -> None:
    """Write a target down; seconds to four digits."""
    seconds = {name: float(f"{value:.4g}") for name, value in sorted(target.seconds.items())}
    text = TargetText(
        name=target.name,
        provenance=target.provenance,
        source=target.source,
        seconds=seconds,
        memory=target.memory,
        watts=target.watts,
    )
    write_durably(path, (text.model_dump_json(indent=2) + "\n").encode())


def effort_of(factor: float, seed: int) -> Effort:
    """Training steps by ``factor``; at least a few of each kind. Raises ``BadInput`` for a factor that is none."""
    if not 0 < factor <= _MOST_EFFORT or not 0 <= seed < 2**31:
        raise BadInput(f"effort {factor:g} must be above 0 and at most {_MOST_EFFORT}, seed {seed} at least 0")
    full = Effort()
    steps = {
        name: max(_FEWEST, round(getattr(full, name) * factor))
        for name in ("reference", "general", "special", "engine")
    }
    return replace(full, seed=seed, **steps)


def profile(name: str, source: str, *, model: Path, watts: float, memory: int) -> tuple[HardwareTarget, float]:
    """This computer, one thread; half a minute.

    Args:
        model: folder of a detector, to time it on frames of 1,280 pixels and on one of 416.

    Returns:
        The target, and seconds of YOLOv3-tiny at 416 pixels: what published figures are of.
    """
    chance = np.random.default_rng(0)
    frame = chance.integers(0, 256, (_FRAME, _FRAME, 3), np.uint8)
    whole = resampled(frame, _FRAME // 2)
    launched = read_model(model)
    detector = OnnxDetector(launched.graph, launched.weights, launched.spec, threads=1)
    tiles = cut_tiles(whole, 10)
    seconds = {
        "shrink": _least(lambda: resampled(frame, _FRAME // 2)) / (_FRAME * _FRAME / 1e6),
        "cut": _least(lambda: cut_tiles(whole, whole.shape[0] // INPUT)) / (whole.shape[0] // INPUT) ** 2,
        f"detector:{_FRAME // 2}": _least(lambda: detector.detect(whole)),
    }
    reach = Reach(
        centres=np.zeros((_CONTEXTS, FEATURES), np.float32), whitening=np.eye(FEATURES, dtype=np.float32), limit=1.0
    )
    engine = OnnxNetwork(engine_graph(EngineNet(_CONTEXTS).eval(), reach))
    seconds["engine"] = _least(lambda: engine(as_input(glimpses(tiles))), times=20) / len(tiles)
    for size, layers in SIZES.items():
        network = OnnxNetwork(value_graph(ValueNet(layers).eval()))
        seconds[size] = _timed(network, tiles[:_BATCH]) / _BATCH
    picture = chance.random((1, 3, 416, 416), np.float32)
    published = _least(lambda: detector.forward(picture))
    measured = HardwareTarget(
        name=name, provenance=Provenance.MEASURED, source=source, seconds=seconds, memory=memory, watts=watts
    )
    return measured, published


def scaled(here: HardwareTarget, yolo_seconds: float) -> list[HardwareTarget]:
    """Computers that are not here, by published figures of networks much like YOLOv3-tiny.

    Everything is scaled alike, cutting and small networks too, where a graphics processor gains less: a lower bound of
    their time there.
    """
    gflops = _TINY_YOLO_GFLOP / yolo_seconds
    pi = (
        f"{here.name} by throughput: {gflops:.0f} GFLOP/s here (YOLOv3-tiny at 416 pixels, measured), "
        f"{_PI_GFLOPS:.1f} there (YOLOv4-tiny at 416 pixels, 6.91 GFLOP, 3.4 pictures/s, ncnn, 1.95 GHz, all "
        "cores: table in https://github.com/Qengineering/YoloV4-ncnn-Jetson-Nano)"
    )
    jetson = (
        f"{here.name} by YOLOv3-tiny at 416 pixels: {1 / yolo_seconds:.1f} pictures/s here (measured), "
        f"{_JETSON_FPS} there (Jetson Xavier NX, TensorRT, int8: https://github.com/NVIDIA-AI-IOT/jetson_benchmarks)"
    )
    return [
        here.slowed(gflops / _PI_GFLOPS, name="raspberry-pi-4", source=pi, memory=2 * 2**30, watts=6.4),
        here.slowed(1 / (yolo_seconds * _JETSON_FPS), name="jetson-15w", source=jetson, memory=4 * 2**30, watts=15.0),
    ]


def _least(run: Callable[[], object], times: int = 7) -> float:
    """The least time of a few runs after one to warm up: what the work takes when nothing disturbs it."""
    run()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def _timed(network: OnnxNetwork, tiles: Pixels) -> float:
    return _least(lambda: network(as_input(tiles)), times=20)
