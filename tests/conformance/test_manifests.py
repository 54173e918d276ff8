"""The kinds themselves: manifests apply as they are, nothing is lost, and statuses have room for Sedna's words."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conformance.jobs import a_dataset, a_job, a_model, a_template
from tests.conformance.target import Target
from tests.conformance.world import Document, Ways, a_world

HERE = Path(__file__).parent
OURS, GOLDEN = HERE / "manifests", HERE.parent / "golden" / "manifests"
FILES = [*sorted(OURS.iterdir()), *sorted(GOLDEN.iterdir())]
GROUP = "sedna.io/v1alpha1"
KINDS = {
    "Dataset": ("datasets", "dataset", ""),
    "Model": ("models", "model", ""),
    "IncrementalLearningJob": ("incrementallearningjobs", "incrementallearningjob", "il"),
    "JointInferenceService": ("jointinferenceservices", "jointinferenceservice", "ji"),
    "FederatedLearningJob": ("federatedlearningjobs", "federatedlearningjob", "fl"),
    "LifelongLearningJob": ("lifelonglearningjobs", "lifelonglearningjob", "ll"),
    "FeatureExtractionService": ("featureextractionservices", "featureextractionservice", "fe"),
    "VideoAnalyticsJob": ("videoanalyticsjobs", "videoanalyticsjob", "va"),
    "ReidJob": ("reidjobs", "reidjob", "reid"),
    "ObjectSearchService": ("objectsearchservices", "objectsearchservice", "objs"),
    "ObjectTrackingService": ("objecttrackingservices", "objecttrackingservice", "objt"),
}


def documents() -> list[tuple[str, str]]:
    """Kind and name of each of Sedna's objects in the files; scalars are left as they are written."""
    read = [one for path in FILES for one in yaml.load_all(path.read_text(), yaml.BaseLoader)]
    return [(one["kind"], one["metadata"]["name"]) for one in read if one["apiVersion"] == GROUP]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was applied, as kubectl reads it, and where it is."""

    target: Target
    namespace: str
    written: dict[tuple[str, str], Document]

    def at(self, kind: str, name: str = "") -> str:
        """The path of objects of a kind, or of one."""
        path = f"/apis/{GROUP}/namespaces/{self.namespace}/{KINDS[kind][0]}"
        return f"{path}/{name}" if name else path

    def stored(self, kind: str, name: str) -> Document:
        """The object as the API server has it."""
        found: Document = self.target.get(self.at(kind, name))
        return found

    def tried(self, document: Document) -> tuple[int, Document]:
        """What the API server would answer to a new object."""
        return self.target.ask("POST", f"{self.at(document['kind'])}?dryRun=All", document)


@pytest.fixture(scope="module")
def applied(target: Target, ways: Ways) -> Iterator[Applied]:
    """All files, by ``kubectl apply``; of the golden ones, what is Sedna's."""
    with a_world(target, ways) as world:
        here = ("-n", world.namespace)
        files = [word for path in FILES for word in ("-f", str(path))]
        read = _documents(target.kubectl(*here, "create", "--dry-run=client", "--validate=false", "-o", "json", *files))
        target.kubectl(*here, "apply", "-f", str(OURS))
        golden = {"apiVersion": "v1", "kind": "List", "items": [one for one in read if one["apiVersion"] == GROUP]}
        target.kubectl(*here, "apply", "-f", "-", said=json.dumps(golden))
        written = {(one["kind"], one["metadata"]["name"]): one for one in read}
        yield Applied(target=target, namespace=world.namespace, written=written)


def _documents(text: str) -> list[Document]:
    """What kubectl prints: one object after the other."""
    decoder, read = json.JSONDecoder(), []
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        read.append(document)
        text = text[end:]
    return read


