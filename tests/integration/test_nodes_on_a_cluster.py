"""From kubectl to a node out of reach and back: a real API server, the Global Manager and a gateway as processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane import Cluster
from tests.global_manager import GlobalManager, global_manager, until
from tests.processes import a_free_port, gateway_for_operators

from orbitloop.domain.digests import digest_of
from orbitloop.ports.node_ledger import Export
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import Hello
from orbitloop.wire.node_messages import NodeEvent, NodeEvents
from orbitloop_ground.app import opened_ledger
from orbitloop_ground.settings import GroundSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NAMESPACE = "nodes"
FLYING = digest_of(b"weights")


@dataclass(kw_only=True)
class Lab:
    cluster: Cluster
    folder: Path
    keys: Path
    admin: int = field(default_factory=a_free_port)

    @property
    def token(self) -> Path:
        return self.folder / "token"

    @contextmanager
    def gateway(self) -> Iterator[None]:
        with gateway_for_operators(self.folder, self.keys, self.admin):
            yield

    def datasets(self) -> dict[str, Any]:
        """What is wanted of the node, as it will find it."""
        with opened_ledger(self.settings) as ledger:
            found = ledger.desired("sat-1")
        return {} if found is None else dict(json.loads(found.content)["datasets"])

    @property
    def settings(self) -> GroundSettings:
        return GroundSettings(folder=self.folder / "ground", keys=self.keys / "ground")

    def counted(self, count: int) -> None:
        event = NodeEvent(
            sequence=count,
            subject=f"dataset/{NAMESPACE}/frames",
            at=LAUNCH,
            value={"numberOfSamples": count, "updateTime": LAUNCH.isoformat()},
        )
        with opened_ledger(self.settings) as ledger:
            ledger.record_events(NodeEvents(satellite="sat-1", origin="0" * 32, events=(event,)), LAUNCH)

    def exported(self, count: int) -> None:
        with opened_ledger(self.settings) as ledger:
            ledger.record_export("sat-1", Export(path="/data/frames.txt", lines=count, at=LAUNCH))

    def heard(self) -> None:
        told = {"satellite": "sat-1", "flying": FLYING, "clock": LAUNCH, "queued_samples": 7, "queued_bytes": 700}
        with opened_ledger(self.settings) as ledger:
            ledger.record_hello(Hello.model_validate(told), LAUNCH)

    def apply(self, *documents: dict[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", said=json.dumps(items))

    def status(self, what: str, name: str) -> dict[str, Any]:
        found = self.cluster.try_kubectl("-n", NAMESPACE, "get", what, name, "-o", "json")
        read: dict[str, Any] = json.loads(found.stdout) if found.returncode == 0 else {}
        return dict(read.get("status", {}))


@pytest.fixture
def lab(cluster: Cluster, tmp_path: Path, keys: Path) -> Lab:
    cluster.kubectl("apply", "-f", "crds/")
    cluster.kubectl("create", "namespace", NAMESPACE)
    made = Lab(cluster=cluster, folder=tmp_path, keys=keys)
    made.token.write_text("a token of more than sixteen characters")
    return made


def managed(lab: Lab) -> Any:
    gateway = ("--gateway", f"http://127.0.0.1:{lab.admin}", "--gateway-token", str(lab.token))
    return global_manager(lab.cluster, lab.folder, "--lease-name", "nodes", "--namespaces", NAMESPACE, *gateway)


def test_a_dataset_and_a_satellite_meet_the_node_whoever_is_killed(lab: Lab) -> None:
    manager: GlobalManager
    with managed(lab) as manager:
        until(manager.is_ready, "it was ready")
        lab.apply(
            {
                "apiVersion": "orbitloop.io/v1alpha1",
                "kind": "Satellite",
                "metadata": {"name": "bupt-1"},
                "spec": {"nodeName": "sat-1"},
            },
            {
                "apiVersion": "sedna.io/v1alpha1",
                "kind": "Dataset",
                "metadata": {"name": "frames"},
                "spec": {"url": "/data/frames.txt", "format": "txt", "nodeName": "sat-1"},
            },
        )
        with lab.gateway():
            wanted = {f"{NAMESPACE}/frames": {"url": "/data/frames.txt", "format": "txt"}}
            until(lambda: lab.datasets() == wanted, "the node finds what to watch")
            lab.counted(12)
            lab.heard()
            until(lambda: lab.status("dataset", "frames").get("numberOfSamples") == 12, "its count was shown")
            until(lambda: lab.status("satellite", "bupt-1").get("flying") == FLYING, "what flies was shown")
        manager.kill()
        lab.counted(13)
        manager.start()
        until(manager.is_ready, "it was ready again")
        with lab.gateway():
            until(lambda: lab.status("dataset", "frames").get("numberOfSamples") == 13, "the next count was shown")
            lab.exported(20)
            until(lambda: lab.status("dataset", "frames").get("numberOfSamples") == 20, "what came down counts")
        lab.cluster.kubectl("-n", NAMESPACE, "delete", "dataset", "frames")
        with lab.gateway():
            until(lambda: lab.datasets() == {}, "nothing is to be watched any more")
        shutil.rmtree(lab.folder / "ground")
        with lab.gateway():
            lab.heard()
            until(lambda: lab.datasets() == {} and _wants(lab), "a gateway that was reinstalled is told all again")
        assert "reconcile_broke" not in manager.log.read_text()


def _wants(lab: Lab) -> bool:
    with opened_ledger(lab.settings) as ledger:
        return ledger.desired("sat-1") is not None
