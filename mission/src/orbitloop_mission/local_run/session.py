"""The composition root of a run."""

from __future__ import annotations

import asyncio
import os
import platform
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from orbitloop.adapters.orbits import contact_windows
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.wire.worker_messages import WorkerInfo
from orbitloop_edge.adapters.locks import locked
from orbitloop_mission.local_node.images import Images
from orbitloop_mission.local_node.node import LocalNode
from orbitloop_mission.local_node.pod_run import Surroundings as NodeSurroundings
from orbitloop_mission.local_node.processes import may_mount
from orbitloop_mission.local_run.archive import FolderArchive
from orbitloop_mission.local_run.datasets import DatasetWatch
from orbitloop_mission.local_run.deployments import KIND as DEPLOYMENT
from orbitloop_mission.local_run.deployments import Deployments
from orbitloop_mission.local_run.observations import Observations
from orbitloop_mission.local_run.reports import taking_reports
from orbitloop_mission.local_run.verdicts import Done, Goal, Verdict, verdict
from orbitloop_mission.local_run.wanted import (
    CARRIED_OUT,
    JOB,
    TRANSFORMATION,
    check_wanted,
    not_carried_out,
    put_wanted,
)
from orbitloop_mission.manifests.reading import Manifest, read_manifests
from orbitloop_operators.adapters.memory_cluster import MemoryCluster
from orbitloop_operators.adapters.metrics import Metrics
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.registry import Rules, reconcilers
from orbitloop_operators.handlers.watched import WATCHED
from orbitloop_operators.usecases.agenda import Agenda, BackOff
from orbitloop_operators.usecases.loop import Loop, Surroundings

_AT_ONCE = 4
_POD = ("v1", "Pod")
_TOOLS = "orbitloop/worker-tools"
_LOOK_S, _SETTLED_S = 0.1, 1.0
"""How often it is asked whether the run is over, and for how long an answer other than "done" must stay the same."""