def shared(stored: Any, written: Any) -> Any:
    """What is stored of all that was written."""
    if isinstance(written, dict) and isinstance(stored, dict):
        return {key: shared(stored.get(key), part) for key, part in written.items()}
    if isinstance(written, list) and isinstance(stored, list) and len(written) == len(stored):
        return [shared(have, part) for have, part in zip(stored, written, strict=True)]
    return stored


def without_heads(spec: Any) -> Any:
    """The same without the metadata of pod templates, which the original Sedna loses."""
    if isinstance(spec, dict):
        kept = {key: without_heads(part) for key, part in spec.items()}
        return {key: part for key, part in kept.items() if not (key == "metadata" and "spec" in spec)}
    return [without_heads(part) for part in spec] if isinstance(spec, list) else spec


@pytest.mark.parametrize(("kind", "name"), documents())
def test_a_manifest_applies_and_nothing_of_it_is_lost(applied: Applied, kind: str, name: str) -> None:
    written = without_heads(applied.written[kind, name]["spec"])
    assert shared(applied.stored(kind, name)["spec"], written) == written


@pytest.mark.stricter
@pytest.mark.parametrize(
    ("kind", "name"), [("IncrementalLearningJob", "stored"), ("FeatureExtractionService", "faces")]
)
def test_a_template_keeps_labels_and_annotations(applied: Applied, kind: str, name: str) -> None:
    written = applied.written[kind, name]["spec"]
    assert without_heads(written) != written
    assert shared(applied.stored(kind, name)["spec"], written) == written


