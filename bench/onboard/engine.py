"""One engine in a process of its own, which looks at a frame each time a line comes in, and says how long it took.

    python engine.py NAME THREADS MODEL-FOLDER FRAME [BATCH]

All engines get the same tiles and the same decoding and suppression; only what makes raw outputs of tiles differs. The
first line out is ``ready``; each further one is a JSON object of ``seconds``, ``peak_rss_mb`` and ``boxes``.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from orbitloop.adapters.model_files import read_model
from orbitloop.domain.detection import Floats
from orbitloop.domain.tiling import detect
from orbitloop.wire.model_folder import Model
from orbitloop.wire.onnx_file import with_weights

Forward = Callable[[Floats], list[Floats]]


def ours(model: Model, threads: int) -> Forward:
    """The detector as it flies."""
    from orbitloop_edge.adapters.onnx_detector import OnnxDetector

    return OnnxDetector(model.graph, model.weights, model.spec, threads=threads).forward


def torch_eager(model: Model, threads: int) -> Forward:
    """PyTorch as it comes, channels last, its faster layout."""
    return _torch(model, threads, compiled=False)


def torch_compiled(model: Model, threads: int) -> Forward:
    """``torch.compile`` with its default back end, frozen: weights are constants that it may pack."""
    return _torch(model, threads, compiled=True)


def opencv(model: Model, threads: int) -> Forward:
    """OpenCV's DNN module, given one ONNX file."""
    import cv2  # type: ignore[import-not-found,unused-ignore]  # in an environment of its own

    cv2.setNumThreads(threads)
    net: Any = cv2.dnn.readNetFromONNX(np.frombuffer(with_weights(model.graph, model.weights), np.uint8))

    def forward(images: Floats) -> list[Floats]:
        net.setInput(images, "images")
        return [np.asarray(output, np.float32) for output in net.forward(["coarse", "fine"])]

    return forward


def _torch(model: Model, threads: int, *, compiled: bool) -> Forward:
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

    return forward


ENGINES: dict[str, Callable[[Model, int], Forward]] = {
    "ours": ours,
    "torch eager": torch_eager,
    "torch.compile": torch_compiled,
    "OpenCV DNN": opencv,
}


def main() -> None:
    """Answer lines until there are no more."""
    name, threads, folder, frame, batch = sys.argv[1:6]
    model = read_model(Path(folder))
    pixels = np.load(frame)
    forward = ENGINES[name](model, int(threads))
    side = model.spec.tile
    for _ in range(2):
        forward(np.zeros((int(batch), 3, side, side), np.float32))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        began = time.perf_counter()
        found = detect(pixels, forward, model.spec, batch=int(batch))
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        said = {"seconds": seconds, "peak_rss_mb": peak, "boxes": len(found)}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
