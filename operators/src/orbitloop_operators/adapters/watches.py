"""What changes in the cluster, by kopf. Nothing is written to the objects: no finalizer, no annotation.

kopf could hold back its first events until it has indexed all objects, but each object then wakes all others that wait:
with thousands of them that takes minutes. So all is listed before kopf begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import kopf
from kopf._cogs.structs import references  # what kopf has found; it shows it nowhere else
from kubernetes import client

from orbitloop_operators.adapters.api_server import configuration_from
from orbitloop_operators.adapters.listing import Told
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.watched import Watched

_LOG = logging.getLogger(__name__)
_DEFINITIONS = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_CHATTY = (
    "kopf._core.reactor.running",  # warns that it takes no signals in this thread
    "asyncio",  # kopf's streams complain when they are cancelled while they connect
)
_NO_PEER: Any = "orbitloop-operators"
"""Kopf's peering is off; left to itself it would ask for the user's name, and in a pod the user may have none."""
_REST_BETWEEN_S = 1.0
_CREDENTIALS_HOLD = timedelta(days=365)
_FIRST_RESTS_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_REST_S = 8.0


class Patience:
    """How long to rest between tries, without an end: an API server may be away for a night."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain(_FIRST_RESTS_S, itertools.repeat(_REST_S))


class Listed(Protocol):
    """Asks for objects as a whole."""

    async def complete(self, kinds: Sequence[Watched]) -> None:
        """Have all objects of these kinds be known, and tell of them."""
        ...

    def ask(self, kind: Watched) -> None:
        """Do so soon, for one kind: its watch was lost for so long that deletions may have been missed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ears:
    """Who hears what the watches see, in another thread.

    Args:
        loop: that they are told in, in order.
        told: of what changed and what is gone.
        listed: asked, where a watch may have missed something.
    """

    loop: asyncio.AbstractEventLoop
    told: Told
    listed: Listed

    def changed(self, document: Document) -> None:
        """An object as it is now."""
        self.loop.call_soon_threadsafe(self.told.changed, document)

    def gone(self, key: Key, uid: str) -> None:
        """An object was deleted."""
        self.loop.call_soon_threadsafe(self.told.gone, key, uid)

    def listed_again(self, kind: Watched) -> None:
        """A watch was lost."""
        self.loop.call_soon_threadsafe(self.listed.ask, kind)


class Watches:
    """kopf in a thread and an event loop of its own: at its end it cancels every task that it did not know before.

    kopf is told to watch what is served, and is started again when that changes: left to itself it forgets kinds that
    an API server does not serve yet while it starts, and never looks for them again.

    Args:
        kinds: what is watched; kinds that the cluster does not serve yet are watched once it does.
        told: called in the event loop that :meth:`run` runs in, in order.
        listed: asked for all objects before they are watched.
        served: which kinds of an API version the cluster serves now.
        kubeconfig: how to reach the API server, as every other request does.
        namespaces: only these; none: all.
    """

    def __init__(
        self,
        kinds: Sequence[Watched],
        told: Told,
        listed: Listed,
        served: Callable[[str], Awaitable[Collection[str]]],
        *,
        kubeconfig: Path | None,
        namespaces: Sequence[str],
    ) -> None:
        self._kinds = tuple(kinds)
        self._told = told
        self._listed = listed
        self._served = served
        self._kubeconfig = kubeconfig
        self._namespaces = tuple(namespaces)
        self._begun = threading.Event()

    @property
    def begun(self) -> bool:
        """Whether watching has begun."""
        return self._begun.is_set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            kinds = await self._kinds_served()
            await self._listed.complete(kinds)
            await self._watch_until(asyncio.Event(), kinds)
            await asyncio.sleep(_REST_BETWEEN_S)

    async def _kinds_served(self) -> tuple[Watched, ...]:
        versions = dict.fromkeys(kind.api_version for kind in self._kinds)
        served = {version: await self._served(version) for version in versions}
        return tuple(kind for kind in self._kinds if kind.kind in served[kind.api_version])

    async def _watch_until(self, changed: asyncio.Event, kinds: Sequence[Watched]) -> None:
        """Watch these kinds until the definitions say that others are served, or kopf ends by itself."""
        here = asyncio.get_running_loop()
        ears = Ears(loop=here, told=self._told, listed=self._listed)
        registry = _registry(kinds, ears, self._kubeconfig)
        definitions = _Definitions(self._kinds, kinds, lambda: here.call_soon_threadsafe(changed.set))
        definitions.register(registry)
        stop = threading.Event()
        watching = asyncio.create_task(asyncio.to_thread(self._watch, registry, kinds, stop))
        waiting = asyncio.create_task(changed.wait())
        try:
            await asyncio.wait((watching, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            stop.set()
            (ended,) = await asyncio.gather(watching, return_exceptions=True)
        if isinstance(ended, BaseException):
            _LOG.error("watches_broke", exc_info=ended)

    def _watch(self, registry: kopf.OperatorRegistry, kinds: Sequence[Watched], stop: threading.Event) -> None:
        """Run kopf until it is to stop, or one of its tasks ends: they never do so but by an error, which is raised."""
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            try:
                loop.run_until_complete(self._until(stop, registry, kinds))
            finally:
                _abandon(loop)

    async def _until(self, stop: threading.Event, registry: kopf.OperatorRegistry, kinds: Sequence[Watched]) -> None:
        insights = references.Insights()
        roots = await kopf.spawn_tasks(
            registry=registry,
            settings=_settings(),
            standalone=True,
            identity=_NO_PEER,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            ready_flag=self._begun,
            insights=insights,
        )
        stopping = asyncio.ensure_future(asyncio.to_thread(stop.wait))
        missing = asyncio.ensure_future(_missing(insights, kinds))
        done, _ = await asyncio.wait((*roots, stopping, missing), return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()


async def _missing(insights: references.Insights, kinds: Sequence[Watched]) -> None:
    """Return once kopf has found less than these kinds; it would not look for the rest again.

    An API server that has only just started does not tell of all that it serves.
    """
    await insights.ready_resources.wait()
    found = {(one.group, one.version, one.plural) for one in insights.watched_resources}
    wanted = {(*_group_and_version(kind), kind.plural) for kind in kinds}
    if wanted <= found:
        await asyncio.Event().wait()
    _LOG.warning("kinds_not_found", extra={"kinds": sorted(plural for *_, plural in wanted - found)})


def _abandon(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left, without waiting long: kopf's streams swallow it while they wait for credentials."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=_REST_BETWEEN_S))


class _Definitions:
    """Watches CustomResourceDefinitions, and says when another set of kinds is served than is watched.

    Args:
        wanted: all kinds of interest.
        watched: those that are watched now.
        changed: told.
    """

    def __init__(self, wanted: Sequence[Watched], watched: Sequence[Watched], changed: Callable[[], object]) -> None:
        self._wanted = {(kind.api_version, kind.kind) for kind in wanted}
        self._watched = {(kind.api_version, kind.kind) for kind in watched}
        self._changed = changed

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Have kopf watch the definitions."""
        kopf.on.event(*_DEFINITIONS, registry=registry, id="definitions")(self._event)

    async def _event(self, event: Mapping[str, Any], **_: object) -> None:
        spec = event["object"]["spec"]
        kinds = {(f"{spec['group']}/{version['name']}", spec["names"]["kind"]) for version in spec["versions"]}
        served = event["type"] != "DELETED" and _is_established(event["object"])
        if (kinds & self._wanted) and served != bool(kinds & self._watched):
            self._changed()


