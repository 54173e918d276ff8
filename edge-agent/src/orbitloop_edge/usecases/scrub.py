"""Whether the model that looks at frames is still the one that it was: in memory, on disk, and in what it answers.

Memory and disks in orbit flip bits. So everything that counts is looked over in small slices while nothing else is to
be done, and after each frame the detector answers a question whose answer is known, before what it saw is believed.
Damage is made good out of whichever copy is whole: memory, disk, another slot, the ground. Until then the last good
model looks at frames, or nothing does; what was found to be wrong never does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from orbitloop.domain.boots import BootRule, Choice, choose
from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import NotYet, OrbitloopError, Refused
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.clock import Clock
from orbitloop.wire.messages import DamagedChunk, Trust, UpdateReport
from orbitloop.wire.model_folder import Model
from orbitloop_edge.usecases.models_on_board import Damage, Loaded, Mending, Record, ScrubbedSlots, Starts

_log = logging.getLogger(__name__)

_ATTEMPTS = 3
_AGAIN = timedelta(minutes=1)
"""Between two attempts to make good what could not be made good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubRule:
    """How the models on board are looked after.

    Args:
        look: bytes that one look goes over; 0 for none, and damage on the disk is found at the next start.
        ask: whether the known question is asked after every frame.
        patience: how long the last good model stands in for a damaged one, until it takes over for good.
        boots: when a model is no longer tried.
    """

    look: Bytes = Bytes(2**20)
    ask: bool = True
    patience: timedelta = timedelta(hours=24)
    boots: BootRule = BootRule()


@dataclass(slots=True)
class _Counts:
    scrubbed: int
    rounds: int
    found: int
    repaired: int
    fallen_back: int
    last: datetime | None
    guard: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, trust: Trust) -> _Counts:
        return cls(trust.scrubbed, trust.rounds, trust.found, trust.repaired, trust.fallen_back, trust.last)

    def add(self, *, found: int, repaired: int, now: datetime) -> None:
        with self.guard:
            self.found += found
            self.repaired += repaired
            if found:
                self.last = now


class Watched:
    """The detector that frames are given to. Which model is behind it may change between two frames."""

    def __init__(self, scrubber: Scrubber, digest: Digest) -> None:
        self._scrubber = scrubber
        self._digest = digest
        self.loaded: Loaded | None = None
        self.model: Model | None = None
        self.answer: Digest | None = None

    @property
    def version(self) -> Digest:
        """Digest of the weights that look at frames; of those that ought to, where none do."""
        return self._digest if self.loaded is None else self.loaded.version

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """What the model sees, if it can be trusted. Raises ``NotYet`` while none can."""
        return self._scrubber.detect(self, pixels)


