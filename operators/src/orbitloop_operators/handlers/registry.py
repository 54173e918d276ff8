"""Which reconciler looks after which kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orbitloop_operators.handlers.changes import Reconciler


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the reconcilers are told of the cluster.

    Args:
        local_controller: what workers are told their Local Controller is at.
        tools_image: image with orbitloop's worker tools, for init containers.
        autoscaling_version: of HorizontalPodAutoscalers, ``v2`` or ``v2beta2``.
    """

    local_controller: str
    tools_image: str
    autoscaling_version: str


def reconcilers(rules: Rules) -> Mapping[tuple[str, str], Reconciler]:  # noqa: ARG001  # the first ones need none
    """All of them, by API version and kind."""
    return {}
