"""What the pods of a training are told lets torchrun bring them together: two hosts with names, and a wire."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import Via
from orbitloop_operators.handlers.worker_groups import WorkerGroup, objects_of
from orbitloop_operators.handlers.worker_pods import Owner, WorkerPod

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.timeout(240),
]

WORKER = "ships-train-1-1"
SUMS = """
import json, os
import torch
from torch import distributed

distributed.init_process_group("gloo")
rank = torch.tensor([float(distributed.get_rank())])
distributed.all_reduce(rank)
said = {"pod": os.environ["WORKER_NAME"], "size": distributed.get_world_size(), "sum": rank.item()}
print(json.dumps(said), flush=True)
distributed.destroy_process_group()
"""


def pods(namespace: str) -> list[dict[str, Any]]:
    """The two pods of a worker, as the Global Manager makes them."""
    group = WorkerGroup(
        owner=Owner(
            api_version="sedna.io/v1alpha1", kind="IncrementalLearningJob", namespace=namespace, name="ships", uid="1"
        ),
        pod=WorkerPod(
            name=WORKER,
            worker_type="train",
            template={"spec": {"containers": [{"name": "train", "image": "train:1"}]}},
            env={"OMP_NUM_THREADS": "1"},
        ),
        size=2,
        via=Via.PODS,
        tools_image="tools:1",
    )
    _, *made = objects_of(group)
    return made


@contextmanager
def network(first: str, second: str, addresses: tuple[str, str]) -> Iterator[None]:
    """Two network namespaces with a wire between them."""
    for one in (first, second):
        subprocess.run(["ip", "netns", "add", one], check=True)
    try:
        wire = ["ip", "link", "add", "eth0", "netns", first, "type", "veth", "peer", "name", "eth0", "netns", second]
        subprocess.run(wire, check=True)
        for one, address in zip((first, second), addresses, strict=True):
            subprocess.run(["ip", "-n", one, "address", "add", f"{address}/24", "dev", "eth0"], check=True)
            for link in ("lo", "eth0"):
                subprocess.run(["ip", "-n", one, "link", "set", link, "up"], check=True)
        yield
    finally:
        for one in (first, second):
            subprocess.run(["ip", "netns", "delete", one], check=False)


def runs(pod: dict[str, Any], namespace: str, address: str, folder: Path) -> subprocess.Popen[str]:
    """The pod's rendezvous container, and then torchrun on the script as its container, on a host of its name."""
    name = pod["metadata"]["name"]
    fields = {"metadata.name": name, "status.podIP": address}
    [container], [waits] = pod["spec"]["containers"], pod["spec"]["initContainers"]
    told = {
        one["name"]: one["value"] if "value" in one else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container["env"]
    }
    hosts = folder / f"{name}.hosts"
    meeting = waits["command"][waits["command"].index("--name") + 1]
    hosts.write_text(f"127.0.0.1 localhost\n{address} {name}\n10.79.0.1 {meeting}\n")
    inside = " && ".join(
        [
            f"hostname {name}",
            f"mount --bind {shlex.quote(str(hosts))} /etc/hosts",
            shlex.join([sys.executable, *waits["command"][1:]]),
            shlex.join([sys.executable, "-m", "torch.distributed.run", str(folder / "sums.py")]),
        ]
    )
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, "unshare", "--uts", "--mount", "sh", "-c", inside],
        env=dict(os.environ) | told,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_pods_meet_by_what_they_are_told(tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text(SUMS)
    addresses = ("10.79.0.1", "10.79.0.2")
    spaces = (f"orbitloop-meet-a{os.getpid()}", f"orbitloop-meet-b{os.getpid()}")
    first, second = pods("lab")
    with network(*spaces, addresses):
        waiting = runs(second, spaces[1], addresses[1], tmp_path)
        leading = runs(first, spaces[0], addresses[0], tmp_path)
        said = [json.loads(one.communicate(timeout=200)[0]) for one in (leading, waiting)]
    assert (leading.returncode, waiting.returncode) == (0, 0)
    assert [one["pod"] for one in said] == [f"{WORKER}-0", f"{WORKER}-1"]
    assert {(one["size"], one["sum"]) for one in said} == {(2, 1.0)}
