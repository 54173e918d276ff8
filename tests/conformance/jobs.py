"""An IncrementalLearningJob: as its user writes it, and how it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.node_files import on_node
from tests.conformance.target import path_of
from tests.conformance.world import LABEL, NODE, Document, World, has_ended, values
from tests.global_manager import until

SEDNA = "sedna.io/v1alpha1"
INDEX, BASE, SERVED, OUTPUT = "/data/sites/index.txt", "/models/base/model.onnx", "/served/model.onnx", "/output/job"
STAGES = ("Train", "Eval", "Deploy")


def a_template(image: str, **spec: Any) -> Document:
    """A pod template with one container."""
    return {"spec": {"containers": [{"name": "worker", "image": f"conformance.invalid/{image}"}], **spec}}


def a_dataset(name: str, **spec: Any) -> Document:
    """A Dataset of text lines."""
    written = {"url": INDEX, "format": "txt", "nodeName": NODE, **spec}
    return {"apiVersion": SEDNA, "kind": "Dataset", "metadata": {"name": name}, "spec": written}


def a_model(name: str, url: str) -> Document:
    """A Model."""
    return {"apiVersion": SEDNA, "kind": "Model", "metadata": {"name": name}, "spec": {"url": url, "format": "onnx"}}


def asks(metric: str, operator: str, threshold: float) -> Document:
    """A trigger with a condition."""
    return {"condition": {"metric": metric, "operator": operator, "threshold": threshold}}


def a_job(name: str, **changes: Any) -> Document:
    """A job that trains once there are 4 samples, and deploys what is better; ``changes`` are merged into its spec."""
    spec: Document = {
        "dataset": {"name": "sites", "trainProb": 0.8},
        "initialModel": {"name": "base"},
        "trainSpec": {"template": a_template("train"), "trigger": asks("num_of_samples", ">=", 4)},
        "evalSpec": {"template": a_template("eval")},
        "deploySpec": {
            "model": {"name": "served"},
            "template": a_template("infer", nodeName=NODE),
            "trigger": asks("precision_delta[0]", ">", 0.1),
            "hardExampleMining": {"name": "IBT", "parameters": [{"key": "threshold_img", "value": "0.9"}]},
        },
        "outputDir": OUTPUT,
    }
    kind = "IncrementalLearningJob"
    return {"apiVersion": SEDNA, "kind": kind, "metadata": {"name": name}, "spec": merged(spec, changes)}


def merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> Document:
    """``old`` after the JSON merge patch ``patch``."""
    made = {name: value for name, value in old.items() if patch.get(name, value) is not None}
    for name, value in patch.items():
        if isinstance(value, Mapping):
            made[name] = merged(made.get(name) or {}, value)
        elif value is not None:
            made[name] = value
    return made


def surroundings() -> tuple[Document, ...]:
    """What :func:`a_job` names."""
    return a_dataset("sites"), a_model("base", BASE), a_model("served", SERVED)


@dataclass(kw_only=True)
class Job:
    """One job in the API server, followed step by step.

    Args:
        history: all conditions that it ever had, also those that it has forgotten.
        workers: all its pods, as they were made.
        crowd: the most live pods that it ever had for one stage.
    """

    world: World
    name: str
    history: list[Document] = field(default_factory=list)
    workers: dict[str, Document] = field(default_factory=dict)
    crowd: int = 0
    _known: int = 0

    # ---- what it says

    @property
    def document(self) -> Document:
        """As it is now."""
        found: Document = self.world.target.get(path_of("IncrementalLearningJob", self.world.namespace, self.name))
        return found

    @property
    def status(self) -> Document:
        """Its status; empty if it has none."""
        status: Document = self.document.get("status") or {}
        return status

    @property
    def at(self) -> str:
        """Stage and type of its last condition."""
        return ["", *self.steps()][-1]

    def steps(self) -> list[str]:
        """All its steps so far, as ``Train/Waiting``."""
        self._remember(self.status.get("conditions") or [])
        return [f"{one['stage']}/{one['type']}" for one in self.history]

    def _remember(self, conditions: list[Document]) -> None:
        keys = [_key(one) for one in self.history]
        for shared in range(min(len(keys), len(conditions)), -1, -1):
            if keys[len(keys) - shared :] == [_key(one) for one in conditions[:shared]]:
                self.history += conditions[shared:]
                return

    def comes_to(self, step: str) -> Document:
        """Wait until it takes this step, after all those that were waited for before; its condition."""
        until(lambda: step in self.steps()[self._known :], f"job {self.name} came to {step}", self._tell)
        found = self._known + self.steps()[self._known :].index(step)
        self._known = found + 1
        return self.history[found]

    def _tell(self) -> str:
        return f"it went {self.steps()}, and says {json.dumps(self.status)}"

    def fails_for(self, reason: str) -> None:
        """Wait until it has failed with a message that names the reason."""

        def fails() -> bool:
            self.steps()
            failed = [one for one in self.history if one["type"] == "Failed"]
            return any(reason in one.get("message", "") for one in failed)

        until(fails, f"job {self.name} named {reason}", self._tell)

    # ---- its workers

    def pods(self, worker: str) -> list[Document]:
        """Its pods for one kind of work."""
        pods = self.world.target.all("Pod", self.world.namespace)
        named = [one for one in pods if one["metadata"].get("labels", {}).get(f"{LABEL}name") == self.name]
        return [one for one in named if one["metadata"]["labels"].get(f"{LABEL}worker-type") == worker]

    def live(self, worker: str) -> list[Document]:
        """Those that have not ended."""
        alive = [one for one in self.pods(worker) if not has_ended(one)]
        self.workers |= {one["metadata"]["uid"]: one for one in alive if one["metadata"]["uid"] not in self.workers}
        if worker != "inference":
            self.crowd = max(self.crowd, len(alive))
        return alive

    def pod(self, worker: str) -> Document:
        """Wait for its pod for one kind of work; there is one at most."""
        until(lambda: bool(self.live(worker)), f"job {self.name} had a pod for {worker}", self._tell)
        (pod,) = self.live(worker)
        return pod

    # ---- a round of it

    def train(self) -> Document:
        """A model is trained; the pod that did it."""
        pod = self._work("Train")
        url = f"{values(pod)['MODEL_URL']}/model.onnx"
        if self.world.files is not None:
            self.world.files.trained(on_node(pod, url))
        self._finish(pod, "Train", [{"format": "onnx", "url": url, "metrics": {"precision": [0.5]}}])
        return pod

    def evaluate(self, new: Any, old: Any) -> Document:
        """The new and the old model are measured; the pod that did it.

        Args:
            new: metrics by name.
            old: metrics by name.
        """
        pod = self._work("Eval")
        urls = values(pod)["MODEL_URLS"].split(";")
        measured = zip(urls, (new, old), strict=True)
        self._finish(pod, "Eval", [{"format": "onnx", "url": url, "metrics": metrics} for url, metrics in measured])
        return pod

    def deploy(self) -> None:
        """The new model is deployed, by a pod or without."""
        self.comes_to("Deploy/Ready")

        def deployed() -> bool:
            self._keep_up()
            return "Deploy/Completed" in self.steps()[self._known :]

        until(deployed, f"job {self.name} deployed its model", self._tell)
        self.comes_to("Deploy/Completed")

    def starts(self, worker: str) -> Document:
        """Its pod for one kind of work runs."""
        pod = self.pod(worker)
        self.world.kubelet.runs(pod["metadata"]["name"])
        return pod

    def _work(self, stage: str) -> Document:
        self.comes_to(f"{stage}/Ready")
        pod = self.pod(stage.lower())
        if self.world.files is not None:
            self.world.files.prepare(pod)
        self.world.kubelet.runs(pod["metadata"]["name"])
        self.comes_to(f"{stage}/Running")
        return pod

    def _finish(self, pod: Document, stage: str, results: list[Document]) -> None:
        self.world.ends_well(pod, stage.lower(), self.name, results)
        self.comes_to(f"{stage}/Completed")

    def serves(self) -> bool:
        """Whether its inference worker runs; one that is deleted ends, and its successor starts."""
        self.world.bury()
        alive = self.live("inference")
        for pod in alive:
            if pod.get("status", {}).get("phase") != "Running":
                self.world.kubelet.runs(pod["metadata"]["name"])
        return bool(alive)

    def _keep_up(self) -> None:
        """What deploys ends well, and what serves runs."""
        for pod in self.live("deploy"):
            if self.world.files is not None and self.world.files.executes:
                self.world.kubelet.ends(pod["metadata"]["name"], message=self.world.files.carry_out(pod))
            else:
                self.world.ends_well(pod, "deploy", self.name, [])
        self.serves()


def data_of(condition: Document) -> Document:
    """What a condition's data says."""
    read: Document = json.loads(condition["data"])
    return read


def _key(condition: Document) -> tuple[str, str, str]:
    return condition["stage"], condition["type"], condition["lastTransitionTime"]
