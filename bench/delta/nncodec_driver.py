"""Codes tensors with NNCodec and decodes them again; runs in a process of its own, with NNCodec on its path.

    nncodec_driver.py TENSORS.npz STREAM DECODED.npz QP

NNCodec's package imports data sets, models and trackers for its examples. Coding uses none of them, so what is not
installed is stood in for by empty modules.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

UNUSED = {"cv2", "flwr", "h5py", "pandas", "ptflops", "sentencepiece", "sklearn", "torchmetrics", "torchvision", "tqdm"}
_EXAMPLES = {
    "nncodec.framework.use_case_init",
    *(f"nncodec.framework.applications.utils.{name}" for name in ("evaluation", "train", "transforms")),
}


class _Empty(ModuleType):
    """A module in which every name is a class without anything."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _StandIns(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, _path: Sequence[str] | None, _target: object = None) -> ModuleSpec | None:
        stands_in = fullname.partition(".")[0] in UNUSED or fullname in _EXAMPLES
        return ModuleSpec(fullname, self, is_package=True) if stands_in else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """An empty module has nothing to run."""


def main(tensors: str, stream: str, decoded: str, qp: str) -> None:
    """Code, write the stream, decode it, write what came back."""
    sys.meta_path.insert(0, _StandIns())
    nn = import_module("nncodec.nn")

    with np.load(tensors) as given, tempfile.TemporaryDirectory() as folder:
        model: dict[str, Any] = {name: given[name] for name in given.files}
        coded = bytes(nn.encode(model, {"qp": int(qp), "verbose": False, "results": folder}))
    Path(stream).write_bytes(coded)
    np.savez(decoded, allow_pickle=False, **nn.decode(bytearray(coded)))


if __name__ == "__main__":
    main(*sys.argv[1:])