def test_hours_without_quotes_are_text(applied: Applied) -> None:
    stored = applied.stored("IncrementalLearningJob", "helmets")
    assert stored["spec"]["trainSpec"]["trigger"]["timer"] == {"start": "02:00", "end": "20:00"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_sednas_names(target: Target, kind: str) -> None:
    served = {one["name"]: one for one in target.get(f"/apis/{GROUP}")["resources"]}
    plural, singular, short = KINDS[kind]
    found = served[plural]
    assert (found["kind"], found["singularName"], found["namespaced"]) == (kind, singular, True)
    assert found.get("shortNames", []) == ([short] if short else [])
    assert f"{plural}/status" in served


@pytest.mark.parametrize("name", ["il", "ji", "fl", "ll", "datasets", "models"])
def test_kubectl_gets_by_the_names_people_type(applied: Applied, name: str) -> None:
    assert applied.target.kubectl("-n", applied.namespace, "get", name, "-o", "name")


def a_service() -> Document:
    worker = {"model": {"name": "m"}, "template": a_template("w")}
    spec = {"edgeWorker": worker | {"hardExampleMining": {"name": "IBT"}}, "cloudWorker": worker}
    return {"apiVersion": GROUP, "kind": "JointInferenceService", "metadata": {"name": "tried"}, "spec": spec}


def a_federation() -> Document:
    worker = {"template": a_template("w")}
    spec = {
        "aggregationWorker": worker | {"model": {"name": "m"}},
        "trainingWorkers": [worker | {"dataset": {"name": "d"}}],
    }
    return {"apiVersion": GROUP, "kind": "FederatedLearningJob", "metadata": {"name": "tried"}, "spec": spec}


REQUIRED = [
    pytest.param(document, path, id=f"{document['kind']} {path}")
    for document, paths in [
        (a_dataset("tried"), "url format nodeName"),
        (a_model("tried", "/m"), "url format"),
        (
            a_job("tried"),
            "dataset dataset.name dataset.trainProb initialModel trainSpec trainSpec.template trainSpec.trigger "
            "evalSpec evalSpec.template deploySpec deploySpec.model deploySpec.model.name deploySpec.trigger "
            "deploySpec.template deploySpec.hardExampleMining deploySpec.hardExampleMining.name "
            "trainSpec.trigger.condition.operator "
            "trainSpec.trigger.condition.threshold trainSpec.trigger.condition.metric outputDir",
        ),
        (a_service(), "edgeWorker edgeWorker.model edgeWorker.template edgeWorker.hardExampleMining cloudWorker"),
        (a_federation(), "aggregationWorker aggregationWorker.model aggregationWorker.template trainingWorkers"),
    ]
    for path in paths.split()
]


@pytest.mark.parametrize(("document", "path"), REQUIRED)
def test_a_field_that_sedna_asks_for_is_asked_for(applied: Applied, document: Document, path: str) -> None:
    assert applied.tried(document)[0] == 201
    lacking = copy.deepcopy(document)
    *parents, last = path.split(".")
    part = lacking["spec"]
    for parent in parents:
        part = part[parent]
    del part[last]
    status, answer = applied.tried(lacking)
    assert status == 422
    assert f"spec.{path}" in answer["message"]


def test_a_deployment_s_defaults_are_sednas(applied: Applied) -> None:
    status, made = applied.tried(a_job("tried"))
    model = made["spec"]["deploySpec"]["model"]
    assert status == 201
    assert model.get("hotUpdateEnabled", False) is False
    assert model.get("pollPeriodSeconds", 60) == 60


def test_a_poll_period_is_a_second_at_least(applied: Applied) -> None:
    status, _ = applied.tried(a_job("tried", deploySpec={"model": {"pollPeriodSeconds": 0}}))
    assert status == 422


NOW = "2026-03-01T12:00:00Z"
STAGED: Document = {
    "type": "Running",
    "status": "True",
    "stage": "Eval",
    "lastHeartbeatTime": NOW,
    "lastTransitionTime": NOW,
    "reason": "",
    "message": "reported by lc",
    "data": json.dumps({"input": {"models": [{"format": "pb", "url": "/m"}], "dataURL": "/d", "outputDir": "/o"}}),
}
PLAIN: Document = {name: value for name, value in STAGED.items() if name not in {"stage", "data"}}
STATUSES: list[tuple[str, str, Document]] = [
    ("Dataset", "building-sites", {"numberOfSamples": 7, "updateTime": NOW}),
    ("Model", "helmets-first", {"updateTime": NOW, "metrics": [{"key": "precision", "value": "0.7"}]}),
    ("IncrementalLearningJob", "helmets", {"conditions": [STAGED], "startTime": NOW, "completionTime": NOW}),
    (
        "JointInferenceService",
        "helmets-together",
        {
            "conditions": [PLAIN],
            "startTime": NOW,
            "active": 1,
            "failed": 0,
            "metrics": [{"key": "inferenceNumber", "value": "3"}],
        },
    ),
    (
        "FederatedLearningJob",
        "surfaces",
        {
            "conditions": [PLAIN | {"type": "Training"}],
            "startTime": NOW,
            "active": 2,
            "succeeded": 0,
            "failed": 0,
            "phase": "Running",
        },
    ),
    ("LifelongLearningJob", "rooms", {"conditions": [STAGED], "startTime": NOW}),
]


@pytest.mark.parametrize(("kind", "name", "status"), STATUSES, ids=[kind for kind, _, _ in STATUSES])
def test_a_status_has_room_for_sednas_words(applied: Applied, kind: str, name: str, status: Document) -> None:
    path = f"{applied.at(kind, name)}/status?dryRun=All"
    answered, made = applied.target.ask("PATCH", path, {"status": status})
    assert answered == 200, made
    assert shared(made["status"], status) == status


COLUMNS = {
    "IncrementalLearningJob": {"Stage", "State", "Round"},
    "JointInferenceService": {"State"},
    "Dataset": {"Node", "Samples"},
}


@pytest.mark.stricter
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_table_says_more_than_name_and_age(applied: Applied, kind: str) -> None:
    table = "application/json;as=Table;g=meta.k8s.io;v=v1"
    _, answer = applied.target.ask("GET", applied.at(kind), Accept=table)
    assert {column["name"] for column in answer["columnDefinitions"]} >= COLUMNS[kind]
