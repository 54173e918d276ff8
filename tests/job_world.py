"""A small cluster in memory: what reconcilers want changed is carried out, and a kubelet is played."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orbitloop.domain.errors import Refused
from orbitloop.testing.builders import a_digest
from orbitloop_operators.adapters.store import Store
from orbitloop_operators.handlers.changes import Changes, Document, Key, Notice
from orbitloop_operators.handlers.incremental_learning_job import IncrementalLearningJobs
from orbitloop_operators.handlers.node_reports import report_document
from orbitloop_operators.handlers.stage_pods import Platform
from orbitloop_operators.handlers.worker_groups import ASIDES, MAKERS, worker_of
from orbitloop_operators.usecases.differences import merge_patch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEDNA, ORBITLOOP = "sedna.io/v1alpha1", "orbitloop.io/v1alpha1"
PLATFORM = Platform(local_controller="http://localhost:9100", tools_image="orbitloop/tools:0.1")
JOB = Key(api_version=SEDNA, kind="IncrementalLearningJob", namespace="lab", name="helmets")


def a_template(image: str = "lab/helmets:1", **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "worker", "image": image}], **spec}}


def a_job(**changes: Any) -> dict[str, Any]:
    """A job as Sedna's users write it; ``changes`` are merged into its spec."""
    spec: dict[str, Any] = {
        "dataset": {"name": "sites", "trainProb": 0.8},
        "initialModel": {"name": "first"},
        "trainSpec": {
            "template": a_template(),
            "trigger": {"condition": {"operator": ">", "threshold": 7, "metric": "num_of_samples"}},
        },
        "evalSpec": {"template": a_template()},
        "deploySpec": {
            "model": {"name": "served"},
            "template": a_template(nodeName="edge-1"),
            "trigger": {"condition": {"operator": ">", "threshold": 0.1, "metric": "precision_delta"}},
            "hardExampleMining": {"name": "IBT", "parameters": [{"key": "threshold_img", "value": "0.9"}]},
        },
        "outputDir": "/output",
    }
    return {
        "apiVersion": SEDNA,
        "kind": "IncrementalLearningJob",
        "metadata": {"name": "helmets", "namespace": "lab", "generation": 1},
        "spec": merged(spec, changes),
    }


def merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``old`` after the JSON merge patch ``patch``."""
    made = dict(old)
    for name, value in patch.items():
        before = made.get(name)
        if value is None:
            made.pop(name, None)
        elif isinstance(value, Mapping):
            made[name] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            made[name] = value
    return made


def a_dataset(
    samples: int | None = None, *, url: str = "/data/sites/index.txt", node: str = "edge-1"
) -> dict[str, Any]:
    return {
        "apiVersion": SEDNA,
        "kind": "Dataset",
        "metadata": {"name": "sites", "namespace": "lab"},
        "spec": {"url": url, "format": "txt", "nodeName": node},
        "status": {} if samples is None else {"numberOfSamples": samples},
    }


def a_model(name: str, url: str) -> dict[str, Any]:
    return {
        "apiVersion": SEDNA,
        "kind": "Model",
        "metadata": {"name": name, "namespace": "lab"},
        "spec": {"url": url, "format": "onnx"},
    }


def a_satellite(name: str, node: str) -> dict[str, Any]:
    return {
        "apiVersion": ORBITLOOP,
        "kind": "Satellite",
        "metadata": {"name": name, "namespace": "lab"},
        "spec": {"nodeName": node},
    }


def words(
    kind: str, *, status: str = "completed", results: list[dict[str, Any]] | None = None, message: str = ""
) -> str:
    return json.dumps({"kind": kind, "status": status, "results": results or [], "message": message})


def trained(round: int = 1) -> str:
    url = f"/home/data/output/train/{round}/model.onnx"
    return words("train", results=[{"format": "onnx", "url": url, "digest": a_digest(round), "metrics": {}}])


def evaluated(new: Any = 0.9, old: Any = 0.5) -> str:
    return words(
        "eval",
        results=[
            {"format": "onnx", "url": "/home/data/output/train/1/model.onnx", "metrics": {"precision": new}},
            {"format": "onnx", "url": "/home/data/models/served.onnx", "metrics": {"precision": old}},
        ],
    )


@dataclass
class World:
    """Objects, the moment, what was told, and whether the API server refuses new pods."""

    handler: IncrementalLearningJobs = field(default_factory=lambda: IncrementalLearningJobs(platform=PLATFORM))
    now: datetime = NOON
    store: Store = field(default_factory=Store)
    told: list[Notice] = field(default_factory=list)
    writes: int = 0
    is_refusing: bool = False
    versions: Any = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def with_job(cls, samples: int | None = 10, **changes: Any) -> World:
        """A job with all that it names, and so many samples."""
        world = cls()
        world.put(a_dataset(samples))
        world.put(a_model("first", "/models/first.onnx"))
        world.put(a_model("served", "/models/served.onnx"))
        world.put(a_job(**changes))
        return world

    def put(self, document: Mapping[str, Any]) -> None:
        """Have an object as given; its uid stays if it was there."""
        made = copy.deepcopy(dict(document))
        known = self.store.get(Key.of(made))
        version = str(next(self.versions))
        made["metadata"].setdefault("uid", known["metadata"]["uid"] if known else f"uid-{version}")
        made["metadata"]["resourceVersion"] = version
        assert self.store.put(made)

    def drop(self, key: Key) -> None:
        document = self.store.get(key)
        assert document is not None
        self.store.drop(key, document["metadata"]["uid"])

    def count(self, samples: int, **more: str) -> None:
        """The Dataset has so many samples now."""
        self.put(a_dataset(samples, **more))

    def report(self, node: str, **observed: Any) -> None:
        """A node says something of itself."""
        self.put(report_document(node, next(self.versions), observed))

    # ---- the job

    @property
    def job(self) -> Document:
        document = self.store.get(JOB)
        assert document is not None
        return document

    @property
    def status(self) -> Any:
        return self.job["status"]

    @property
    def at(self) -> str:
        """Stage and state, in one word."""
        return f"{self.status['stage']}/{self.status['state']}"

    @property
    def steps(self) -> list[str]:
        """All conditions, in order."""
        return [f"{one['stage']}/{one['type']}" for one in self.status["conditions"]]

    def change(self, **changes: Any) -> None:
        """The user edits the job's spec; the changes are merged into it."""
        self.rewrite(merged(self.job["spec"], changes))

    def rewrite(self, spec: Mapping[str, Any]) -> None:
        """The user writes the job's spec anew."""
        job = dict(self.job)
        metadata = {**job["metadata"], "generation": job["metadata"]["generation"] + 1}
        self.put({**job, "metadata": metadata, "spec": dict(spec)})

    def ask(self) -> Changes:
        """What the reconciler wants, or how it shows what it refuses."""
        try:
            return self.handler.reconcile(self.job, self.store, self.now)
        except Refused as error:
            return self.handler.refused(self.job, error, self.now)

    def once(self) -> Changes:
        """Reconcile, and carry out what is wanted."""
        changes = self.ask()
        if self.is_refusing and any(self.store.get(Key.of(pod)) is None for pod in changes.create):
            error = Refused("cannot create Pod: exceeded quota; ask for more")
            changes = self.handler.refused(self.job, error, self.now)
        for wanted in changes.create:
            self.create(wanted)
        for key in changes.delete:
            self.delete(key)
        if changes.status is not None and merge_patch(self.job.get("status") or {}, changes.status):
            self.put({**self.job, "status": changes.status})
            self.told += changes.notices
            self.writes += 1
        return changes

    def create(self, document: Document) -> None:
        """As the API server does: what is there stays as it is."""
        if self.store.get(Key.of(document)) is None:
            status = {"status": {"phase": "Pending"}} if document["kind"] == "Pod" else {}
            self.put({**document, **status})

    def delete(self, key: Key) -> None:
        """Deleted, and gone at once with all that it owned."""
        document = self.store.get(key)
        if document is None:
            return
        self.drop(key)
        made = [pod for pod in self.pods().values() if worker_of(pod) == key.name]
        for pod in made if (key.api_version, key.kind) in MAKERS else ():
            self.drop(Key.of(pod))

    def settle(self) -> Changes:
        """Reconcile until nothing changes; the last answer."""
        for _ in range(40):
            before = self.snapshot()
            changes = self.once()
            if self.snapshot() == before:
                return changes
        raise AssertionError(f"never at rest: {self.at}, {self.status}")

    def snapshot(self) -> Any:
        made = [self.store.all(*kind) for kind in (*ASIDES, *MAKERS)]
        return json.dumps([self.job.get("status"), self.pods(), made], sort_keys=True)

    # ---- pods

    def pods(self) -> dict[str, Document]:
        return {pod["metadata"]["name"]: pod for pod in self.store.all("v1", "Pod", "lab")}

    def pod(self, name: str) -> Document:
        return self.pods()[name]

    def set_pod(self, name: str, status: Mapping[str, Any]) -> None:
        pod = dict(self.pod(name))
        self.put({**pod, "status": status})

    def run(self, name: str) -> None:
        self.set_pod(name, {"phase": "Running", "containerStatuses": [{"name": "worker", "state": {"running": {}}}]})

    def end(self, name: str, said: str = "", *, code: int = 0, reason: str = "") -> None:
        """The pod's container ends."""
        end = {
            "exitCode": code,
            "reason": reason or ("Completed" if code == 0 else "Error"),
            "message": said,
            "finishedAt": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        phase = "Succeeded" if code == 0 else "Failed"
        self.set_pod(name, {"phase": phase, "containerStatuses": [{"name": "worker", "state": {"terminated": end}}]})

    def wait_for(self, name: str, reason: str, message: str = "") -> None:
        """The pod's container cannot start."""
        waiting = {"reason": reason, "message": message}
        container = {"name": "worker", "image": "lab/helmets:1", "state": {"waiting": waiting}}
        self.set_pod(name, {"phase": "Pending", "containerStatuses": [container]})

    def delete_pod(self, name: str) -> None:
        """Deleted, and gone at once."""
        self.delete(Key(api_version="v1", kind="Pod", namespace="lab", name=name))

    def mark_leaving(self, name: str) -> None:
        """Deleted, and still running."""
        pod = dict(self.pod(name))
        self.put({**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}})

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


def in_training(**changes: Any) -> World:
    """A job whose first training runs."""
    world = World.with_job(**changes)
    world.settle()
    world.run("helmets-train-1-1")
    world.settle()
    return world


def in_evaluation() -> World:
    world = in_training()
    world.end("helmets-train-1-1", trained())
    world.settle()
    return world


def in_deployment(**deploy: object) -> World:
    world = in_training(deploySpec=deploy)
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    return world


def play_round(world: World, round: int, attempt: int = 1) -> None:
    for pod, said in (("train", trained(round)), ("eval", evaluated()), ("deploy", words("deploy"))):
        world.end(f"helmets-{pod}-{round}-{attempt}", said)
        world.settle()


def env_of(world: World, pod: str) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in world.pod(pod)["spec"]["containers"][0]["env"]}
