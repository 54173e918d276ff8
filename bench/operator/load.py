"""Many learning jobs, as a user would apply them: each with its Dataset, on a satellite of its constellation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NAMESPACE = "bench"
SEDNA, ORBITLOOP = "sedna.io/v1alpha1", "orbitloop.io/v1alpha1"
_ACCOUNT = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "default", "namespace": NAMESPACE},
    "automountServiceAccountToken": False,
}
"""What a controller manager would make; there is none here."""
_IMAGE = "registry.invalid/worker:1"


def surroundings(satellites: int) -> Iterator[dict[str, Any]]:
    """Namespace, nodes, satellites, and the models that all jobs share."""
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    yield _ACCOUNT
    for name in ("initial", "deployed"):
        yield _object(SEDNA, "Model", name, {"url": f"/models/{name}.onnx", "format": "onnx"})
    for number in range(satellites):
        node = _node(number)
        yield {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
        yield _object(ORBITLOOP, "Satellite", node, {"nodeName": node})


def dataset(number: int, satellites: int) -> dict[str, Any]:
    """Of one job."""
    where = {"url": f"/data/{number}/images.txt", "format": "txt", "nodeName": _node(number % satellites)}
    return _object(SEDNA, "Dataset", f"images-{number}", where)


def job(number: int) -> dict[str, Any]:
    """One that waits for samples."""
    spec = {
        "dataset": {"name": f"images-{number}", "trainProb": 0.8},
        "initialModel": {"name": "initial"},
        "outputDir": f"/output/{number}",
        "trainSpec": {"template": _template(), "trigger": _trigger("num_of_samples", ">", 500)},
        "evalSpec": {"template": _template()},
        "deploySpec": {
            "model": {"name": "deployed", "hotUpdateEnabled": True, "pollPeriodSeconds": 60},
            "trigger": _trigger("precision_delta", ">", 0.1),
            "hardExampleMining": {"name": "IBT", "parameters": [{"key": "threshold_img", "value": "0.9"}]},
            "template": _template(),
        },
    }
    return _object(SEDNA, "IncrementalLearningJob", f"job-{number}", spec)


def _object(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _node(number: int) -> str:
    return f"satellite-{number}"


def _trigger(metric: str, operator: str, threshold: float) -> dict[str, Any]:
    condition = {"metric": metric, "operator": operator, "threshold": threshold}
    return {"checkPeriodSeconds": 60, "condition": condition}


def _template() -> dict[str, Any]:
    container = {"name": "worker", "image": _IMAGE, "command": ["python", "work.py"]}
    return {"spec": {"containers": [container]}}
