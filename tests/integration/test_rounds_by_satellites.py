"""A round of a job whose model flies: Global Manager, gateway and API server as processes, satellites on paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.control_plane import Cluster
from tests.global_manager import GlobalManager, Kubelet, global_manager, until
from tests.processes import a_free_port, gateway_for_operators

from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.delta import Gain, Sparse, apply
from orbitloop.domain.digests import digest_of
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.node_ledger import Export
from orbitloop.ports.updates import PublishedUpdate
from orbitloop.testing.builders import a_model, some_weights
from orbitloop.wire.messages import Hello, UpdateReport
from orbitloop.wire.model_folder import encode_weights
from orbitloop.wire.update import unpack_update
from orbitloop_ground.app import open_models, opened_ledger
from orbitloop_ground.settings import GroundSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NAMESPACE = "by-satellites"
SEDNA, ORBITLOOP = "sedna.io/v1alpha1", "orbitloop.io/v1alpha1"
INDEX = "/data/bupt-1/index.txt"
ACCOUNT = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "default"},
    "automountServiceAccountToken": False,
}
Arrays = dict[str, NDArray[np.float32]]


def an_object(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    group = ORBITLOOP if kind == "Satellite" else SEDNA
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def template() -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "worker", "image": "worker:1", "command": ["python", "work.py"]}]}}


def trigger(metric: str, threshold: float) -> dict[str, Any]:
    return {"condition": {"metric": metric, "operator": ">=", "threshold": threshold}}


def documents(output: Path) -> list[dict[str, Any]]:
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in ("sat-1", "sat-2")]
    satellites = [an_object("Satellite", f"bupt-{n}", {"nodeName": f"sat-{n}"}) for n in (1, 2)]
    models = [
        an_object("Model", name, {"url": f"/models/{name}/model.onnx", "format": "onnx"})
        for name in ("base", "deployed")
    ]
    job = {
        "dataset": {"name": "frames", "trainProb": 0.8},
        "initialModel": {"name": "base"},
        "outputDir": str(output),
        "trainSpec": {"template": template(), "trigger": trigger("num_of_samples", 10)},
        "evalSpec": {"template": template()},
        "deploySpec": {
            "model": {"name": "deployed"},
            "trigger": trigger("precision_delta", 0.1),
            "hardExampleMining": {"name": "IBT"},
            "template": template(),
        },
    }
    return [
        *nodes,
        *satellites,
        *models,
        an_object("Dataset", "frames", {"url": INDEX, "format": "txt", "nodeName": "sat-1"}),
        an_object(
            "IncrementalLearningJob", "find-ships", job, annotations={"orbitloop.io/satellites": "bupt-1,bupt-2"}
        ),
    ]


def trained(base: Arrays) -> Arrays:
    name = "backbone.0.conv.weight"
    where = np.array([3, 40, 77], np.uint32)
    changes = (
        Gain(tensor=name, exponent=-9, quanta=np.array([5, -9, 0, 31], np.int8)),
        Sparse(tensor=name, exponent=-8, where=where, quanta=np.array([7, -3, 20], np.int8)),
    )
    return apply(base, changes)


@dataclass(kw_only=True)
class Site:
    cluster: Cluster
    folder: Path
    keys: Path
    kubelet: Kubelet
    manager: GlobalManager
    admin: int

    @property
    def settings(self) -> GroundSettings:
        return GroundSettings(folder=self.folder / "ground", keys=self.keys / "ground")

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @contextmanager
    def gateway(self) -> Iterator[None]:
        with gateway_for_operators(self.folder, self.keys, self.admin):
            yield

    def status(self) -> dict[str, Any]:
        found = self.cluster.kubectl("-n", NAMESPACE, "get", "il", "find-ships", "-o", "json")
        return dict(json.loads(found).get("status") or {})

    def told(self) -> str:
        log = (self.folder / "gateway.log").read_text()[-2_000:]
        return json.dumps(self.status(), indent=1) + self.manager.log.read_text()[-4_000:] + log

    def pod(self, stage: str) -> str:
        def names() -> list[str]:
            return [name for pod in self.kubelet.pods() if f"-{stage}-" in (name := pod["metadata"]["name"])]

        until(lambda: bool(names()), f"there was a pod for {stage}", self.told)
        return names()[-1]

    def ends(self, stage: str, *models: dict[str, Any]) -> None:
        name = self.pod(stage)
        self.kubelet.runs(name)
        self.kubelet.ends(name, message=json.dumps({"kind": stage, "status": "completed", "results": list(models)}))

    def heard(self, node: str, flying: Digest) -> None:
        now = WallClock().now()
        told = {"satellite": node, "flying": flying, "clock": now, "queued_samples": 0, "queued_bytes": 0}
        with opened_ledger(self.settings) as ledger:
            ledger.record_hello(Hello.model_validate(told), now)

    def offer(self, node: str, flying: Digest) -> PublishedUpdate | None:
        with opened_ledger(self.settings) as ledger:
            return ledger.offer_for(node, flying)

    def flies(self, node: str, base: Arrays) -> Digest:
        """The satellite takes its offer, and says so."""
        until(lambda: self.offer(node, weights_digest(base)) is not None, f"{node} was offered it", self.told)
        update = self.offer(node, weights_digest(base))
        assert update is not None
        made = apply(base, unpack_update(update.path.read_bytes(), lambda _, __: None).changes)
        assert weights_digest(made) == update.result
        now = WallClock().now()
        report = UpdateReport(
            satellite=node, update=update.digest, outcome=Outcome.APPLIED, flying=update.result, at=now
        )
        with opened_ledger(self.settings) as ledger:
            ledger.record_report(report, now)
        self.heard(node, update.result)
        return update.result


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path, keys: Path) -> Iterator[Site]:
    cluster.kubectl("apply", "-f", "crds/")
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", said=json.dumps(ACCOUNT))
    (tmp_path / "token").write_text("a token of more than sixteen characters")
    admin = a_free_port()
    options = ("--lease-name", NAMESPACE, "--lease-identity", "tests", "--namespaces", NAMESPACE)
    gateway = ("--gateway", f"http://127.0.0.1:{admin}", "--gateway-token", str(tmp_path / "token"))
    kubelet = Kubelet(cluster=cluster, namespace=NAMESPACE)
    with global_manager(cluster, tmp_path, *options, *gateway) as manager:
        yield Site(cluster=cluster, folder=tmp_path, keys=keys, kubelet=kubelet, manager=manager, admin=admin)


def test_a_model_flies_on_the_canary_first_and_then_on_the_others_each_by_a_delta_of_its_own(site: Site) -> None:
    base, other = some_weights(0), some_weights(9)
    for folder in (site.folder / "ground", site.output):
        folder.mkdir()
    models = open_models(site.settings)
    for node, weights in (("sat-1", base), ("sat-2", other)):
        site.heard(node, models.put(a_model(weights)))
    items = {"apiVersion": "v1", "kind": "List", "items": documents(site.output)}
    site.cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", said=json.dumps(items))
    file = encode_weights(trained(base))
    (site.output / "new.safetensors").write_bytes(file)
    new = {"format": "safetensors", "url": str(site.output / "new.safetensors"), "digest": digest_of(file)}
    old = {"format": "onnx", "url": "/models/base/model.onnx", "metrics": {"precision": [0.6]}}
    with site.gateway():
        with opened_ledger(site.settings) as ledger:
            ledger.record_export("sat-1", Export(path=INDEX, lines=20, at=WallClock().now()))
        site.ends("train", new)
        site.ends("eval", new | {"metrics": {"precision": [0.9]}}, old)
        until(lambda: site.offer("sat-1", weights_digest(base)) is not None, "the canary was offered it", site.told)
        assert site.offer("sat-2", weights_digest(other)) is None
    site.manager.kill()
    site.manager.start()
    with site.gateway():
        assert site.flies("sat-1", base) == weights_digest(trained(base))
        site.flies("sat-2", other)
        until(lambda: site.status().get("round") == 2, "the round was over", site.told)
    status = site.status()
    assert status["deployed"]["digest"] == status["flying"] == digest_of(file)
    assert [one["flying"] for one in status["satellites"]] == [digest_of(file)] * 2
