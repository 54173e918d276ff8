"""Serve reviews, and have the API server trust who serves them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from orbitloop.domain.errors import Refused
from orbitloop.ports.clock import Clock
from orbitloop_operators.usecases.errors import Stale

_LOG = logging.getLogger(__name__)
_PERIOD = timedelta(minutes=5)
_AUTHORITIES = 3
"""Most that are named at a time: ours, and those of operators that may still serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """How the API server knows the webhook.

    Args:
        names: by which it is called.
        bundles: authorities that are trusted, PEM, by webhook.
        version: of the registration.
    """

    names: tuple[str, ...]
    bundles: Mapping[str, bytes]
    version: str


class Certificate(Protocol):
    """What a server shows, and who vouches for it."""

    @property
    def authority(self) -> bytes:
        """PEM."""
        ...

    @property
    def chain(self) -> bytes:
        """PEM."""
        ...

    @property
    def key(self) -> bytes:
        """PEM."""
        ...

    @property
    def expires(self) -> datetime:
        """When it is no longer good."""
        ...


class Certifier(Protocol):
    """Makes certificates."""

    def make(self, names: Sequence[str], now: datetime) -> Certificate:
        """A new one, for a server of these names."""
        ...

    def still_good(self, bundle: bytes, now: datetime) -> Sequence[bytes]:
        """The authorities of a bundle that have not expired, the newest first."""
        ...


class Registration(Protocol):
    """The registration at the API server."""

    async def read(self) -> Registered:
        """What is registered. Raises ``Refused`` where nothing is, or we may not see it."""
        ...

    async def announce(self, registered: Registered, bundle: bytes) -> None:
        """Have these authorities trusted. Raises ``Stale`` or ``Refused``."""
        ...


class Server(Protocol):
    """Answers reviews."""

    def start(self, chain: bytes, key: bytes) -> None:
        """Begin. Raises ``BadInput`` where it cannot listen."""
        ...

    def renew(self, chain: bytes, key: bytes) -> None:
        """Show another certificate from now on."""
        ...

    def stop(self) -> None:
        """End; idempotent."""
        ...


class Admission:
    """A webhook that the API server trusts, for as long as it runs.

    Its certificate comes from an authority of this process alone, is made anew after two thirds of its life, and is
    never written down: no Secret is needed. Authorities of others that have not expired stay trusted, so that one
    operator may follow another.

    Args:
        registration: at the API server.
        server: answers.
        certifier: makes certificates.
        clock: tells when they expire.
        period: between two looks at the registration.
    """

    def __init__(
        self,
        registration: Registration,
        server: Server,
        certifier: Certifier,
        clock: Clock,
        *,
        period: timedelta = _PERIOD,
    ) -> None:
        self._registration = registration
        self._server = server
        self._certifier = certifier
        self._clock = clock
        self._period = period
        self._shown: Certificate | None = None
        self._names: tuple[str, ...] = ()
        self._renewal: datetime | None = None
        self._complaint = ""

    async def run(self) -> None:
        """Serve until cancelled. Without a registration nothing is served, and it is looked for again.

        Raises:
            BadInput: it cannot listen.
        """
        try:
            while True:
                await self.keep()
                await asyncio.sleep(self._period.total_seconds())
        finally:
            self.stop()

    async def keep(self) -> None:
        """Have it as it should be, whatever happened to it; no write if nothing did."""
        while True:
            try:
                return await self._keep()
            except Stale as stale:
                _LOG.info("admission_registration_changed", extra={"why": str(stale)})
            except Refused as refused:
                return self._complain(str(refused))

    def stop(self) -> None:
        """Answer no more; idempotent."""
        self._server.stop()
        self._shown = None

    def _complain(self, why: str) -> None:
        """Say it once, not at every look."""
        if why != self._complaint:
            _LOG.warning("admission_not_registered", extra={"why": why})
        self._complaint = why

    async def _keep(self) -> None:
        registered, now = await self._registration.read(), self._clock.now()
        if not registered.names:
            raise Refused("the ValidatingWebhookConfiguration has no webhooks; apply operators/manifests/ again")
        wanted = self._wanted(registered.names, now)
        if any(wanted.authority not in bundle for bundle in registered.bundles.values()):
            await self._registration.announce(registered, self._bundle(wanted, registered, now))
            _LOG.info(
                "admission_authority_announced", extra={"names": registered.names, "expires": str(wanted.expires)}
            )
        if self._shown is None:
            self._server.start(wanted.chain, wanted.key)
        elif self._shown is not wanted:
            self._server.renew(wanted.chain, wanted.key)
        self._shown, self._complaint = wanted, ""

    def _wanted(self, names: tuple[str, ...], now: datetime) -> Certificate:
        """What is shown, or what should be from now on."""
        if self._shown is not None and self._names == names and self._renewal is not None and now < self._renewal:
            return self._shown
        made = self._certifier.make(names, now)
        self._names, self._renewal = names, now + (made.expires - now) * 2 / 3
        return made

    def _bundle(self, wanted: Certificate, registered: Registered, now: datetime) -> bytes:
        others = [
            authority
            for bundle in registered.bundles.values()
            for authority in self._certifier.still_good(bundle, now)
            if authority != wanted.authority
        ]
        return b"".join([wanted.authority, *dict.fromkeys(others)][:_AUTHORITIES])