class Narrator(Protocol):
    """Told of a run."""

    def say(self, text: str) -> None:
        """A sentence."""
        ...

    def job(self, document: Document) -> None:
        """A job or a service, whenever it has changed."""
        ...

    def event(self, document: Document) -> None:
        """A Kubernetes Event."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What is run.

    Args:
        manifests: files.
        state: folder in which a run goes on where the last one ended.
        variables: what ``$NAME`` stands for in manifests.
        given: environment of this process, of which workers get a little.
        namespace: of objects that name none.
        images: ``NAME=PATH``, see :class:`~orbitloop_mission.local_node.images.Images`.
        mounts: whether workers get volumes where the manifests mount them, if this process may make mounts.
        goal: when it is over.
    """

    manifests: Sequence[Path]
    state: Path
    variables: Mapping[str, str]
    given: Mapping[str, str]
    namespace: str = "default"
    images: Sequence[str] = ()
    mounts: bool = True
    goal: Goal = field(default_factory=Goal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended.

    Args:
        verdict: why.
        jobs: as they are.
    """

    verdict: Verdict
    jobs: Sequence[Document]


def run_manifests(plan: RunPlan, narrator: Narrator) -> Ended:
    """Run the jobs of manifests until the plan's goal is reached, somebody must help, or Ctrl-C.

    Raises:
        BadInput: a manifest or an option is wrong, or another process uses the folder.
    """
    manifests = read_manifests(plan.manifests, plan.variables, plan.namespace)
    check_wanted(manifests)
    images = Images(plan.manifests[0].absolute().parent, plan.images)
    plan.state.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.callback(os.close, locked(plan.state / "lock", str(plan.state)))
        for text in not_carried_out(manifests):
            narrator.say(text)
        return asyncio.run(_run(plan, manifests, images, narrator))


async def _run(plan: RunPlan, manifests: Sequence[Manifest], images: Images, narrator: Narrator) -> Ended:
    state, clock = plan.state.absolute(), WallClock()
    archive = FolderArchive(state / "objects")
    cluster = MemoryCluster(
        clock, "orbitloop-run", new_uid=lambda: str(uuid.uuid4()), archive=archive, kept=archive.kept()
    )
    name = platform.node().lower() or "localhost"
    put_wanted(cluster, manifests, name)
    begun = {Key.of(job): int((job.get("status") or {}).get("round", 1)) for job in cluster.all(*JOB)}
    goal = replace(plan.goal, begun=begun)
    events = asyncio.get_running_loop()
    own_root = plan.mounts and await may_mount()
    narrator.say(_way(own_root))
    narrator.say(f"logs of workers: {state / 'logs'}")
    around = NodeSurroundings(
        cluster=cluster,
        clock=clock,
        folder=state,
        images=images,
        given=plan.given,
        own_root=own_root,
        say=_once(narrator.say),
    )
    reported: list[Callable[[WorkerInfo], None]] = []
    with taking_reports(state / "port", lambda info: events.call_soon_threadsafe(reported[0], info)) as server:
        loop = _loop(cluster, clock, server, state)
        observations = Observations(clock, loop.changed)
        reported.append(lambda info: _report(info, cluster, observations))
        leave = cluster.watch(_told(loop, narrator), loop.gone)
        node = LocalNode(name, around)
        datasets = DatasetWatch(cluster, observations, clock)
        try:
            return await _first(_watched(cluster, goal, datasets), loop.run(), node.run(), datasets.run())
        finally:
            leave()


def _way(own_root: bool) -> str:
    if own_root:
        return "workers are processes with a root of their own: volumes are where the manifests mount them"
    return (
        "workers are processes that see this machine as it is, without mounts: paths of volumes in their environment "
        "and arguments are translated"
    )


def _loop(cluster: MemoryCluster, clock: WallClock, server: str, state: Path) -> Loop:
    rules = Rules(
        local_controller=server,
        tools_image=_TOOLS,
        autoscaling_version="v2",
        hot_updates=str(state / "model-hot-update"),
        host_names=False,
    )
    agenda = Agenda(BackOff(first=timedelta(seconds=1)))
    carried_out = {kind: one for kind, one in reconcilers(rules, contact_windows).items() if kind != TRANSFORMATION}
    return Loop(
        Surroundings(
            objects=Store(),
            writes=cluster,
            reconcilers={**carried_out, DEPLOYMENT: Deployments()},
            clock=clock,
            monotonic=time.monotonic,
            meter=Metrics(lambda: len(agenda)),
        ),
        agenda,
        _AT_ONCE,
    )


def _told(loop: Loop, narrator: Narrator) -> Callable[[Document], None]:
    """Who hears of a changed object."""
    concerns = {(kind.api_version, kind.kind): kind.concerns for kind in WATCHED}

    def changed(document: Document) -> None:
        kind = (document["apiVersion"], document["kind"])
        if kind in CARRIED_OUT:
            narrator.job(document)
        elif kind == ("v1", "Event"):
            narrator.event(document)
        if kind == _POD or (kind in concerns and concerns[kind](document)):
            loop.changed(document)

    return changed


def _report(info: WorkerInfo, cluster: MemoryCluster, observations: Observations) -> None:
    node = _node_of(info, cluster)
    if node is None:
        return  # of a worker that is none of ours
    told = info.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"name", "namespace", "owner_name", "owner_kind"}
    )
    said = {name: value for name, value in told.items() if name != "reason"} | {"message": info.reason}
    observations.worker(node, f"{info.namespace}/{info.name}", said)


def _node_of(info: WorkerInfo, cluster: MemoryCluster) -> str | None:
    """Where a worker is: the pod of its name, or one of the Deployment of its name."""
    for pod in cluster.all(*_POD):
        metadata = pod["metadata"]
        names = {metadata["name"], *(owner["name"] for owner in metadata.get("ownerReferences", ()))}
        if metadata["namespace"] == info.namespace and info.name in names:
            return str(pod["spec"].get("nodeName", ""))
    return None


async def _watched(cluster: MemoryCluster, goal: Goal, datasets: DatasetWatch) -> Ended:
    """The end of the run, once it has been one for a while."""
    since, before = time.monotonic(), None
    while True:
        jobs = [job for kind in CARRIED_OUT for job in cluster.all(*kind)]
        now = verdict(jobs, goal) if datasets.knows_all else None
        if now != before:
            since, before = time.monotonic(), now
        if now is not None and (isinstance(now, Done) or time.monotonic() - since >= _SETTLED_S):
            return Ended(verdict=now, jobs=jobs)
        await asyncio.sleep(_LOOK_S)


async def _first(main: Coroutine[Any, Any, Ended], *others: Coroutine[Any, Any, None]) -> Ended:
    """Run ``main`` to its end beside what has none; the first to fail ends all, with its own error."""
    result = asyncio.ensure_future(main)
    tasks: list[asyncio.Future[Any]] = [result, *(asyncio.ensure_future(other) for other in others)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if (error := task.exception()) is not None:
            raise _cause(error)
    return result.result()


def _cause(error: BaseException) -> BaseException:
    """What went wrong, out of the groups that tasks wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _once(say: Callable[[str], object]) -> Callable[[str], None]:
    """``say`` for what has not been said before."""
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return tell