def _is_established(definition: Mapping[str, Any]) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = Patience()
    settings.networking.connect_timeout = 10.0
    settings.watching.connect_timeout = 10.0
    settings.watching.chunk_size = 500
    settings.process.ultimate_exiting_timeout = None  # it would kill this process
    return settings


def _registry(kinds: Sequence[Watched], ears: Ears, kubeconfig: Path | None) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="kubeconfig")(lambda **_: _connection(kubeconfig))
    for kind in kinds:
        _register(registry, kind, ears)
    return registry


def _register(registry: kopf.OperatorRegistry, kind: Watched, ears: Ears) -> None:
    group, version = _group_and_version(kind)
    seen: set[str] = set()

    async def event(event: Mapping[str, Any], **_: object) -> None:
        document = _document(event["object"], kind)
        uid = document["metadata"]["uid"]
        if event["type"] == "DELETED":
            seen.discard(uid)
            ears.gone(Key.of(document), uid)
            return
        if event["type"] is None and uid in seen:
            ears.listed_again(kind)
        seen.add(uid)
        if kind.concerns(document):
            ears.changed(document)

    kopf.on.event(group, version, kind.plural, registry=registry, id="look")(event)


def _group_and_version(kind: Watched) -> tuple[str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return group, version


def _document(body: Mapping[str, Any], kind: Watched) -> Document:
    return {**body, "apiVersion": kind.api_version, "kind": kind.kind}


def _connection(kubeconfig: Path | None) -> kopf.ConnectionInfo:
    """How kopf reaches the API server: as every other request does.

    kopf never again takes credentials that are equal to some that were refused, and an API server that starts refuses
    good ones: the expiration makes each unlike all before.
    """
    made = configuration_from(kubeconfig)
    return kopf.ConnectionInfo(
        server=made.host,
        ca_path=made.ssl_ca_cert,
        insecure=not made.verify_ssl,
        token=bearer_token(made),
        username=made.username or None,
        password=made.password or None,
        certificate_path=made.cert_file,
        private_key_path=made.key_file,
        expiration=datetime.now(UTC) + _CREDENTIALS_HOLD,
    )


def bearer_token(made: client.Configuration) -> str | None:
    """The token alone: a kubeconfig's comes behind ``Bearer``, a pod's behind ``bearer``."""
    key = made.get_api_key_with_prefix("BearerToken") or made.get_api_key_with_prefix("authorization") or ""
    scheme, _, token = key.rpartition(" ")
    return token if scheme.lower() in ("", "bearer") and token else None
