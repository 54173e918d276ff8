"""Leader election by a Lease of coordination.k8s.io: of several operators one writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orbitloop.domain.errors import Refused
from orbitloop.ports.clock import Clock
from orbitloop_operators.adapters.api_server import Answer, ApiServer, Request, Unreachable, path_to

_LOG = logging.getLogger(__name__)
_API_VERSION = "coordination.k8s.io/v1"
_NOT_FOUND, _CONFLICT = 404, 409


class LeaseLost(Refused):
    """Another operator holds the lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRule:
    """Which lease, and for how long it holds.

    Args:
        namespace: where it is.
        name: what it is called.
        holder: who we are; no two processes that run at the same time are the same.
        duration_s: seconds after the last renewal after which others may take it.
        period_s: seconds between renewals.
    """

    namespace: str
    name: str
    holder: str
    duration_s: int = 15
    period_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < 2 * self.period_s <= self.duration_s:
            raise ValueError(f"a lease of {self.duration_s} s cannot be renewed every {self.period_s} s")


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A lease as somebody else renewed it, and when we saw that first."""

    renewal: tuple[str, str]
    at: float


class Lease:
    """Taken once, kept until somebody else has it; what writes asks :meth:`held` first.

    Whether another's lease has run out is judged by our own clock, from when we first saw its last renewal: the clocks
    of two machines need not agree.

    Args:
        server: must not ask this lease before it writes.
        rule: which.
        clock: of the times that are written.
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, server: ApiServer, rule: LeaseRule, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._server = server
        self._rule = rule
        self._clock = clock
        self._monotonic = monotonic
        self._renewed: float | None = None
        self._seen: _Sighting | None = None
        self._written: dict[str, Any] | None = None
        self._renewal = asyncio.Condition()

    async def take(self) -> None:
        """Wait until it is ours.

        Raises:
            Refused: the API server does not let us have one.
        """
        while not await self._try():
            await asyncio.sleep(self._rule.period_s / 2)
        _LOG.info("lease_taken", extra={"holder": self._rule.holder})

    async def keep(self) -> None:
        """Renew it for ever.

        Raises:
            LeaseLost: another has it.
        """
        while True:
            await asyncio.sleep(self._rule.period_s)
            if not await self._try():
                raise LeaseLost(
                    f"another operator holds the lease {self._rule.namespace}/{self._rule.name}; this one ends, "
                    "and waits for its turn when it is started again"
                )

    async def held(self) -> None:
        """Return once it is certainly ours: a write that starts now ends before anybody else may write."""
        async with self._renewal:
            await self._renewal.wait_for(self._is_fresh)

    async def give_back(self) -> None:
        """Let the next operator start at once."""
        try:
            known = await self._read()
            if known.is_good and known.document["spec"].get("holderIdentity") == self._rule.holder:
                await self._write({**known.document, "spec": {**known.document["spec"], "holderIdentity": ""}})
        except Unreachable as error:
            _LOG.warning("lease_not_given_back", extra={"why": str(error)})

    def _is_fresh(self) -> bool:
        spare = self._rule.duration_s - self._rule.period_s
        return self._renewed is not None and self._monotonic() - self._renewed < spare

    async def _try(self) -> bool:
        """Whether it is ours; an API server that is away changes nothing about that."""
        begun = self._monotonic()
        try:
            mine = await self._take_or_renew(begun)
        except Unreachable as error:
            _LOG.warning("lease_not_renewed", extra={"why": str(error)})
            return self._renewed is not None
        if mine:
            self._renewed = begun
            async with self._renewal:
                self._renewal.notify_all()
        return mine

    async def _take_or_renew(self, now: float) -> bool:
        if self._written is not None and await self._renew(self._written):
            return True
        known = await self._read()
        if known.status == _NOT_FOUND:
            return self._settled(await self._create())
        if not known.is_good:
            raise Refused(f"cannot read the lease {self._rule.namespace}/{self._rule.name}: {known.message}")
        spec = known.document.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        if holder not in {"", self._rule.holder} and not self._has_run_out(spec, holder, now):
            return False
        return self._settled(await self._write({**known.document, "spec": self._spec(spec)}))

    def _has_run_out(self, spec: dict[str, Any], holder: str, now: float) -> bool:
        renewal = (holder, str(spec.get("renewTime")))
        if self._seen is None or self._seen.renewal != renewal:
            self._seen = _Sighting(renewal, now)
        return now - self._seen.at >= int(spec.get("leaseDurationSeconds") or self._rule.duration_s)

    async def _renew(self, written: dict[str, Any]) -> bool:
        """Whether nobody wrote it since we did; that takes one request in place of two."""
        answer = await self._write({**written, "spec": self._spec(written["spec"])})
        return answer.status != _NOT_FOUND and self._settled(answer)

    def _settled(self, answer: Answer) -> bool:
        self._written = answer.document if answer.is_good else None
        if answer.status == _CONFLICT:
            return False
        if not answer.is_good:
            raise Refused(f"cannot write the lease {self._rule.namespace}/{self._rule.name}: {answer.message}")
        return True

    def _spec(self, before: dict[str, Any]) -> dict[str, Any]:
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = before.get("holderIdentity") == self._rule.holder
        changes = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._rule.holder,
            "leaseDurationSeconds": self._rule.duration_s,
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": changes if ours else changes + 1,
        }

    async def _read(self) -> Answer:
        path = path_to(_API_VERSION, "leases", self._rule.namespace, self._rule.name)
        return await self._server.ask_once(Request(verb="GET", path=path, resource="leases"))

    async def _create(self) -> Answer:
        path = path_to(_API_VERSION, "leases", self._rule.namespace)
        metadata = {"name": self._rule.name, "namespace": self._rule.namespace}
        body = {"apiVersion": _API_VERSION, "kind": "Lease", "metadata": metadata, "spec": self._spec({})}
        return await self._server.ask_once(Request(verb="POST", path=path, resource="leases", body=body))

    async def _write(self, document: dict[str, Any]) -> Answer:
        path = path_to(_API_VERSION, "leases", self._rule.namespace, self._rule.name)
        return await self._server.ask_once(Request(verb="PUT", path=path, resource="leases", body=document))
