"""One pod, from its first init container to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from orbitloop.ports.clock import Clock
from orbitloop_mission.local_node.environment import Incomplete, Sources, environment, expanded
from orbitloop_mission.local_node.images import Images
from orbitloop_mission.local_node.processes import Bound, Launch, Outcome, Process, translated
from orbitloop_mission.local_node.services import HERE, hosts_file, names_of
from orbitloop_mission.local_node.statuses import (
    ContainerState,
    Running,
    Terminated,
    Waiting,
    phase_of,
    states_of,
    status_of,
)
from orbitloop_mission.local_node.volumes import bound_volumes
from orbitloop_operators.adapters.memory_cluster import MemoryCluster
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.usecases.agenda import BackOff
from orbitloop_operators.usecases.differences import merge_patch

_TERMINATION_LOG = "/dev/termination-log"
_LAST_WORDS, _LAST_LINES_BYTES, _LAST_LINES = 4096, 2048, 80
"""Bytes of a termination message, and of a log in its place with its most lines, as the kubelet bounds them."""
_GRACE_S, _SHUTDOWN_S = 30.0, 5.0
_CALM = timedelta(minutes=10)
"""A container that ran for so long has recovered: its next failure counts as the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What pods are carried out with.

    Args:
        cluster: where pods are, and their statuses go.
        clock: statuses carry its time.
        folder: for logs, volumes that go with their pods, and termination messages.
        images: what stands in for images.
        given: the environment of this process, of which containers get a little.
        own_root: whether containers have a root of their own, in which volumes are where they are wanted.
        back_off: between a container's failures.
        say: told what stands in for what.
    """

    cluster: MemoryCluster
    clock: Clock
    folder: Path
    images: Images
    given: Mapping[str, str]
    own_root: bool
    back_off: BackOff = field(default_factory=lambda: BackOff(first=timedelta(seconds=10)))
    say: Callable[[str], object] = lambda text: None


class PodRun:
    """A pod being carried out.

    Args:
        pod: as it was first seen.
        around: what it is carried out with.
    """

    def __init__(self, pod: Document, around: Surroundings) -> None:
        self._pod = pod
        self._around = around
        self._key = Key.of(pod)
        self._states = states_of(pod)
        self._leaving = False

    @property
    def folder(self) -> Path:
        """What goes with the pod."""
        return self._around.folder / "pods" / str(self._pod["metadata"]["uid"])

    def leave(self) -> None:
        """It is deleted: when it is cancelled now, its containers have their whole time to end."""
        self._leaving = True

    async def run(self) -> None:
        """Carry it out to its end, if it has one; to be cancelled otherwise."""
        spec = self._pod["spec"]
        policy = spec.get("restartPolicy", "Always")
        await self._publish()
        for container in spec.get("initContainers") or ():
            if not await self._keep(container, "Never" if policy == "Never" else "OnFailure"):
                return
        async with asyncio.TaskGroup() as containers:
            for container in spec["containers"]:
                containers.create_task(self._keep(container, policy))

    async def _keep(self, container: Mapping[str, Any], policy: str) -> bool:
        """Run a container, again where ``policy`` says so; whether it ended well."""
        failures = 0
        while True:
            end = await self._once(container)
            if policy == "Never" or (policy == "OnFailure" and end.code == 0):
                return end.code == 0
            failures = 1 if end.ended - end.began > _CALM else failures + 1
            rest = self._around.back_off.after(failures)
            message = f"back-off {rest:g}s restarting failed container={container['name']} pod={self._key.name}"
            await self._now(container, Waiting(reason="CrashLoopBackOff", message=message))
            await asyncio.sleep(rest)

    async def _once(self, container: Mapping[str, Any]) -> Terminated:
        launch = await self._launchable(container)
        log = Path(launch.log)
        length = log.stat().st_size if log.exists() else 0
        began = self._around.clock.now()
        process = Process.start(launch)
        await self._now(container, Running(since=began))
        try:
            outcome = await process.wait()
        except asyncio.CancelledError:
            grace = float(self._pod["spec"].get("terminationGracePeriodSeconds", _GRACE_S))
            await process.stop(grace if self._leaving else min(grace, _SHUTDOWN_S))
            raise
        end = Terminated(
            code=outcome.code,
            signal=outcome.signal,
            reason=_reason(outcome),
            message=outcome.trouble or self._last_words(container, log, length, outcome),
            began=began,
            ended=self._around.clock.now(),
        )
        await self._now(container, end)
        return end

    async def _launchable(self, container: Mapping[str, Any]) -> Launch:
        """How a container is started, once all that it needs is there."""
        failures = 0
        while True:
            try:
                return self._launch(container)
            except Incomplete as error:
                failures += 1
                await self._now(container, Waiting(reason="CreateContainerConfigError", message=str(error)))
                await asyncio.sleep(self._around.back_off.after(failures))

    def _launch(self, container: Mapping[str, Any]) -> Launch:
        around, name = self._around, container["name"]
        image = around.images.of(container["image"])
        base = image.base(around.given) | {"HOSTNAME": self._key.name}
        sources = Sources(pod=self._current(), find=self._find, base=base)
        values = environment(container, sources)
        command = [expanded(word, values) for word in container.get("command") or ()]
        arguments = [expanded(word, values) for word in container.get("args") or ()]
        if not command and not arguments:
            raise Incomplete(f"container {name} has neither command nor args, and its image is not pulled; write one")
        if not command or command[0] in {"python", "python3"}:
            command = [str(image.python), *command[1:]]
        words = self.folder / "termination" / name
        _make_empty(words)
        target = container.get("terminationMessagePath") or _TERMINATION_LOG
        mounts = [*bound_volumes(container, self.folder, sources), Bound(source=str(words), target=target)]
        services = names_of(around.cluster.all("v1", "Service"), self._key.namespace)
        if services and around.own_root:
            mounts.append(Bound(source=str(hosts_file(services, self.folder / "hosts")), target="/etc/hosts"))
        elif services:
            values = {variable: HERE if value in services else value for variable, value in values.items()}
        launch = Launch(
            argv=[*command, *arguments],
            env=values,
            folder=container.get("workingDir") or str(image.folder),
            log=str(self._log(name)),
            root=str(self._root(name)) if around.own_root else "",
            mounts=mounts,
        )
        around.say(around.images.told(container["image"]))
        return launch if around.own_root else translated(launch, mounts)

    def _root(self, name: str) -> Path:
        root = self.folder / "roots" / name
        root.mkdir(parents=True, exist_ok=True)
        return root

    def _log(self, name: str) -> Path:
        folder = self._around.folder / "logs" / self._key.namespace / self._key.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"

    def _find(self, kind: str, name: str) -> Document | None:
        return self._around.cluster.get(Key(api_version="v1", kind=kind, namespace=self._key.namespace, name=name))

    def _current(self) -> Document:
        return self._around.cluster.get(self._key) or self._pod

    def _last_words(self, container: Mapping[str, Any], log: Path, begin: int, outcome: Outcome) -> str:
        said = _tail(self.folder / "termination" / container["name"], 0, _LAST_WORDS)
        if said or outcome.code == 0 or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return said
        return "".join(_tail(log, begin, _LAST_LINES_BYTES).splitlines(keepends=True)[-_LAST_LINES:])

    async def _now(self, container: Mapping[str, Any], state: Waiting | Running | Terminated) -> None:
        name = container["name"]
        self._states[name] = self._states[name].now(state)
        await self._publish()

    async def _publish(self) -> None:
        """Write the status, if the pod is still there."""
        around = self._around
        pod = around.cluster.get(self._key)
        if pod is None or pod["metadata"]["uid"] != self._pod["metadata"]["uid"]:
            return
        phase = phase_of(*self._parts(), pod["spec"].get("restartPolicy", "Always"))
        wanted = status_of(pod, self._states, phase, around.clock.now())
        await around.cluster.patch_status(pod, merge_patch(pod.get("status") or {}, wanted))

    def _parts(self) -> tuple[list[ContainerState], list[ContainerState]]:
        spec = self._pod["spec"]
        first = [self._states[one["name"]] for one in spec.get("initContainers") or ()]
        return first, [self._states[one["name"]] for one in spec["containers"]]


def _reason(outcome: Outcome) -> str:
    if outcome.trouble:
        return "StartError"
    return "Completed" if outcome.code == 0 else "Error"


def _make_empty(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def _tail(path: Path, begin: int, most: int) -> str:
    """The last ``most`` bytes of a file from ``begin`` on, as text."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(begin if begin <= end else 0, end - most))  # it may have been shortened meanwhile
        return file.read(most).decode(errors="replace")
