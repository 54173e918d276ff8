"""The ground's metrics in the words of Prometheus.

What the ledger knows is read from it when it is asked for, so that restarts and a second gateway change nothing; what
only this process sees is counted here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from orbitloop.domain.units import Bytes
from orbitloop_ground.adapters.overview import SatelliteSummary
from orbitloop_ground.usecases.watch import Refusal, Way

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_QUIET = 30.0
"""Seconds without a byte after which a contact counts as over although nobody said goodbye."""


class Metrics:
    """A :class:`~orbitloop_ground.usecases.watch.Watch` that Prometheus can scrape.

    Args:
        summaries: what the ledger knows of each satellite.
    """

    def __init__(self, summaries: Callable[[], Sequence[SatelliteSummary]]) -> None:
        self._summaries = summaries
        self._registry = CollectorRegistry()
        self._refusals = Counter(
            "orbitloop_refusals", "Requests and connections turned away", ["reason"], registry=self._registry
        )
        for why in Refusal:
            self._refusals.labels(reason=why.value)
        self._bytes = Counter(
            "orbitloop_payload_bytes",
            "Bodies that crossed, seen from the ground",
            ["satellite", "direction"],
            registry=self._registry,
        )
        self._guard = threading.Lock()
        self._heard: dict[str, float] = {}
        self._registry.register(self)

    def refused(self, why: Refusal) -> None:
        """Somebody was turned away."""
        self._refusals.labels(reason=why.value).inc()

    def crossed(self, satellite: str, way: Way, count: Bytes) -> None:
        """Payload crossed the link."""
        self._bytes.labels(satellite=satellite, direction=way.value).inc(count)
        with self._guard:
            self._heard[satellite] = time.monotonic()

    def left(self, satellite: str) -> None:
        """A satellite said goodbye."""
        with self._guard:
            self._heard.pop(satellite, None)

    def text(self) -> tuple[bytes, str]:
        """Everything, in Prometheus' text format, and its media type."""
        return generate_latest(self._registry), _TEXT

    def collect(self) -> Iterable[Metric]:
        """What is read when it is asked for."""
        summaries = self._summaries()
        counter, gauge = partial(_family, CounterMetricFamily), partial(_family, GaugeMetricFamily)
        yield counter("bundles", "Bundles that the ground holds", summaries, lambda of: of.bundles)
        yield counter("samples", "Samples that the ground holds", summaries, lambda of: of.samples)
        yield counter("sessions", "Contacts that began", summaries, lambda of: of.sessions)
        yield gauge("queued_samples", "Samples that waited on board", summaries, lambda of: of.queued_samples)
        yield gauge("queued_bytes", "Bytes that waited on board", summaries, lambda of: of.queued_bytes)
        last = [of for of in summaries if of.last_contact is not None]
        yield gauge("last_contact_timestamp_seconds", "When the last contact began", last, _last)
        reports = CounterMetricFamily(
            "orbitloop_update_reports", "What became of updates", labels=["satellite", "outcome"]
        )
        for of in summaries:
            for outcome, count in of.reports.items():
                reports.add_metric([of.satellite, outcome], count)
        yield reports
        yield self._contacts(summaries)

    def _contacts(self, summaries: Sequence[SatelliteSummary]) -> Metric:
        with self._guard:
            heard = dict(self._heard)
        open_now = GaugeMetricFamily("orbitloop_contact_open", "1 while a satellite is heard", labels=["satellite"])
        now = time.monotonic()
        for satellite in sorted({of.satellite for of in summaries} | heard.keys()):
            is_open = satellite in heard and now - heard[satellite] < _QUIET
            open_now.add_metric([satellite], float(is_open))
        return open_now


def _family(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    says: str,
    summaries: Sequence[SatelliteSummary],
    value: Callable[[SatelliteSummary], float],
) -> Metric:
    family = kind(f"orbitloop_{name}", says, labels=["satellite"])
    for of in summaries:
        family.add_metric([of.satellite], value(of))
    return family


def _last(of: SatelliteSummary) -> float:
    assert of.last_contact is not None
    return of.last_contact.timestamp()
