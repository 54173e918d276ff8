"""Pods as processes of this machine: what a kubelet promises, kept without containers."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orbitloop.adapters.wall_clock import WallClock
from orbitloop_mission.local_node.images import Images
from orbitloop_mission.local_node.node import LocalNode
from orbitloop_mission.local_node.pod_run import Surroundings
from orbitloop_mission.local_node.processes import Launch, may_mount
from orbitloop_operators.adapters.memory_cluster import MemoryCluster
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.usecases.agenda import BackOff

SOON = BackOff(first=timedelta(milliseconds=50), longest=timedelta(milliseconds=100))
NUMBERS = itertools.count()


def key_of(kind: str, name: str) -> Key:
    return Key(api_version="v1", kind=kind, namespace="default", name=name)


@dataclass
class Machine:
    """A cluster, and the machine that carries its pods out."""

    folder: Path
    own_root: bool
    cluster: MemoryCluster = field(
        default_factory=lambda: MemoryCluster(WallClock(), "tests", new_uid=lambda: str(uuid.uuid4()))
    )
    back_off: BackOff = SOON
    deletions: list[asyncio.Future[None]] = field(default_factory=list)

    def node(self) -> LocalNode:
        around = Surroundings(
            cluster=self.cluster,
            clock=WallClock(),
            folder=self.folder / "node",
            images=Images(self.folder),
            given=os.environ,
            own_root=self.own_root,
            back_off=self.back_off,
        )
        return LocalNode("here", around)

    def until(self, *steps: Callable[[], bool]) -> None:
        """Carry pods out until each step, in turn, has been reached."""

        async def work() -> None:
            task = asyncio.create_task(self.node().run())
            for reached in steps:
                while not reached():
                    await asyncio.wait([task], timeout=0.01)
                    if task.done():
                        task.result()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(work())

    def carry_out(self, **pod: Any) -> Document:
        """A pod, once it is over."""
        key = Key.of(self.add(**pod))
        self.until(lambda: self.phase(key) in {"Succeeded", "Failed"})
        found = self.cluster.get(key)
        assert found is not None
        return found

    def add(self, *containers: dict[str, Any], name: str = "", **spec: Any) -> Document:
        document = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name or f"pod-{next(NUMBERS)}", "namespace": "default"},
            "spec": {"restartPolicy": "Never", **spec} | ({"containers": list(containers)} if containers else {}),
        }
        return self.cluster.apply(document)

    def delete(self, key: Key) -> None:
        """From inside of :meth:`until`."""
        self.deletions.append(asyncio.ensure_future(self.cluster.delete(key, None)))

    def phase(self, key: Key) -> str:
        pod = self.cluster.get(key)
        return "gone" if pod is None else str(pod["status"]["phase"])

    def log(self, pod: Document, name: str = "c") -> str:
        folder = self.folder / "node" / "logs" / "default" / str(pod["metadata"]["name"])
        return (folder / f"{name}.log").read_text()


@pytest.fixture(params=["own root", "as it is"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    if request.param == "own root" and not asyncio.run(may_mount()):
        pytest.skip("this process may not make mounts")
    return Machine(folder=tmp_path, own_root=request.param == "own root")


def shell(script: str, *, name: str = "c", **more: Any) -> dict[str, Any]:
    """A container; the dollars in its script are the shell's, and so are written twice."""
    command = ["/bin/sh", "-c", script.replace("$", "$$")]
    return {"name": name, "image": "example.org/none:1", "command": command, **more}


def end_of(pod: Document, name: str = "c") -> dict[str, Any]:
    statuses = [*pod["status"].get("initContainerStatuses", ()), *pod["status"]["containerStatuses"]]
    found: dict[str, Any] = next(one for one in statuses if one["name"] == name)["state"]["terminated"]
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_pod_does_its_work_and_says_so(machine: Machine) -> None:
    pod = machine.carry_out(containers=[shell("echo said; echo -n last > $LOG; exit 0", env=[LOG])])
    assert pod["status"]["phase"] == "Succeeded"
    assert pod["spec"]["nodeName"] == "here"
    assert end_of(pod)["reason"] == "Completed"
    assert end_of(pod)["message"] == "last"
    assert machine.log(pod) == "said\n"


LOG = {"name": "LOG", "value": "/dev/termination-log"}


def test_a_failure_is_shown_with_its_code_and_the_end_of_its_log(machine: Machine) -> None:
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    pod = machine.carry_out(containers=[shell("echo why >&2; exit 7", **policy)])
    assert pod["status"]["phase"] == "Failed"
    assert (end_of(pod)["exitCode"], end_of(pod)["reason"], end_of(pod)["message"]) == (7, "Error", "why\n")


def test_a_signal_is_a_code_above_128(machine: Machine) -> None:
    end = end_of(machine.carry_out(containers=[shell("kill -9 $$")]))
    assert (end["exitCode"], end["signal"]) == (137, 9)


def test_a_program_that_is_not_there_is_said(machine: Machine) -> None:
    container = {"name": "c", "image": "i", "command": ["no-such-program"]}
    end = end_of(machine.carry_out(containers=[container]))
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert "no-such-program" in end["message"]
    assert "No such file" in end["message"]


