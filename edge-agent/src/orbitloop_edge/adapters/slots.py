"""Three places for a model on board: one flies, one keeps the last good model, one receives.

slots/state.json, state.copy.json   which slot flies with which bytes, which one is kept, and what became of the last
                                    update; each replaced atomically
slots/{a,b,c}/detector.json         how to read the outputs, and the digest of the weights
slots/{a,b,c}/weights.safetensors
slots/{a,b,c}/chunks.json           digests of all chunks; see :mod:`orbitloop_edge.adapters.slot_chunks`
slots/{digest}.onnx                 the graph without weights, the same for all
slots/repairs/{digest}              chunks that the ground has sent
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from orbitloop.adapters.durable import discard_unfinished, sync_folder, write_durably
from orbitloop.adapters.model_files import read_weights
from orbitloop.domain.chunks import GRAPH, Chunk
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput, NoSpace, NotYet, Untrusted
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import Weights, weights_digest
from orbitloop.wire.messages import DamagedChunk, UpdateReport
from orbitloop.wire.model_folder import (
    DETECTOR,
    WEIGHTS,
    Model,
    decode_weights,
    encode_weights,
    read_detector,
    read_file,
    spec_digest,
)
from orbitloop_edge.adapters.slot_chunks import (
    CHUNKS,
    ChunkList,
    by_digest,
    damaged,
    head_of,
    in_memory,
    on_disk,
    restored,
    same_spec,
    write_slot,
)
from orbitloop_edge.adapters.slot_state import (
    REPAIRS,
    SECOND,
    STATE,
    Answer,
    Checked,
    Kept,
    SlotName,
    SlotState,
    mend_state,
    read_state,
    write_state,
)
from orbitloop_edge.usecases.models_on_board import Damage, Mending

_log = logging.getLogger(__name__)

_NAMES: tuple[SlotName, ...] = get_args(SlotName)


class Slots:
    """Models on board. Whatever is killed at whatever moment, one whole, verified model is active. Threads may share
    one.

    Args:
        folder: where the slots live; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._guard = threading.RLock()
        self._lists: dict[Digest, ChunkList] = {}
        for name in (*_NAMES, REPAIRS):
            (folder / name).mkdir(parents=True, exist_ok=True)
            discard_unfinished(folder / name)
        discard_unfinished(folder)
        sync_folder(folder)

    def installed(self) -> bool:
        """Whether there is a model at all."""
        return any((self.folder / name).exists() for name in (STATE, SECOND))

    def install(self, model: Model) -> None:
        """Put the first model on board, before launch, twice; what flew before is replaced."""
        with self._guard:
            try:
                slot = self._spare()  # what flies stays whole until the last step
            except BadInput:
                slot = "a"
            graph = digest_of(model.graph)
            write_durably(self._graph(graph), model.graph)
            listed = write_slot(self.folder / slot, model)
            self._set(SlotState(active=slot, flying=listed.model, spec=spec_digest(model.spec), graph=graph))
            for other in self.folder.glob("*.onnx"):
                if other != self._graph(graph):
                    other.unlink()
            self._keep_another(model)

    def state(self) -> SlotState:
        """What flies; raises ``BadInput`` when nothing was ever installed or the state is unreadable."""
        return read_state(self.folder)

    def active(self) -> Model:
        """The flying model; raises ``Untrusted`` when its bytes are not what they were."""
        state = self.state()
        return self._verified(state, Kept(slot=state.active, digest=state.flying))

    def kept(self) -> Model:
        """The last good model; errors as :meth:`active`, and ``BadInput`` if there is none."""
        state = self.state()
        if state.kept is None:
            raise BadInput(f"{self.folder}: there is no model beside the one that flies; install one")
        return self._verified(state, state.kept)

    def standing(self) -> tuple[Digest, Digest | None]:
        """Digest of what flies, and that of the last good model if it is another."""
        state = self.state()
        other = state.kept is not None and state.kept.digest != state.flying
        return state.flying, state.kept.digest if state.kept is not None and other else None

    def last(self) -> UpdateReport | None:
        """What became of the last update."""
        return self.state().last

    def stage(self, weights: Weights) -> Model:
        """Write new weights into the slot that holds nothing of worth, durably, and read them back."""
        with self._guard:
            state, slot = self.state(), self._spare()
            spec = read_detector(self.folder / state.active / DETECTOR).spec()
            graph = read_file(self._graph(state.graph))
            if (spec_digest(spec), digest_of(graph)) != (state.spec, state.graph):
                raise Untrusted(f"{self.folder}: specification or graph are damaged; they are made good by the worker")
            write_slot(self.folder / slot, Model(spec=spec, weights=weights, graph=graph))
            return self._read(slot)

    def activate(self, report: UpdateReport) -> None:
        """Let the staged model fly, in one atomic step, and keep the report with it. What flew is the last good model.

        Raises:
            Untrusted: the report is about another model than the one that was staged.
            NotYet: the disk has damaged it since; it has to be staged again.
        """
        self._activate(report.flying, report)

    def advance(self, flying: Digest) -> None:
        """The same for what a beginning of an update makes, of which there is no report yet; the last one stays."""
        self._activate(flying, None)

    def _activate(self, flying: Digest, report: UpdateReport | None) -> None:
        with self._guard:
            state, spare = self.state(), self._spare()
            staged = read_detector(self.folder / spare / DETECTOR).digest
            if staged != flying:
                raise Untrusted(f"{self.folder}: {staged} was staged, but {flying} is to fly; stage it again")
            listed = ChunkList.of(self.folder / spare / CHUNKS)
            source = on_disk(self.folder / spare, listed, self._graph(state.graph))
            if listed.model != staged or damaged(listed, source):
                raise NotYet(f"{self.folder}: {staged} was damaged after it was staged; it is staged again")
            kept = Kept(slot=state.active, digest=state.flying)
            self._set(
                state.model_copy(update={"active": spare, "flying": flying, "last": report or state.last, "kept": kept})
            )

    def remember(self, report: UpdateReport) -> None:
        """Keep the report of an update that did not fly; the model stays."""
        with self._guard:
            self._set(self.state().model_copy(update={"last": report}))

    def fall_back(self, report: UpdateReport | None) -> None:
        """Let the last good model fly, in one atomic step, and keep the report of the update that did not last.

        Raises:
            BadInput: there is no other model than the one that flies.
        """
        with self._guard:
            state = self.state()
            if state.kept is None or state.kept.digest == state.flying:
                raise BadInput(f"{self.folder}: there is no model to fall back to; install one")
            change = {"active": state.kept.slot, "flying": state.kept.digest, "kept": None}
            self._set(state.model_copy(update=change | ({} if report is None else {"last": report})))

    def record(self, model: Digest, engine: str, outputs: Digest) -> None:
        """Note what a model answers to the known question, durably; answers of models that are gone are forgotten."""
        with self._guard:
            state = self.state()
            held = {each.digest for each in state.occupied}
            answers = {digest: known for digest, known in state.answers.items() if digest in held}
            answers[model] = Answer(engine=engine, outputs=outputs)
            if answers != state.answers:
                self._set(state.model_copy(update={"answers": answers}))

    def answer(self, model: Digest, engine: str) -> Digest | None:
        """What was noted, if it was by the same engine."""
        known = self.state().answers.get(model)
        return known.outputs if known is not None and known.engine == engine else None

    def looks_at(self, model: Model, of: Digest) -> Iterator[tuple[int, bool]]:
        """A model in memory, a chunk at a time: how many bytes, and whether they are what they were."""
        listed = self._known_list(of)
        yield 0, listed is not None and same_spec(listed, model.spec) and set(listed.tensors) == set(model.weights)
        if listed is None:
            return
        source = in_memory(model.weights, model.graph)
        for chunk in listed.every():
            data = source(chunk.part, chunk.index)
            yield (0, False) if data is None else (len(data), digest_of(data) == chunk.digest)

    def looks(self) -> Iterator[tuple[int, bool]]:
        """All that counts on the disk, a chunk at a time: how many bytes, and whether they are what they were."""
        for name in (STATE, SECOND):
            yield _looked(self.folder / name, SlotState.of)
        state = self.state()
        for held in state.occupied:
            folder = self.folder / held.slot
            yield _looked(folder / CHUNKS, ChunkList.of)
            yield 0, self._names_it(held, state)
            listed = ChunkList.of(folder / CHUNKS)
            head = head_of(folder, listed)
            yield len(head), digest_of(head) == listed.head
            source = on_disk(folder, listed, self._graph(state.graph))
            for chunk in listed.every():
                data = source(chunk.part, chunk.index)
                yield (0, False) if data is None else (len(data), digest_of(data) == chunk.digest)

    def mend(self, memory: Sequence[Model]) -> Mending:
        """Look at all that counts on the disk, and make good what can be made good: out of ``memory``, models that may
        be damaged themselves, out of the other slots, and out of what the ground has sent.

        Raises:
            BadInput: both copies of the state are damaged.
            NoSpace: the disk is full; what is damaged stays as it is.
        """
        with self._guard:
            hurt = {Damage(slot="", part=STATE, index=number) for number in range(mend_state(self.folder))}
            state = self.state()
            found, open_, missing, whole = set(hurt), set[Damage](), list[DamagedChunk](), set[Digest]()
            for held in state.occupied:
                harm, lacking = self._mend_slot(held, state, memory)
                found |= harm
                if lacking is None:
                    whole.add(held.digest)
                else:
                    open_ |= harm
                    missing += [
                        DamagedChunk(model=held.digest, part=each.part, index=each.index, digest=each.digest)
                        for each in lacking
                    ]
            if not open_:
                self._forget_repairs()
            if state.kept is None and state.flying in whole:
                self._keep_another(self.active())
        return Mending(
            found=frozenset(found), open=frozenset(open_), missing=tuple(dict.fromkeys(missing)), whole=frozenset(whole)
        )

    @property
    def repairs(self) -> dict[Digest, Path]:
        """Chunks that the ground has sent."""
        return {Digest(f"sha256:{path.name}"): path for path in (self.folder / REPAIRS).glob("[0-9a-f]*")}

    def _mend_slot(
        self, held: Kept, state: SlotState, memory: Sequence[Model]
    ) -> tuple[set[Damage], list[Chunk] | None]:
        """What was found in a slot, and what is lacking to make it good; ``None``: it is good now."""
        folder, graph = self.folder / held.slot, self._graph(state.graph)
        listed, harm = self._list_of(held, state, memory)
        if listed is None:
            return harm, []
        source = on_disk(folder, listed, graph)
        chunks = damaged(listed, source)
        harm |= {Damage(slot=held.slot, part=chunk.part, index=chunk.index) for chunk in chunks if chunk.part != GRAPH}
        harm |= {Damage(slot="", part="graph", index=chunk.index) for chunk in chunks if chunk.part == GRAPH}
        if digest_of(head_of(folder, listed)) != listed.head:
            harm.add(Damage(slot=held.slot, part=WEIGHTS, index=0))
        if not self._names_it(held, state):
            harm.add(Damage(slot=held.slot, part=DETECTOR, index=0))
        if not harm and (folder / CHUNKS).exists():
            return harm, None
        others = [
            on_disk(self.folder / name, other, graph)
            for name in _NAMES
            if name != held.slot and (other := _list_in(self.folder / name)) is not None
        ]
        known = [in_memory(model.weights, model.graph) for model in memory]
        made = restored(listed, [source, *known, *others, by_digest(self.repairs, listed)])
        if made.model is None:
            return harm, list(made.missing)
        if any(chunk.part == GRAPH for chunk in chunks):
            write_durably(graph, made.model.graph)
        write_slot(folder, made.model)
        return harm, None

    def _list_of(self, held: Kept, state: SlotState, memory: Sequence[Model]) -> tuple[ChunkList | None, set[Damage]]:
        """The list of a slot's chunks, and what is damaged of it; made anew out of a whole model, if need be."""
        path = self.folder / held.slot / CHUNKS
        listed = _list_in(path.parent)
        if listed is not None and listed.model == held.digest:
            self._lists[held.digest] = listed
            return listed, set()
        harm = {Damage(slot=held.slot, part=CHUNKS, index=0)} if path.exists() else set()
        known = self._lists.get(held.digest)
        if known is not None and known.sound:
            return known, harm
        for model in (*memory, *self._decoded(held, state)):
            if _is(model, held.digest, state):
                self._lists[held.digest] = made = ChunkList.made_of(model, encode_weights(model.weights))
                return made, harm
        return None, harm | {Damage(slot=held.slot, part=WEIGHTS, index=0)}

    def _known_list(self, model: Digest) -> ChunkList | None:
        known = self._lists.get(model)
        if known is None or not known.sound:
            for held in self.state().occupied:
                if held.digest == model and (known := _list_in(self.folder / held.slot)) is not None:
                    self._lists[model] = known
        return known

    def _decoded(self, held: Kept, state: SlotState) -> Iterator[Model]:
        """The model of a slot as far as it can be read, good or not."""
        path = self.folder / held.slot / WEIGHTS
        try:
            spec = read_detector(path.with_name(DETECTOR)).spec()
            graph = read_file(self._graph(state.graph))
            yield Model(spec=spec, weights=decode_weights(read_file(path), str(path)), graph=graph)
        except BadInput as error:
            _log.warning("slot_unreadable", extra={"slot": held.slot, "why": str(error)})

    def _names_it(self, held: Kept, state: SlotState) -> bool:
        """Whether a slot's ``detector.json`` is as it was."""
        try:
            said = read_detector(self.folder / held.slot / DETECTOR)
            return said.digest == held.digest and spec_digest(said.spec()) == state.spec
        except BadInput:  # it cannot be read, or says what no detector is
            return False

    def _keep_another(self, model: Model) -> None:
        """Store what flies once more, if there is room: a bit that flips is made good out of the other copy."""
        state, slot = self.state(), self._spare()
        try:
            write_slot(self.folder / slot, model)
        except NoSpace as error:
            _log.warning("no_second_copy", extra={"why": str(error)})
            return
        self._set(state.model_copy(update={"kept": Kept(slot=slot, digest=state.flying)}))

    def _forget_repairs(self) -> None:
        for path in self.repairs.values():
            path.unlink(missing_ok=True)

    def _spare(self) -> SlotName:
        held = {each.slot for each in self.state().occupied}
        return next(name for name in _NAMES if name not in held)

    def _set(self, state: SlotState) -> None:
        write_state(self.folder, state)

    def _verified(self, state: SlotState, held: Kept) -> Model:
        model = self._read(held.slot)
        found = (weights_digest(model.weights), spec_digest(model.spec), digest_of(model.graph))
        for what, was, now in zip(
            ("weights", "specification", "graph"), (held.digest, state.spec, state.graph), found, strict=True
        ):
            if was != now:
                raise Untrusted(
                    f"{self.folder}: {what} of slot {held.slot}: {now} instead of {was}, which flies; "
                    "install the model again"
                )
        return model

    def _read(self, slot: SlotName) -> Model:
        spec, weights = read_weights(self.folder / slot)
        return Model(spec=spec, weights=weights, graph=read_file(self._graph(self.state().graph)))

    def _graph(self, digest: Digest) -> Path:
        return self.folder / f"{hexadecimal(digest)}.onnx"


def _list_in(folder: Path) -> ChunkList | None:
    try:
        return ChunkList.of(folder / CHUNKS)
    except BadInput:
        return None


def _is(model: Model, digest: Digest, state: SlotState) -> bool:
    """Whether it is the model of ``digest``, whole."""
    found = (weights_digest(model.weights), spec_digest(model.spec), digest_of(model.graph))
    return found == (digest, state.spec, state.graph)


def _looked(path: Path, read: Callable[[Path], Checked]) -> tuple[int, bool]:
    """Bytes of a small file, and whether they are what was written."""
    try:
        read(path)
        return path.stat().st_size, True
    except (BadInput, OSError):
        return 0, False
