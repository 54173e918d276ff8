"""Which kinds are watched, and which objects of them are of interest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orbitloop.api.kinds import KINDS
from orbitloop_operators.handlers.changes import Document
from orbitloop_operators.handlers.worker_groups import MAKERS, TRAINING_RUNTIME, worker_of

_GROUPS = ("sedna.io/", "orbitloop.io/")
_SEDNAS_MANAGER = "sedna-gm"
"""What the image of Sedna's Global Manager is called."""


def is_made_for_a_job(document: Document) -> bool:
    """Whether an object of ours, or of Sedna's kinds, owns it."""
    owners = document["metadata"].get("ownerReferences", ())
    return any(str(owner.get("apiVersion", "")).startswith(_GROUPS) for owner in owners)


def is_of_a_worker(document: Document) -> bool:
    """Whether it is made for a job, or by what is."""
    return is_made_for_a_job(document) or bool(worker_of(document))


def is_sednas_manager(document: Document) -> bool:
    """Whether a Deployment is of Sedna's Global Manager, running or not."""
    pod = (document.get("spec") or {}).get("template", {}).get("spec", {})
    images = (str(container.get("image", "")) for container in pod.get("containers", ()))
    return any(_SEDNAS_MANAGER in image.rsplit("/", 1)[-1] for image in images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A kind that is watched.

    Args:
        api_version: as in manifests.
        plural: its name in paths.
        concerns: whether an object of it is of interest.
    """

    api_version: str
    kind: str
    plural: str
    concerns: Callable[[Document], bool] = lambda document: True


WATCHED: tuple[Watched, ...] = (
    *(Watched(api_version=kind.api_version, kind=kind.name, plural=kind.plural) for kind in KINDS),
    Watched(api_version="v1", kind="Pod", plural="pods", concerns=is_of_a_worker),
    Watched(api_version="v1", kind="Service", plural="services", concerns=is_made_for_a_job),
    Watched(
        api_version="apps/v1",
        kind="Deployment",
        plural="deployments",
        concerns=lambda document: is_made_for_a_job(document) or is_sednas_manager(document),
    ),
    Watched(api_version="v1", kind="Node", plural="nodes"),
    *(
        Watched(api_version=kind[0], kind=kind[1], plural=f"{kind[1].lower()}s", concerns=is_made_for_a_job)
        for kind in (*MAKERS, TRAINING_RUNTIME)
    ),
)
"""Kinds that clusters serve in one version, or not at all."""


def watched(autoscaling_version: str) -> tuple[Watched, ...]:
    """All of them, with autoscalers in the version that they are written in."""
    scalers = Watched(
        api_version=f"autoscaling/{autoscaling_version}",
        kind="HorizontalPodAutoscaler",
        plural="horizontalpodautoscalers",
        concerns=is_made_for_a_job,
    )
    return (*WATCHED, scalers)
