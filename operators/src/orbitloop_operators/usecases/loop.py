"""Look at what is due, ask its reconciler, carry out the answer; again, until nothing is to be done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orbitloop.domain.errors import NotYet, Refused
from orbitloop.ports.clock import Clock
from orbitloop_operators.handlers.changes import Changes, Document, Key, Notice, Reconciler, View
from orbitloop_operators.usecases.agenda import Agenda
from orbitloop_operators.usecases.coexistence import Rivals
from orbitloop_operators.usecases.differences import merge_patch
from orbitloop_operators.usecases.errors import Stale

_LOG = logging.getLogger(__name__)
_REST_WHEN_STALE_S = 0.2
"""A watch is that far behind an answer, or less."""


class Objects(View, Protocol):
    """What has been seen, and takes in more."""

    def put(self, document: Document) -> bool:
        """Take one object; whether that was news."""
        ...

    def drop(self, key: Key, uid: str) -> bool:
        """Forget one object for good; whether it was there."""
        ...


class Writes(Protocol):
    """Carries out what a reconciler wants changed; each part may be repeated."""

    async def create(self, document: Document) -> Document:
        """Have it exist; the object as it is."""
        ...

    async def replace(self, document: Document, known: Document | None) -> Document:
        """Have it exist with exactly this spec; the object as it is."""
        ...

    async def delete(self, key: Key, known: Document | None) -> None:
        """Have no such object."""
        ...

    async def patch_status(self, document: Document, patch: Mapping[str, Any]) -> Document | None:
        """Change the status of this version; ``None``: the object is gone."""
        ...

    async def tell(self, document: Document, notice: Notice) -> None:
        """An Event on the object."""
        ...


class Meter(Protocol):
    """Counts what was looked at."""

    def reconciled(self, kind: str, outcome: str) -> None:
        """One object was looked at."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the loop works with.

    Args:
        objects: what has been seen.
        writes: where changes go.
        reconcilers: by API version and kind.
        clock: what reconcilers are told the time by.
        monotonic: seconds of a clock that never goes back.
        meter: counts.
    """

    objects: Objects
    writes: Writes
    reconcilers: Mapping[tuple[str, str], Reconciler]
    clock: Clock
    monotonic: Callable[[], float]
    meter: Meter


class Loop:
    """Keys come in as objects change; each is reconciled until its reconciler wants nothing.

    Args:
        around: what it works with.
        agenda: what is due.
        at_once: how many objects are worked on at a time; one object is never worked on twice at a time.
    """

    def __init__(self, around: Surroundings, agenda: Agenda, at_once: int) -> None:
        self._around = around
        self._agenda = agenda
        self._slots = asyncio.Semaphore(at_once)
        self._woken = asyncio.Event()
        self._announced: dict[Key, str] = {}
        self._rivals = Rivals(around.objects)

    def changed(self, document: Document) -> None:
        """Look at an object that was seen, and at all that depend on it; once a version."""
        key = Key.of(document)
        self._around.objects.put(document)
        version = document["metadata"]["resourceVersion"]
        if self._announced.get(key) == version:
            return
        self._announced[key] = version
        self._announce(document)

    def gone(self, key: Key, uid: str) -> None:
        """Look at all that depended on an object that is no longer there."""
        known = self._around.objects.get(key)
        if not self._around.objects.drop(key, uid) or known is None:
            return
        self._announced.pop(key, None)
        self._announce(known)

    def leaves_alone(self, api_version: str) -> bool:
        """Whether the kinds of an API version are a rival's to look after; any thread may ask."""
        return self._rivals.claims(api_version)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._slots.acquire()
                key = await self._next()
                tasks.create_task(self._in_slot(key))

    async def settle(self) -> None:
        """Work until nothing is due now. For one machine and for tests; do not :meth:`run` beside it."""
        while (key := self._agenda.take(self._around.monotonic())) is not None:
            await self._look_at(key)

    def next_due(self) -> float | None:
        """When something is due next, by the monotonic clock."""
        return self._agenda.next_due()

    def _announce(self, document: Document) -> None:
        key, now = Key.of(document), self._around.monotonic()
        if (key.api_version, key.kind) in self._around.reconcilers:
            self._agenda.add(key, now)
        for reconciler in self._around.reconcilers.values():
            for related in reconciler.related(document, self._around.objects):
                self._agenda.add(related, now)
        if self._rivals.changed(document):
            for key in self._rivals.contested(self._around.reconcilers):
                self._agenda.add(key, now)
        self._woken.set()

    async def _next(self) -> Key:
        while True:
            self._woken.clear()
            now = self._around.monotonic()
            if (key := self._agenda.take(now)) is not None:
                return key
            due = self._agenda.next_due()
            try:
                async with asyncio.timeout(
                    None if due is None else max(due - now, 0.0)
                ):  # wait_for loses cancellations
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _in_slot(self, key: Key) -> None:
        try:
            await self._look_at(key)
        finally:
            self._slots.release()
            self._woken.set()

    async def _look_at(self, key: Key) -> None:
        """Reconcile one object; whatever happens to it, the others go on."""
        try:
            outcome, rest = await self._reconcile(key)
        except Exception:  # noqa: BLE001  # an object that its reconciler cannot bear must not stop the others
            _LOG.exception("reconcile_broke", extra={"kind": key.kind, "namespace": key.namespace, "object": key.name})
            outcome, rest = "broke", None
        self._around.meter.reconciled(key.kind, outcome)
        if outcome == "done":
            self._agenda.done(key)
            if rest is not None:
                self._agenda.add(key, self._around.monotonic() + rest)
        else:
            self._agenda.failed(key, self._around.monotonic(), rest)

    async def _reconcile(self, key: Key) -> tuple[str, float | None]:
        """How it went, and after how many seconds to look again."""
        document = self._around.objects.get(key)
        if document is None or "deletionTimestamp" in document["metadata"]:
            return "done", None  # what it owns goes with it
        if self._rivals.contests(key):
            return "done", None
        reconciler = self._around.reconcilers[key.api_version, key.kind]
        try:
            changes = reconciler.reconcile(document, self._around.objects, self._around.clock.now())
        except NotYet as error:
            return "waits", None if error.retry_after is None else error.retry_after.total_seconds()
        except Refused as error:
            changes = reconciler.refused(document, error, self._around.clock.now())
        return await self._carry_out(document, reconciler, changes)

    async def _carry_out(
        self, document: Document, reconciler: Reconciler, changes: Changes
    ) -> tuple[str, float | None]:
        try:
            await self._apply(document, changes)
        except Stale:
            return "stale", _REST_WHEN_STALE_S
        except NotYet as error:
            return "waits", None if error.retry_after is None else error.retry_after.total_seconds()
        except Refused as error:
            return await self._show_refusal(document, reconciler, error)
        return "done", None if changes.again is None else changes.again.total_seconds()

    async def _show_refusal(
        self, document: Document, reconciler: Reconciler, error: Refused
    ) -> tuple[str, float | None]:
        key = Key.of(document)
        where = {"kind": key.kind, "namespace": key.namespace, "object": key.name}
        _LOG.warning("change_refused", extra=where | {"why": str(error)})
        try:
            await self._apply(document, reconciler.refused(document, error, self._around.clock.now()))
        except Stale:
            return "stale", _REST_WHEN_STALE_S
        except (NotYet, Refused) as another:
            _LOG.warning("refusal_not_shown", extra=where | {"why": str(another)})
        return "refused", None

    async def _apply(self, document: Document, changes: Changes) -> None:
        around = self._around
        for wanted in changes.create:
            self.changed(await around.writes.create(wanted))
        for wanted in changes.replace:
            self.changed(await around.writes.replace(wanted, around.objects.get(Key.of(wanted))))
        await _each(changes.delete, lambda key: around.writes.delete(key, around.objects.get(key)))
        if changes.status is None:
            return
        patch = merge_patch(document.get("status") or {}, changes.status)
        if not patch:
            return
        written = await around.writes.patch_status(document, patch)
        if written is None:
            return
        self.changed(written)
        await _each(changes.notices, lambda notice: around.writes.tell(written, notice))


async def _each(things: Sequence[Any], act: Callable[[Any], Awaitable[None]]) -> None:
    for thing in things:
        await act(thing)
