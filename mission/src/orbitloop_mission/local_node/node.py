"""The machine that carries out all pods, whatever node they are meant for."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field

from orbitloop_mission.local_node.logs import keep_short
from orbitloop_mission.local_node.pod_run import PodRun, Surroundings
from orbitloop_operators.handlers.changes import Document, Key

_POD = ("v1", "Pod")
_OVER = {"Succeeded", "Failed"}


@dataclass(slots=True, kw_only=True)
class _Carried:
    run: PodRun
    task: asyncio.Task[None] = field(init=False)
    leaving: bool = False


class LocalNode:
    """Carries out the pods of a cluster in memory as processes.

    A pod that had not ended when the machine or this program stopped is carried out again from its beginning.

    Args:
        name: the node of pods that name none.
        around: what pods are carried out with.
    """

    def __init__(self, name: str, around: Surroundings) -> None:
        self._name = name
        self._around = around
        self._carried: dict[str, _Carried] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Carry pods out until cancelled; then no process of theirs is left."""
        self._clear_up()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(keep_short(self._around.folder / "logs"))
            leave = self._around.cluster.watch(self._changed, self._gone)
            try:
                await asyncio.Event().wait()
            finally:
                leave()

    def _changed(self, document: Document) -> None:
        if (document["apiVersion"], document["kind"]) != _POD:
            return
        uid = document["metadata"]["uid"]
        leaves = "deletionTimestamp" in document["metadata"]
        if uid in self._carried:
            if leaves:
                self._end(uid)
        elif leaves:
            asyncio.get_running_loop().call_soon(self._around.cluster.remove, Key.of(document), uid)
        elif (document.get("status") or {}).get("phase") not in _OVER:
            self._begin(document)

    def _gone(self, key: Key, uid: str) -> None:
        if (key.api_version, key.kind) != _POD:
            return
        if uid in self._carried:
            self._end(uid)
        else:
            shutil.rmtree(self._around.folder / "pods" / uid, ignore_errors=True)

    def _begin(self, pod: Document) -> None:
        assert self._tasks is not None
        carried = _Carried(run=PodRun(pod, self._around))
        self._carried[pod["metadata"]["uid"]] = carried
        carried.task = self._tasks.create_task(self._carry_out(pod, carried.run))
        carried.task.add_done_callback(lambda _: self._ended(pod, carried.run))

    def _end(self, uid: str) -> None:
        carried = self._carried[uid]
        if carried.leaving:
            return  # it has been told, and has its time
        carried.leaving = True
        carried.run.leave()
        carried.task.cancel()

    async def _carry_out(self, pod: Document, run: PodRun) -> None:
        cluster = self._around.cluster
        there = cluster.get(Key.of(pod))
        if there is not None and not there["spec"].get("nodeName"):
            cluster.bind(there, self._name)
        await run.run()

    def _ended(self, pod: Document, run: PodRun) -> None:
        """Nothing of a pod runs any more; if it was deleted, it is gone now. Called even if it never began."""
        key, uid = Key.of(pod), pod["metadata"]["uid"]
        cluster = self._around.cluster
        del self._carried[uid]
        there = cluster.get(key)
        if there is None or there["metadata"]["uid"] != uid or "deletionTimestamp" in there["metadata"]:
            cluster.remove(key, uid)
            shutil.rmtree(run.folder, ignore_errors=True)

    def _clear_up(self) -> None:
        """Remove what belonged to pods that are no longer there."""
        there = {str(pod["metadata"]["uid"]) for pod in self._around.cluster.all(*_POD)}
        pods = self._around.folder / "pods"
        for folder in pods.iterdir() if pods.is_dir() else ():
            if folder.name not in there:
                shutil.rmtree(folder, ignore_errors=True)
