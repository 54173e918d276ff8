"""The models of one satellite under fault: a real worker on a real disk, and what it may serve."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from orbitloop.adapters.signatures import SigningKey
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.boots import BootRule
from orbitloop.domain.delta import Sparse, apply
from orbitloop.domain.detection import Detections
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput
from orbitloop.domain.rollout import CanaryRule, Outcome
from orbitloop.domain.samples import Sample
from orbitloop.domain.units import Bytes, Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.testing.builders import a_spec
from orbitloop.wire.messages import Offer, Trust
from orbitloop.wire.model_folder import Model
from orbitloop.wire.update import Step, Update, pack_update
from orbitloop_edge.adapters.imagery import encode_picture
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_edge.adapters.slot_state import keep_repair
from orbitloop_edge.settings import EdgeSettings
from orbitloop_edge.usecases.scrub import ScrubRule
from orbitloop_edge.worker import Worker
from orbitloop_ground.adapters.model_chunks import ModelChunks

SATELLITE = "sat-1"
_SCORE = 1e-3
"""Scores that differ by less are the same: a bit that rounding hides moves the last digits."""


def small_model(seed: int = 0) -> Model:
    """A detector of two convolutions with the two heads of ours, 150 kB of weights in five chunks."""
    spec, rng = a_spec(), np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "wide.weight": (64, 3, 3, 3),
        "deep.weight": (64, 64, 3, 3),
        "coarse.weight": (18, 64, 1, 1),
    }
    shapes |= {"fine.weight": (18, 64, 1, 1), "coarse.bias": (18,), "fine.bias": (18,)}
    weights = {name: (rng.standard_normal(shape) * 0.1).astype(np.float32) for name, shape in shapes.items()}

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [output], name=output, **attributes)

    nodes = [
        node("Conv", ["images", "wide.weight"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("AveragePool", ["a"], "b", kernel_shape=[16, 16], strides=[16, 16]),
        node("Conv", ["b", "deep.weight"], "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("LeakyRelu", ["c"], "d", alpha=0.1),
        node("AveragePool", ["d"], "e", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["e", "coarse.weight", "coarse.bias"], "coarse", kernel_shape=[1, 1]),
        node("Conv", ["d", "fine.weight", "fine.bias"], "fine", kernel_shape=[1, 1]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 18, None, None]) for name in ("coarse", "fine")
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    absent = []
    for name, tensor in weights.items():
        proto = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=tensor.shape)
        proto.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "supplied-by-name"), ("offset", "0"), ("length", str(tensor.nbytes))):
            proto.external_data.add(key=key, value=value)
        absent.append(proto)
    graph = helper.make_graph(nodes, "small", [images], outputs, absent)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Model(spec=spec, weights=weights, graph=bytes(made.SerializeToString(deterministic=True)))


class Board:
    """A satellite: what it may serve is what was installed, and what good updates made of it.

    Args:
        folder: its disk; must not exist.
        keys: the mission's keys.
        model: what is installed.
    """

    def __init__(self, folder: Path, keys: Path, model: Model) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._base = model
        self._sign = SigningKey(keys / "ground" / "signing.key").sign
        self._settings = EdgeSettings(
            satellite=SATELLITE,
            folder=folder,
            keys=keys / "satellites" / SATELLITE,
            canary=CanaryRule(least=0),
            scrub=ScrubRule(look=Bytes(2**40), boots=BootRule(deaths=3, frames=1, again=timedelta(hours=1))),
            threads=1,
        )
        self.good: dict[Digest, Weights] = {weights_digest(model.weights): model.weights}
        self._expected: dict[Digest, tuple[Digest, Detections]] = {}
        self._chunks = ModelChunks(self, folder / "ground")
        rng = np.random.default_rng(7)
        self.pixels: NDArray[np.uint8] = rng.integers(0, 256, (model.spec.tile, model.spec.tile, 3), np.uint8)
        self.frame = folder / "frame.png"
        self.frame.write_bytes(encode_picture(self.pixels, "png", 100))
        self.applied: list[tuple[bytes, Offer]] = []
        self.worker = Worker(self._settings, WallClock(), _Nowhere(), model)
        self.observed()

    def get(self, digest: Digest) -> Model:
        """The ground's registry: any good model. Raises ``BadInput``."""
        if digest not in self.good:
            raise BadInput(f"{digest} is no model of this mission")
        return replace(self._base, weights=self.good[digest])

    @property
    def slots(self) -> Path:
        """Where the models live."""
        return self.folder / "slots"

    @property
    def flying(self) -> Digest:
        """What ought to fly."""
        return self.worker.slots.state().flying

    @property
    def trust(self) -> Trust:
        """What the worker says of its models."""
        said = self.worker.status().telemetry.trust
        assert said is not None
        return said

    def boot(self) -> None:
        """Start the worker."""
        self.worker = Worker(self._settings, WallClock(), _Nowhere())

    def down(self) -> None:
        """End it in good order."""
        self.worker.close()

    def die(self) -> None:
        """End it in none."""
        self.worker.results.close()

    def observed(self) -> str:
        """Look at a frame; says what was wrong with what was served, or nothing."""
        result = self.worker.observe(self.frame)
        if result.model not in self.good:
            return f"{result.model} was served, which nobody made"
        _, wanted = self.expected(result.model)
        if len(result.found) != len(wanted):
            return f"{len(result.found)} objects seen, {len(wanted)} expected"
        off = float(np.abs(result.found.scores - wanted.scores).max()) if len(wanted) else 0.0
        return f"scores are off by {off}" if off > _SCORE else ""

    def expected(self, model: Digest) -> tuple[Digest, Detections]:
        """What a fresh detector of a good model answers, and what it sees in the frame."""
        if model not in self._expected:
            fresh = OnnxDetector(self._base.graph, self.good[model], self._base.spec, threads=1)
            self._expected[model] = fresh.answer(), fresh.detect(self.pixels)
        return self._expected[model]

    def update(self, rng: np.random.Generator, *, base: Digest | None = None, tell: bool = True) -> tuple[bytes, Offer]:
        """A good update of what flies, or of another model; signed."""
        start = base or self.flying
        before = self.good[start]
        name = str(rng.choice(sorted(before)))
        where = np.sort(rng.choice(before[name].size, min(9, before[name].size), replace=False)).astype(np.uint32)
        change = Sparse(tensor=name, exponent=-6, where=where, quanta=rng.integers(1, 9, len(where)).astype(np.int8))
        made = apply(before, [change])
        result = weights_digest(made)
        if tell:
            self.good[result] = made
        return self.packed(Update(base=start, steps=(Step(changes=(change,), result=result),)))

    def packed(self, update: Update) -> tuple[bytes, Offer]:
        """An update, signed, and its offer."""
        data = pack_update(update, self._sign)
        offer = Offer(digest=digest_of(data), size=Bytes(len(data)), base=update.base, result=update.result)
        return data, offer

    def prove(self, data: bytes, offer: Offer) -> Outcome:
        """Prove what has arrived. Raises ``NotYet``."""
        path = self.folder / "update"
        path.write_bytes(data)
        return self.worker.prove(path, offer).outcome

    def ask_ground(self) -> int:
        """A contact: the ground sends the chunks that are missing; returns how many."""
        sent = self._chunks.lay_out(SATELLITE, self.worker.status().damaged)
        for repair in sent:
            found = self._chunks.find(SATELLITE, repair.digest)
            assert found is not None
            keep_repair(self.slots, repair.digest, found.path)
        return len(sent)


class _Nowhere:
    """Where samples go that nobody wants."""

    def add(self, sample: Sample, pixels: bytes) -> bool:
        """Nothing is kept."""
        del sample, pixels
        return True
