"""One engine in a process of its own, which looks at a frame each time a line comes in, and says how long it took.

    python -m bench.onboard.engine NAME THREADS MODEL-FOLDER FRAME
    python -m bench.onboard.engine NAME THREADS MODEL-FOLDER ANNOTATIONS.json

All engines get the same tiles and the same decoding and suppression; only what makes raw outputs of tiles differs. With
a frame (``.npy``) the first line out is ``ready``, each further one a JSON object of ``seconds``, ``peak_rss_mb`` and
``boxes``. With annotations there is one line: mAP@0.5 over the split test.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbitloop.adapters.model_files import read_model
from orbitloop.domain.detection import Detections, Floats, mean_average_precision
from orbitloop.domain.tiling import detect
from orbitloop.wire.model_folder import Model
from orbitloop.wire.onnx_file import with_weights

Look = Callable[[NDArray[np.uint8]], Detections]
UNTRAINED = "ultralytics YOLOv3-tiny"


def ours(model: Model, threads: int) -> Look:
    """The detector as it flies."""
    from orbitloop_edge.adapters.onnx_detector import OnnxDetector

    return OnnxDetector(model.graph, model.weights, model.spec, threads=threads).detect


def torch_eager(model: Model, threads: int) -> Look:
    """PyTorch as it comes, channels last, its faster layout."""
    return _torch(model, threads, compiled=False)


def torch_compiled(model: Model, threads: int) -> Look:
    """``torch.compile`` with its default back end, frozen: weights are constants that it may pack."""
    return _torch(model, threads, compiled=True)


def opencv(model: Model, threads: int) -> Look:
    """OpenCV's DNN module, given one ONNX file."""
    import cv2  # type: ignore[import-not-found,unused-ignore]  # in an environment of its own

    cv2.setNumThreads(threads)
    net: Any = cv2.dnn.readNetFromONNX(np.frombuffer(with_weights(model.graph, model.weights), np.uint8))

    def forward(images: Floats) -> list[Floats]:
        net.setInput(images, "images")
        return [np.asarray(output, np.float32) for output in net.forward(["coarse", "fine"])]

    return _looking(model, forward)


def ultralytics(model: Model, threads: int) -> Look:
    """The network that ultralytics calls YOLOv3-tiny, as its YAML builds it, fused; random weights, so only its speed
    says something. What it puts out is not decoded, which is in its favour.
    """
    import torch
    from ultralytics.nn.tasks import (  # type: ignore[import-not-found,unused-ignore]  # in an environment of its own
        DetectionModel,
    )

    torch.set_num_threads(threads)
    network: Any = DetectionModel("yolov3-tiny.yaml", ch=3, nc=len(model.spec.classes), verbose=False)
    network = network.eval().fuse(verbose=False).to(memory_format=torch.channels_last)
    sides = [model.spec.tile // head.stride for head in model.spec.heads]
    channels = [len(head.anchors) * model.spec.channels for head in model.spec.heads]
    nothing = [np.full((1, count, side, side), -20, np.float32) for count, side in zip(channels, sides, strict=True)]

    def forward(images: Floats) -> list[Floats]:
        with torch.inference_mode():
            network(torch.from_numpy(images).contiguous(memory_format=torch.channels_last))
        return nothing

    return _looking(model, forward)


def _torch(model: Model, threads: int, *, compiled: bool) -> Look:
    import torch

    from orbitloop_ground.adapters.yolo.network import network_with

    torch.set_num_threads(threads)
    network: Any = network_with(dict(model.weights), model.spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        import torch._inductor.config as inductor

        inductor.freezing = True
        network = torch.compile(network)

    def forward(images: Floats) -> list[Floats]:
        with torch.no_grad():
            given = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
            return [output.numpy() for output in network(given)]

    return _looking(model, forward)


def _looking(model: Model, forward: Callable[[Floats], list[Floats]]) -> Look:
    return lambda pixels: detect(pixels, forward, model.spec, batch=1)


ENGINES: dict[str, Callable[[Model, int], Look]] = {
    "ours fp32": ours,
    "ours int8": ours,
    "torch.compile": torch_compiled,
    "torch eager": torch_eager,
    "OpenCV DNN": opencv,
    UNTRAINED: ultralytics,
}


def accuracy(look: Look, annotations: Path) -> float:
    """mAP@0.5 over the split test."""
    from orbitloop_ground.adapters.coco import read_coco

    images = read_coco(annotations).where(split="test").images
    found = [look(np.asarray(image.load())) for image in images]
    return mean_average_precision(found, [image.truth for image in images])


def peak_rss_mb() -> float:
    """The most memory that this process has held, in 10^6 bytes; ``getrusage`` would count its parent's as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def main() -> None:
    """Answer lines until there are no more."""
    name, threads, folder, shown = sys.argv[1:5]
    model = read_model(Path(folder))
    look = ENGINES[name](model, int(threads))
    if shown.endswith(".json"):
        sys.stdout.write(f"{accuracy(look, Path(shown))}\n")
        return
    pixels = np.load(shown)
    side = model.spec.tile
    for _ in range(2):
        look(pixels[:side, : 2 * side])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        began = time.perf_counter()
        found = look(pixels)
        seconds = time.perf_counter() - began
        said = {"seconds": seconds, "peak_rss_mb": peak_rss_mb(), "boxes": len(found)}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
