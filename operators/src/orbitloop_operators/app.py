"""The composition root of the Global Manager."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orbitloop.adapters.log_lines import log_to_stderr
from orbitloop.adapters.orbits import contact_windows
from orbitloop.adapters.wall_clock import WallClock
from orbitloop_operators.adapters.api_server import ApiServer, configuration_from
from orbitloop_operators.adapters.authority import Authority
from orbitloop_operators.adapters.cluster import Cluster
from orbitloop_operators.adapters.lease import Lease, LeaseRule
from orbitloop_operators.adapters.listing import Listing, Told
from orbitloop_operators.adapters.metrics import Metrics
from orbitloop_operators.adapters.nodes import HttpGateway
from orbitloop_operators.adapters.registration import Registration
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.adapters.watches import Watches
from orbitloop_operators.handlers.changes import Document, Key, Reconciler
from orbitloop_operators.handlers.registry import Rules, reconcilers
from orbitloop_operators.handlers.watched import Watched, watched
from orbitloop_operators.http.probes import Probes, serve_probes
from orbitloop_operators.http.webhook import Webhook
from orbitloop_operators.settings import OperatorSettings
from orbitloop_operators.usecases.admission import Admission
from orbitloop_operators.usecases.agenda import Agenda, BackOff
from orbitloop_operators.usecases.bridge import NodeBridge, Shores
from orbitloop_operators.usecases.loop import Loop, Surroundings
from orbitloop_operators.usecases.reviews import answer

_LOG = logging.getLogger(__name__)
_COMPONENT = "orbitloop-operators"
_FIRST_REST = timedelta(seconds=1)
_WITH_INDEXED_JOBS = (1, 24)
"""Before, they were on trial."""


@dataclass(slots=True, kw_only=True)
class _Operator:
    """What one process holds."""

    settings: OperatorSettings
    metrics: Metrics
    server: ApiServer
    lease: Lease | None
    loop: Loop
    listing: Listing
    watches: Watches
    admission: Admission | None
    bridge: NodeBridge | None

    def is_ready(self) -> bool:
        return self.watches.begun


def operate(settings: OperatorSettings) -> None:
    """Run the Global Manager until SIGTERM or SIGINT; where it answers probes is one line of JSON on standard output.

    Raises:
        BadInput: the API server cannot be found, or the probes' port is taken.
        Refused: another operator took the lease, or the API server refuses us one.
    """
    log_to_stderr(_COMPONENT, quiet=("kopf", "urllib3"))
    asyncio.run(_operate(settings))


async def _operate(settings: OperatorSettings) -> None:
    rules = await _rules(settings)
    operator = _composed(settings, reconcilers(rules, contact_windows), watched(rules.autoscaling_version))
    probes = Probes(ready=operator.is_ready, metrics=operator.metrics.text)
    server = serve_probes(settings.probes_host, settings.probes_port, probes)
    sys.stdout.write(json.dumps({"probes_port": server.server_port}) + "\n")
    sys.stdout.flush()
    leading = asyncio.ensure_future(_lead(operator))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leading.cancel)
    try:
        await leading
    except asyncio.CancelledError:
        _LOG.info("told_to_end")
    finally:
        if operator.lease is not None:
            await operator.lease.give_back()
        server.shutdown()
        operator.server.close()


async def _rules(settings: OperatorSettings) -> Rules:
    """What the reconcilers are told, of this API server too.

    That is the newest version of HorizontalPodAutoscalers with metrics that it serves, and whether Jobs are indexed.
    """
    server = ApiServer(configuration_from(settings.kubeconfig), Metrics(int), threads=1)
    try:
        autoscaling = settings.autoscaling_version
        if autoscaling is None:
            autoscaling = "v2" if await server.served("autoscaling/v2") else "v2beta2"
        return settings.rules(autoscaling, indexed_jobs=await server.version() >= _WITH_INDEXED_JOBS)
    finally:
        server.close()


async def _lead(operator: _Operator) -> None:
    """Work, once the lease is ours, until cancelled; the first part to fail ends all, with its own error."""
    parts: list[Callable[[], Coroutine[Any, Any, None]]] = [
        operator.watches.run,
        operator.loop.run,
        operator.listing.run,
    ]
    if operator.admission is not None:
        parts.append(operator.admission.run)
    if operator.bridge is not None:
        parts.append(operator.bridge.run)
    if operator.lease is not None:
        await operator.lease.take()
        parts.append(operator.lease.keep)
    tasks = [asyncio.create_task(part()) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _composed(
    settings: OperatorSettings, by_kind: Mapping[tuple[str, str], Reconciler], watched: tuple[Watched, ...]
) -> _Operator:
    clock, store = WallClock(), Store()
    agenda = Agenda(BackOff(first=_FIRST_REST))
    metrics = Metrics(lambda: len(agenda))
    configuration = configuration_from(settings.kubeconfig)
    lease = _lease(settings, metrics, clock) if settings.lease else None
    server = ApiServer(
        configuration, metrics, threads=settings.at_once, may_write=None if lease is None else lease.held
    )
    cluster = Cluster(server, clock, _COMPONENT)
    around = Surroundings(
        objects=store, writes=cluster, reconcilers=by_kind, clock=clock, monotonic=time.monotonic, meter=metrics
    )
    loop = Loop(around, agenda, settings.at_once)
    bridge = _bridge(settings, store, loop, lambda: watches.begun)

    def changed(document: Document) -> None:
        loop.changed(document)
        if bridge is not None:
            bridge.changed(document)

    def gone(key: Key, uid: str) -> None:
        loop.gone(key, uid)
        if bridge is not None:
            bridge.gone(key)

    told = Told(changed=changed, gone=gone)
    listing = Listing(cluster, store, told, watched, settings.namespaces)
    watches = Watches(
        watched,
        told,
        listing,
        server.served,
        kubeconfig=settings.kubeconfig,
        namespaces=settings.namespaces,
    )
    return _Operator(
        settings=settings,
        metrics=metrics,
        server=server,
        lease=lease,
        loop=loop,
        listing=listing,
        watches=watches,
        admission=_admission(settings, server, loop, clock) if settings.admission else None,
        bridge=bridge,
    )


def _bridge(settings: OperatorSettings, store: Store, loop: Loop, is_complete: Callable[[], bool]) -> NodeBridge | None:
    if settings.gateway is None or settings.gateway_token is None:
        return None
    shores = Shores(
        gateway=HttpGateway(settings.gateway, settings.gateway_token),
        view=store,
        is_complete=is_complete,
        observed=loop.changed,
        monotonic=time.monotonic,
    )
    return NodeBridge(shores)


def _admission(settings: OperatorSettings, server: ApiServer, loop: Loop, clock: WallClock) -> Admission:
    webhook = Webhook(
        settings.admission_host, settings.admission_port, lambda review: answer(review, loop.leaves_alone)
    )
    return Admission(Registration(server, settings.admission_name), webhook, Authority(), clock)


def _lease(settings: OperatorSettings, metrics: Metrics, clock: WallClock) -> Lease:
    holder = settings.lease_identity or f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    rule = LeaseRule(namespace=settings.lease_namespace, name=settings.lease_name, holder=holder)
    return Lease(ApiServer(configuration_from(settings.kubeconfig), metrics, threads=1), rule, clock, time.monotonic)
