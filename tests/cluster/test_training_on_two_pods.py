"""The same training by one pod and by two, which meet over the cluster's DNS."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hack.kind.programs import GROUND
from numpy.typing import NDArray
from tests.cluster.constellation import SATELLITE, Constellation, Document, example, run_kind

from orbitloop.wire.model_folder import decode_weights

pytestmark = pytest.mark.timeout(900)

STEPS = "12"
ALIKE = 0.9
"""Cosine of what two trainings change. Sums in another order drift apart step by step: in twelve steps to 0.99, where
another seed is at 0.43."""


def training(name: str, pods: int) -> Document:
    """The example's job with little to do, whose model is never deployed."""
    [job] = copy.deepcopy([one for one in example() if one["kind"] == "IncrementalLearningJob"])
    spec = job["spec"]
    job["metadata"] = {"name": name, "namespace": "default"}
    spec["outputDir"] = f"/output/{name}"
    spec["trainSpec"]["pods"] = pods
    [container] = spec["trainSpec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": "STEPS", "value": STEPS}]
    spec["deploySpec"]["trigger"]["condition"]["threshold"] = 10
    template = spec["deploySpec"]["template"]["spec"]
    template["containers"] = [
        {"name": "rest", "image": template["containers"][0]["image"], "command": ["sleep", "3600"]}
    ]
    template["volumes"] = []
    template.pop("initContainers")
    return dict(job)


def test_one_pod_and_two_learn_the_same(constellation: Constellation) -> None:
    run_kind(constellation.folder.path, "cut", SATELLITE)  # no sample comes meanwhile: both begin with the same ones
    constellation.apply([one for one in example() if one["kind"] in ("Dataset", "Model", "ConfigMap", "Satellite")])

    def samples() -> int:
        status = constellation.object("dataset", "tiles").get("status") or {}
        return int(status.get("numberOfSamples") or 0)

    index = f"/data/{SATELLITE}/index.txt"
    lines = int(constellation.programs.inside(GROUND, f"wc -l <{index}"))
    assert lines >= 50, "the tests before this one have brought samples down"
    constellation.until(lambda: samples() == lines, f"the {lines} samples are counted", 60)
    constellation.apply([training("by-one", 1), training("by-two", 2)])

    def trained(name: str) -> bool:
        return constellation.job(name).get("candidate") is not None

    constellation.until(lambda: trained("by-one") and trained("by-two"), "both are trained", 600)
    pods = [pod["metadata"]["name"] for pod in constellation.objects("pods", "default")]
    assert len([name for name in pods if name.startswith("by-two-train-1-1")]) == 2
    segments = [constellation.job(name)["segments"] for name in ("by-one", "by-two")]
    assert segments[0] == segments[1]

    base = weights(constellation, "/data/model")
    changes = [
        np.concatenate([(made[name] - base[name]).ravel() for name in sorted(base)])
        for made in (weights(constellation, f"/output/{name}/train/1") for name in ("by-one", "by-two"))
    ]
    cosine = float(changes[0] @ changes[1] / np.linalg.norm(changes[0]) / np.linalg.norm(changes[1]))
    print(f"cosine of the two updates: {cosine:.3f}")
    assert cosine > ALIKE
    constellation.kube("delete", "incrementallearningjob", "by-one", "by-two")
    run_kind(constellation.folder.path, "restore", SATELLITE)


def weights(constellation: Constellation, folder: str) -> dict[str, NDArray[np.float32]]:
    """The model in a folder of the ground's node."""
    return dict(decode_weights(constellation.file(GROUND, f"{folder}/weights.safetensors"), folder))
