"""What changes in the cluster, by kopf: each kind is listed and then watched.

kopf indexes every object before it hands out the first event, so that the first look at any object already knows all
the others. Nothing is written to the objects: no finalizer, no annotation.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kopf

from orbitloop_operators.adapters.api_server import configuration_from
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.watched import Watched

_FIRST_RESTS_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_REST_S = 8.0


class Patience:
    """How long to rest between tries, without an end: an API server may be away for a night."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain(_FIRST_RESTS_S, itertools.repeat(_REST_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who is told.

    Args:
        listed: an object as it was when its kind was listed or it changed; before any ``changed``.
        changed: the same, once all kinds have been listed.
        gone: an object was deleted.
        listed_again: a watch was lost for so long that a kind was listed anew; deletions may have been missed.
    """

    listed: Callable[[Document], object]
    changed: Callable[[Document], object]
    gone: Callable[[Key, str], object]
    listed_again: Callable[[str, str], object]

    def from_another_thread(self, loop: asyncio.AbstractEventLoop) -> Told:
        """The same, told in ``loop``."""
        return Told(
            listed=lambda document: loop.call_soon_threadsafe(self.listed, document),
            changed=lambda document: loop.call_soon_threadsafe(self.changed, document),
            gone=lambda key, uid: loop.call_soon_threadsafe(self.gone, key, uid),
            listed_again=lambda version, kind: loop.call_soon_threadsafe(self.listed_again, version, kind),
        )


class Watches:
    """kopf in a thread and an event loop of its own: at its end it cancels every task that it did not know before.

    Args:
        kinds: what is watched; kinds that the cluster does not serve yet are watched once it does.
        told: called in the event loop that :meth:`run` runs in, in order.
        kubeconfig: how to reach the API server, as every other request does.
        namespaces: only these; none: all.
    """

    def __init__(
        self, kinds: Sequence[Watched], told: Told, kubeconfig: Path | None, namespaces: Sequence[str]
    ) -> None:
        self._kinds = tuple(kinds)
        self._told = told
        self._kubeconfig = kubeconfig
        self._namespaces = tuple(namespaces)
        self._begun = threading.Event()
        self._stop = threading.Event()

    @property
    def begun(self) -> bool:
        """Whether watching has begun."""
        return self._begun.is_set()

    async def run(self) -> None:
        """Watch until :meth:`stop`, or until it is cancelled."""
        here = asyncio.get_running_loop()
        registry = _registry(self._kinds, self._told.from_another_thread(here), self._kubeconfig)
        watching = asyncio.create_task(asyncio.to_thread(self._watch, registry))
        try:
            await asyncio.shield(watching)
        finally:
            self.stop()
            await watching

    def stop(self) -> None:
        """End; idempotent."""
        self._stop.set()

    def _watch(self, registry: kopf.OperatorRegistry) -> None:
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it warns that it takes no signals
        asyncio.run(
            kopf.operator(
                registry=registry,
                settings=_settings(),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                ready_flag=self._begun,
                stop_flag=self._stop,
            )
        )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.networking.error_backoffs = Patience()
    settings.networking.connect_timeout = 10.0
    settings.watching.connect_timeout = 10.0
    settings.watching.chunk_size = 500
    settings.process.ultimate_exiting_timeout = 10.0
    return settings


def _registry(kinds: Sequence[Watched], told: Told, kubeconfig: Path | None) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="kubeconfig")(lambda **_: _connection(kubeconfig))
    for kind in kinds:
        _register(registry, kind, told)
    return registry


def _register(registry: kopf.OperatorRegistry, kind: Watched, told: Told) -> None:
    group, _, version = kind.api_version.rpartition("/")
    names = (group, version, kind.plural)
    seen: set[str] = set()

    def index(body: Mapping[str, Any], **_: object) -> None:
        document = _document(body, kind)
        if kind.concerns(document):
            told.listed(document)

    async def event(event: Mapping[str, Any], **_: object) -> None:
        document = _document(event["object"], kind)
        uid = document["metadata"]["uid"]
        if event["type"] == "DELETED":
            seen.discard(uid)
            told.gone(Key.of(document), uid)
            return
        if event["type"] is None and uid in seen:
            told.listed_again(kind.api_version, kind.kind)
        seen.add(uid)
        if kind.concerns(document):
            told.changed(document)

    kopf.index(*names, registry=registry, id="store")(index)
    kopf.on.event(*names, registry=registry, id="look")(event)


def _document(body: Mapping[str, Any], kind: Watched) -> Document:
    return {**body, "apiVersion": kind.api_version, "kind": kind.kind}


def _connection(kubeconfig: Path | None) -> kopf.ConnectionInfo:
    """How kopf reaches the API server: as every other request does."""
    made = configuration_from(kubeconfig)
    token = made.get_api_key_with_prefix("BearerToken") or made.get_api_key_with_prefix("authorization") or ""
    return kopf.ConnectionInfo(
        server=made.host,
        ca_path=made.ssl_ca_cert,
        insecure=not made.verify_ssl,
        token=token.removeprefix("Bearer ") or None,
        username=made.username or None,
        password=made.password or None,
        certificate_path=made.cert_file,
        private_key_path=made.key_file,
    )
