"""Every check of a cluster, in the order in which one would mend things."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orbitloop.domain.findings import Finding
from orbitloop_mission.doctor import installation, satellites
from orbitloop_mission.doctor.facts import ClusterFacts

CHECKS: tuple[Callable[[ClusterFacts], Iterator[Finding]], ...] = (
    installation.server,
    installation.clock,
    installation.definitions,
    installation.rival,
    installation.operators,
    installation.lease,
    installation.webhook,
    installation.secrets,
    installation.storage,
    installation.gateway,
    installation.other_pods,
    satellites.ground,
    satellites.satellites,
)


def examined(facts: ClusterFacts) -> tuple[Finding, ...]:
    """All findings; of a cluster that does not answer, that alone."""
    checks = CHECKS[:1] if facts.away else CHECKS
    return tuple(finding for check in checks for finding in check(facts))