def test_init_containers_come_first_and_in_order(machine: Machine) -> None:
    folder = machine.folder / "shared"
    volume = {"name": "v", "hostPath": {"path": str(folder), "type": "DirectoryOrCreate"}}
    mount: dict[str, Any] = {"volumeMounts": [{"name": "v", "mountPath": "/shared-place"}], "env": [ORDER]}
    pod = machine.carry_out(
        volumes=[volume],
        initContainers=[shell("echo 1 >> $F", name="a", **mount), shell("echo 2 >> $F", name="b", **mount)],
        containers=[shell("echo 3 >> $F", **mount)],
    )
    assert pod["status"]["phase"] == "Succeeded"
    assert (folder / "order").read_text() == "1\n2\n3\n"
    assert not Path("/shared-place").exists()


ORDER = {"name": "F", "value": "/shared-place/order"}


def test_an_init_container_that_fails_is_the_end(machine: Machine) -> None:
    pod = machine.carry_out(initContainers=[shell("exit 4", name="a")], containers=[shell("echo never")])
    assert pod["status"]["phase"] == "Failed"
    assert end_of(pod, "a")["exitCode"] == 4
    assert "waiting" in pod["status"]["containerStatuses"][0]["state"]


def test_what_goes_with_the_pod_is_shared_by_its_containers_and_gone_after_it(machine: Machine) -> None:
    mount: dict[str, Any] = {"volumeMounts": [{"name": "v", "mountPath": "/scratch-of-pod"}], "env": [SCRATCH]}
    pod = machine.carry_out(
        volumes=[{"name": "v", "emptyDir": {}}],
        initContainers=[shell("echo kept > $F", name="a", **mount)],
        containers=[shell("cat $F", **mount)],
    )
    assert machine.log(pod) == "kept\n"
    folder = machine.folder / "node" / "pods" / pod["metadata"]["uid"]
    assert folder.is_dir()
    key = Key.of(pod)
    asyncio.run(machine.cluster.delete(key, pod))
    machine.until(lambda: not folder.exists())


SCRATCH = {"name": "F", "value": "/scratch-of-pod/x"}


def test_arguments_alone_are_for_python(machine: Machine) -> None:
    (machine.folder / "work.py").write_text("import sys, orbitloop; print(sys.argv[1:])")
    container = {"name": "c", "image": "i", "args": ["work.py", "$(A)", "$$(A)"], "env": [{"name": "A", "value": "1"}]}
    pod = machine.carry_out(containers=[container])
    assert machine.log(pod) == "['1', '$(A)']\n"


def test_a_secret_reaches_the_worker_and_nothing_else_of_this_process_does(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_OURS", "not for workers")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}
    machine.cluster.apply(secret | {"data": {"k": "aGlkZGVu"}})
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    pod = machine.carry_out(containers=[shell('echo "$TOKEN-$ONLY_OURS"', env=[variable])])
    assert machine.log(pod) == "hidden-\n"
    assert not [path for path in machine.folder.rglob("*") if path.is_file() and b"aGlkZGVu" in path.read_bytes()]


def test_a_pod_waits_for_its_secret_and_says_so(machine: Machine) -> None:
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}
    key = Key.of(machine.add(shell("exit 0", env=[variable])))

    def waits() -> bool:
        pod = machine.cluster.get(key)
        assert pod is not None
        statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
        waiting = statuses[0]["state"].get("waiting", {})
        return (
            waiting.get("reason") == "CreateContainerConfigError" and "default/late is not there" in waiting["message"]
        )

    def comes() -> bool:
        machine.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "late", "namespace": "default"},
                "data": {"k": ""},
            }
        )
        return True

    machine.until(waits, comes, lambda: machine.phase(key) == "Succeeded")


def test_a_failing_container_is_started_again_and_counted(machine: Machine) -> None:
    flag = machine.folder / "flag"
    script = f"[ $(cat {flag} | wc -l) -ge 2 ] && exit 0; echo >> {flag}; exit 1"
    flag.touch()
    pod = machine.carry_out(restartPolicy="OnFailure", containers=[shell(script)])
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 2
    assert status["state"]["terminated"]["exitCode"] == 0
    assert status["lastState"]["terminated"]["exitCode"] == 1


def test_a_container_that_ends_again_and_again_rests_longer_each_time(machine: Machine) -> None:
    machine.back_off = BackOff(first=timedelta(hours=1), longest=timedelta(hours=5))
    key = Key.of(machine.add(shell("exit 1"), restartPolicy="Always"))

    def rests() -> bool:
        pod = machine.cluster.get(key)
        assert pod is not None
        [status] = pod["status"].get("containerStatuses") or [{"state": {}}]
        return bool(
            status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
            and "back-off 3600s restarting failed container=c" in status["state"]["waiting"]["message"]
            and pod["status"]["phase"] == "Running"
        )

    machine.until(rests)


def pid_in(path: Path) -> int:
    return int(path.read_text()) if path.exists() and path.read_text().strip() else 0


