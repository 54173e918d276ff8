"""Two places for a model on board: one flies, the other receives.

slots/state.json              which slot flies with which bytes, and what became of the last update; replaced atomically
slots/{a,b}/detector.json     how to read the outputs, and the digest of the weights
slots/{a,b}/weights.safetensors
slots/{digest}.onnx           the graph without weights, the same for both
"""

from __future__ import annotations

from pathlib import Path

from orbitloop.adapters.durable import discard_unfinished, sync_folder, write_durably
from orbitloop.adapters.model_files import read_weights, write_weights
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.wire.messages import UpdateReport
from orbitloop.wire.model_folder import DETECTOR, Model, read_detector, read_file, spec_digest
from orbitloop_edge.adapters.slot_state import SlotName, SlotState, read_state


class Slots:
    """Models on board. Whatever is killed at whatever moment, one whole, verified model is active.

    Args:
        folder: where the slots live; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("a", "b"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            discard_unfinished(folder / name)
        discard_unfinished(folder)
        sync_folder(folder)

    def installed(self) -> bool:
        """Whether there is a model at all."""
        return (self.folder / "state.json").exists()

    def install(self, model: Model) -> None:
        """Put the first model on board, before launch; what flew before is replaced."""
        try:
            slot = self._spare()  # what flies stays whole until the last step
        except BadInput:
            slot = "a"
        digest = write_weights(self.folder / slot, model.spec, model.weights)
        graph = digest_of(model.graph)
        write_durably(self._graph(graph), model.graph)
        self._set(SlotState(active=slot, flying=digest, spec=spec_digest(model.spec), graph=graph))
        for other in self.folder.glob("*.onnx"):
            if other != self._graph(graph):
                other.unlink()

    def state(self) -> SlotState:
        """What flies; raises ``BadInput`` when nothing was ever installed or the state is unreadable."""
        return read_state(self.folder)

    def active(self) -> Model:
        """The flying model; raises ``Untrusted`` when its bytes are not what they were."""
        state = self.state()
        model = self._read(state.active)
        found = (weights_digest(model.weights), spec_digest(model.spec), digest_of(model.graph))
        for what, was, now in zip(
            ("weights", "specification", "graph"), (state.flying, state.spec, state.graph), found, strict=True
        ):
            if was != now:
                raise Untrusted(
                    f"{self.folder}: {what} of slot {state.active}: {now} instead of {was}, which flies; "
                    "install the model again"
                )
        return model

    def stage(self, weights: Weights) -> Model:
        """Write new weights into the slot that does not fly, durably, and read them back."""
        slot = self._spare()
        write_weights(self.folder / slot, self.active().spec, weights)
        return self._read(slot)

    def activate(self, report: UpdateReport) -> None:
        """Let the staged model fly, in one atomic step, and keep the report with it.

        Raises:
            Untrusted: the report is about another model than the one that was staged.
        """
        state, spare = self.state(), self._spare()
        staged = read_detector(self.folder / spare / DETECTOR).digest
        if staged != report.flying:
            raise Untrusted(f"{self.folder}: {staged} was staged, but {report.flying} is to fly; stage it again")
        self._set(state.model_copy(update={"active": spare, "flying": report.flying, "last": report}))

    def remember(self, report: UpdateReport) -> None:
        """Keep the report of an update that did not fly; the model stays."""
        self._set(self.state().model_copy(update={"last": report}))

    def _spare(self) -> SlotName:
        return "b" if self.state().active == "a" else "a"

    def _set(self, state: SlotState) -> None:
        write_durably(self.folder / "state.json", state.model_dump_json(indent=2).encode())

    def _read(self, slot: SlotName) -> Model:
        spec, weights = read_weights(self.folder / slot)
        return Model(spec=spec, weights=weights, graph=read_file(self._graph(self.state().graph)))

    def _graph(self, digest: Digest) -> Path:
        return self.folder / f"{hexadecimal(digest)}.onnx"
