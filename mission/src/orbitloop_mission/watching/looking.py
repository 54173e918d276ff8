"""One look at a cluster: three listings.

Listings, and not watches: nothing has to be resumed after the API server was away or has forgotten a version, a look is
whole, and what it costs is a few objects a kind. The operators, which react to all of a cluster at once, do watch.
"""

from __future__ import annotations

from orbitloop.api.kinds import KINDS
from orbitloop.api.orbitloop_v1alpha1.contact_plan import ContactPlan
from orbitloop.api.orbitloop_v1alpha1.satellite import Satellite
from orbitloop.api.parts import Resource
from orbitloop.api.sedna_v1alpha1.incremental_learning_job import IncrementalLearningJob
from orbitloop_mission.cluster_reader import ClusterReader
from orbitloop_mission.watching.views import Scene, scene_of
from orbitloop_operators.handlers.changes import Document


def look_at(reader: ClusterReader, namespace: str = "") -> Scene:
    """What is there, in one namespace or in all. Raises as :meth:`ClusterReader.listed`."""
    jobs, satellites, plans = (
        _listed(reader, kind, namespace) for kind in (IncrementalLearningJob, Satellite, ContactPlan)
    )
    return scene_of(jobs, satellites, plans)


def _listed(reader: ClusterReader, resource: type[Resource], namespace: str) -> list[Document]:
    [kind] = [kind for kind in KINDS if kind.resource is resource]
    return list(reader.listed(kind.api_version, kind.plural, namespace))
