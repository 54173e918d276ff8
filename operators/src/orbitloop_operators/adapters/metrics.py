"""The operators' metrics in the words of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """What was asked of the API server, what was looked at, and how much waits.

    Args:
        waiting: how many objects are to be looked at.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "orbitloop_operators_api_requests",
            "Requests to the API server; watches not counted",
            ["verb", "resource", "status"],
            registry=self._registry,
        )
        self._reconciles = Counter(
            "orbitloop_operators_reconciles", "Objects looked at", ["kind", "outcome"], registry=self._registry
        )
        Gauge(
            "orbitloop_operators_queue_length", "Objects that are to be looked at", registry=self._registry
        ).set_function(waiting)

    def requested(self, verb: str, resource: str, status: int) -> None:
        """One request was answered; ``status`` is 0 where nobody answered."""
        self._requests.labels(verb=verb, resource=resource, status=str(status)).inc()

    def reconciled(self, kind: str, outcome: str) -> None:
        """One object was looked at."""
        self._reconciles.labels(kind=kind, outcome=outcome).inc()

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