class Scrubber:
    """Looks after the models on board.

    Args:
        satellite: name to report under.
        slots: where models live.
        load: makes a detector of a model; raises ``Refused`` when it does not load.
        starts, record: what outlives the worker.
        rule: how the models are looked after.
        engine: what computes: an answer of another one is not compared.
        clock: what time it is.
    """

    def __init__(
        self,
        *,
        satellite: str,
        slots: ScrubbedSlots,
        load: Callable[[Model], Loaded],
        starts: Starts,
        record: Record,
        rule: ScrubRule,
        engine: str,
        clock: Clock,
    ) -> None:
        self._satellite = satellite
        self._slots = slots
        self._load = load
        self._starts = starts
        self._record = record
        self._rule = rule
        self._engine = engine
        self._clock = clock
        self._counts = _Counts.of(record.trust)
        self._since = record.since
        self._open: frozenset[Damage] = frozenset()
        self.missing: tuple[DamagedChunk, ...] = ()
        self._reason = ""
        self._held: datetime | None = None
        self._tried: datetime | None = None
        self._frames = 0
        self._doubted = False
        self._round: Iterator[tuple[int, bool]] | None = None
        self._of: Watched | None = None
        self.current = Watched(self, slots.standing()[0])
        self._begin()

    def _begin(self) -> None:
        """At the start: make good what can be, decide what is tried, and count the start before it is loaded."""
        mending = self._mend(None)
        flying, kept = self._slots.standing()
        self._starts.blame(flying)
        deaths, boots = self._starts.deaths(flying), self._rule.boots
        spare = self._starts.deaths(kept) if kept is not None and kept in mending.whole else None
        choice = choose(boots, deaths=deaths, kept=spare)
        why = f"the worker died {deaths} times with {flying} before it had looked at {boots.frames} frames"
        if choice is Choice.HOLD:
            self._held, self._reason = self._clock.now(), f"{why}, and there is no other model; it is tried again later"
            _log.error("nothing_serves", extra={"why": self._reason})
            return
        if choice is Choice.FALL_BACK:
            self._fall_back(why)
            self.current = Watched(self, self._slots.standing()[0])
        self._serve(self.current, mending, counted=True)

    def adopt(self, loaded: Loaded) -> Watched:
        """An update flies: what frames are to be given to from now on."""
        watched = Watched(self, loaded.version)
        self._starts.begin(loaded.version)
        self._frames, self._held, self._since, self._reason = 0, None, None, ""
        self._settle(watched, loaded)
        self.current = watched
        return watched

    def detect(self, watched: Watched, pixels: NDArray[np.uint8]) -> Detections:
        """What the model sees; looked at again with a fresh detector where it does not answer as it did.

        Raises:
            NotYet: no model on board can be trusted, or the machine does not compute the same twice.
        """
        self._tend(watched)
        for _ in range(_ATTEMPTS):
            if watched.loaded is None:
                break
            if self._doubted and (wrong := self._wrong(watched.loaded)):  # a detector is about to be made of it
                self._renew(watched, wrong)
                continue
            self._doubted = False
            found = watched.loaded.detect(pixels)
            if not self._rule.ask or watched.loaded.answer() == watched.answer:
                return found
            self._counts.add(found=1, repaired=0, now=self._clock.now())
            _log.error("wrong_answer", extra={"model": watched.loaded.version})
            self._renew(watched, 1)
        raise NotYet(f"no frame is looked at now: {self._reason or 'the model does not answer twice the same'}")

    def served(self) -> None:
        """A frame was looked at, and its result kept."""
        self._frames += 1
        if self._frames == self._rule.boots.frames:
            self._starts.lives(self.current.version)

    def look(self) -> None:
        """Look over the next slice, and make good what is found. Raises ``NoSpace`` where there is no room to."""
        watched = self.current
        self._tend(watched)
        left = int(self._rule.look)
        while left > 0:
            if self._round is None or self._of is not watched:
                self._round, self._of = self._steps(watched), watched
            try:
                step = next(self._round, None)
            except Refused:  # what says where to look is itself damaged
                step = (0, False)
            if step is None:
                self._round = None
                self._counts.rounds += 1
                self._note()
                return
            size, good = step
            left -= size
            self._counts.scrubbed += size
            if not good:
                self._round = None
                self._hurt(watched)
                return

    def rest(self) -> None:
        """Let go of what only looking takes; the model in memory is looked at before a detector is made of it again."""
        if (loaded := self.current.loaded) is not None:
            loaded.rest()
            self._doubted = True

    def end(self) -> None:
        """The worker ends in good order."""
        if self.current.loaded is not None and self._frames < self._rule.boots.frames:
            self._starts.end(self.current.version)
        self._note()

    def demand(self) -> None:
        """Before an update is built on what flies. Raises ``NotYet`` while that is damaged on the disk."""
        flying, _ = self._slots.standing()
        if flying not in self._mend(self.current.model).whole:
            raise NotYet(f"{flying} is damaged on board; the update waits until it is made good")

    @property
    def serves(self) -> bool:
        """Whether anything looks at frames."""
        return self.current.loaded is not None

    def trust(self) -> Trust:
        """How the models on board are."""
        counts, loaded = self._counts, self.current.loaded
        return Trust(
            scrubbed=counts.scrubbed,
            rounds=counts.rounds,
            found=counts.found,
            repaired=counts.repaired,
            missing=len(self.missing),
            fallen_back=counts.fallen_back,
            last=counts.last,
            serving=None if loaded is None else loaded.version,
            reason=self._reason[:500],
        )

    def _steps(self, watched: Watched) -> Iterator[tuple[int, bool]]:
        if watched.loaded is not None:
            yield from self._slots.looks_at(watched.loaded.model, watched.loaded.version)
        yield from self._slots.looks()

    def _hurt(self, watched: Watched) -> None:
        """Something is not what it was: find out what, and make it good."""
        if watched.loaded is not None and (wrong := self._wrong(watched.loaded)):
            self._renew(watched, wrong)
        elif not self._open or self._is_due():
            self._mend(watched.model)

    def _wrong(self, loaded: Loaded) -> int:
        """How many chunks of the model in memory are not what they were."""
        wrong = sum(not good for _, good in self._slots.looks_at(loaded.model, loaded.version))
        if wrong:
            self._counts.add(found=wrong, repaired=0, now=self._clock.now())
            _log.error("memory_damaged", extra={"model": loaded.version, "chunks": wrong})
        return wrong

    def _renew(self, watched: Watched, wrong: int) -> None:
        """Put another detector in the place of one with so much ``wrong``; until it is there, nothing serves."""
        watched.loaded = None
        self._recover(watched)
        self._counts.add(found=0, repaired=wrong if watched.loaded is not None else 0, now=self._clock.now())
        self._note()

    def _tend(self, watched: Watched) -> None:
        """See whether what was not as it ought to be has changed."""
        now = self._clock.now()
        if self._held is not None:
            if now - self._held >= self._rule.boots.again:
                self._held = None
                self._recover(watched, counted=True)
        elif (self._open and self._slots.repairs) or (watched.loaded is None and self._is_due()):
            self._recover(watched)
        elif self._since is not None and now - self._since >= self._rule.patience:
            self._fall_back(f"{self._slots.standing()[0]} was damaged on board, and the ground had no chunks of it")

    def _is_due(self) -> bool:
        return self._tried is None or self._clock.now() - self._tried >= _AGAIN

    def _recover(self, watched: Watched, *, counted: bool = False) -> None:
        """Let what ought to fly look at frames, or what stands in for it."""
        mending = self._mend(watched.model)
        if watched.loaded is None or watched.loaded.version != self._slots.standing()[0]:
            self._serve(watched, mending, counted=counted)

    def _serve(self, watched: Watched, mending: Mending, *, counted: bool) -> None:
        flying, kept = self._slots.standing()
        if flying in mending.whole:
            self._since, self._reason = None, ""
            self._try(watched, flying, self._slots.active, counted=counted)
        elif watched.loaded is None and kept is not None and kept in mending.whole:
            self._since = self._since or self._clock.now()
            self._reason = f"{flying} is damaged; the last good model stands in for it"
            self._try(watched, kept, self._slots.kept, counted=counted)
        elif watched.loaded is None:
            self._reason = f"{flying} is damaged, and there is no other model; chunks of it are asked of the ground"
        if self._reason:
            _log.error("nothing_serves" if watched.loaded is None else "stands_in", extra={"why": self._reason})

    def _try(self, watched: Watched, digest: Digest, read: Callable[[], Model], *, counted: bool) -> None:
        if counted:
            self._starts.begin(digest)
        self._settle(watched, self._load(read()))

    def _settle(self, watched: Watched, loaded: Loaded) -> None:
        """Let a detector serve, once it answers as it did when its model was activated."""
        answer, known = loaded.answer(), self._slots.answer(loaded.version, self._engine)
        if known is not None and answer != known:
            self._counts.add(found=1, repaired=0, now=self._clock.now())
            loaded.rest()
            first, answer = answer, loaded.answer()
            if answer not in (known, first):
                self._reason = f"{loaded.version} answers differently each time; this machine does not compute right"
                _log.error("nothing_serves", extra={"why": self._reason})
                return
            _log.warning("answered_otherwise", extra={"model": loaded.version, "as_known": answer == known})
            self._counts.add(found=0, repaired=1, now=self._clock.now())
        if answer != known:
            self._slots.record(loaded.version, self._engine, answer)
        watched.loaded, watched.model, watched.answer = loaded, loaded.model, answer

    def _fall_back(self, why: str) -> None:
        """Let the last good model fly for good; the ground is told, and may offer the update again."""
        (flying, kept), last = self._slots.standing(), self._slots.last()
        report = None
        if kept is not None and last is not None and last.outcome is Outcome.APPLIED and last.flying == flying:
            report = UpdateReport(
                satellite=self._satellite,
                update=last.update,
                outcome=Outcome.ROLLED_BACK,
                reason=why,
                flying=kept,
                at=self._clock.now(),
                late=True,
            )
        self._slots.fall_back(report)
        self._since, self._reason = None, ""
        self._counts.fallen_back += 1
        _log.error("fallen_back", extra={"from": flying, "to": kept, "why": why})
        self._note()

    def _mend(self, model: Model | None) -> Mending:
        """Make good what is damaged on the disk, also out of a ``model`` in memory."""
        self._tried = self._clock.now()
        mending = self._slots.mend(() if model is None else (model,))
        new, healed = mending.found - self._open, (mending.found | self._open) - mending.open
        self._counts.add(found=len(new), repaired=len(healed), now=self._tried)
        self._open, self.missing = mending.open, mending.missing
        if new or healed:
            fields = {"found": len(new), "repaired": len(healed), "missing": len(mending.missing)}
            _log.warning("disk_damaged", extra=fields)
            self._note()
        return mending

    def _note(self) -> None:
        try:
            self._record.note(self.trust(), self._since)
        except OrbitloopError as error:
            _log.warning("trust_not_noted", extra={"why": str(error)})