def test_a_deleted_pod_takes_all_that_it_started_with_it(machine: Machine) -> None:
    ours, inner = machine.folder / "ours", machine.folder / "inner"
    script = (
        f"trap 'echo told; exit 0' TERM; (setsid sleep 1000 & echo $! > {inner}); echo $$ > {ours}; sleep 1000 & wait"
    )
    pod = machine.add(shell(script), restartPolicy="Always")
    key = Key.of(pod)
    pids: list[int] = []

    def begun() -> bool:
        if not (runs(pid_in(ours)) and runs(pid_in(inner))):
            return False
        pids.extend([pid_in(ours), pid_in(inner)])
        machine.delete(key)
        return True

    machine.until(begun, lambda: machine.cluster.get(key) is None)
    assert [runs(pid) for pid in pids] == [False, False]
    assert machine.log(pod) == "told\n"


def test_a_pod_that_is_deleted_before_it_began_is_gone(machine: Machine) -> None:
    key = Key.of(machine.add(shell("sleep 1000"), nodeName="here"))
    told: list[Document] = []

    def marked(document: Document) -> None:
        if not told:
            told.append(document)
            machine.delete(key)

    async def delete_at_first_sight() -> None:
        task = asyncio.create_task(machine.node().run())
        machine.cluster.watch(marked, lambda key, uid: None)
        while machine.cluster.get(key) is not None:
            await asyncio.wait([task], timeout=0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(delete_at_first_sight())
    assert not list((machine.folder / "node" / "pods").glob("*"))


def test_who_does_not_listen_is_killed_when_its_time_is_over(machine: Machine) -> None:
    ours = machine.folder / "ours"
    pod = machine.add(
        shell(f"trap '' TERM; echo $$ > {ours}; while :; do sleep 1; done"), terminationGracePeriodSeconds=1
    )
    key = Key.of(pod)

    def begun() -> bool:
        if runs(pid_in(ours)):
            machine.delete(key)
            return True
        return False

    machine.until(begun, lambda: machine.cluster.get(key) is None)
    assert not runs(pid_in(ours))


def test_what_was_interrupted_is_carried_out_again(machine: Machine) -> None:
    ours, go = machine.folder / "ours", machine.folder / "go"
    script = f"echo $$ > {ours}; while [ ! -e {go} ]; do sleep 0.05; done"
    key = Key.of(machine.add(shell(script)))
    machine.until(lambda: runs(pid_in(ours)))
    assert not runs(pid_in(ours))
    assert machine.phase(key) == "Running"
    go.touch()
    machine.until(lambda: machine.phase(key) == "Succeeded")
    pod = machine.cluster.get(key)
    assert pod is not None
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1


def test_a_volume_may_be_read_only_where_there_is_a_root_of_its_own(tmp_path: Path) -> None:
    if not asyncio.run(may_mount()):
        pytest.skip("this process may not make mounts")
    machine = Machine(folder=tmp_path, own_root=True)
    volume = {"name": "v", "hostPath": {"path": str(machine.folder)}}
    mount: dict[str, Any] = {"volumeMounts": [{"name": "v", "mountPath": "/mnt/only/read", "readOnly": True}]}
    pod = machine.carry_out(volumes=[volume], containers=[shell("touch /mnt/only/read/x", **mount)])
    assert end_of(pod)["exitCode"] == 1
    assert not (machine.folder / "x").exists()


AS_SOMEBODY = """
import asyncio, os
from orbitloop_mission.local_node.processes import may_mount
print(os.getuid(), asyncio.run(may_mount()))
"""


def test_mounts_take_no_root_where_users_may_have_namespaces() -> None:
    apart = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if subprocess.run([*apart, "unshare", "--user", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("users may not have namespaces here")
    ran = subprocess.run([*apart, sys.executable, "-c", AS_SOMEBODY], capture_output=True, text=True, check=True)
    assert ran.stdout == "1000 True\n"


STARTER = """
import asyncio, json, sys
from orbitloop_mission.local_node.processes import Launch, Process

async def main():
    print(await Process.start(Launch(**json.loads(sys.argv[1]))).wait(), flush=True)

asyncio.run(main())
"""


def test_nothing_is_left_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    ours, inner = tmp_path / "ours", tmp_path / "inner"
    script = f"echo $$ > {ours}; (setsid sleep 1000 & echo $! > {inner}); trap '' TERM; sleep 1000; sleep 1000"
    launch = Launch(argv=["sh", "-c", script], env=dict(os.environ), folder="/", log=str(tmp_path / "log"))
    text = json.dumps({"argv": launch.argv, "env": launch.env, "folder": "/", "log": launch.log})
    starter = subprocess.Popen([sys.executable, "-c", STARTER, text])
    wait_for(lambda: runs(pid_in(ours)) and runs(pid_in(inner)))
    pids = [pid_in(ours), pid_in(inner)]
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    wait_for(lambda: not any(runs(pid) for pid in pids))


def wait_for(reached: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not reached():
            await asyncio.sleep(0.02)

    asyncio.run(wait())
