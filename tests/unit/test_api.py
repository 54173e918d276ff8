import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from orbitloop import crdgen
from orbitloop.api.kinds import KINDS, kind_of, parse
from orbitloop.api.orbitloop_v1alpha1.ground_station import GroundStation
from orbitloop.api.orbitloop_v1alpha1.link_policy import LinkPolicy
from orbitloop.api.sedna_v1alpha1.incremental_learning_job import IncrementalLearningJob
from orbitloop.api.sedna_v1alpha1.parts import TriggerSpec
from orbitloop.domain.errors import BadInput
from orbitloop.domain.triggers import Comparison

MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests"
DOCUMENTS: list[dict[str, Any]] = [
    document for path in sorted(MANIFESTS.iterdir()) for document in yaml.safe_load_all(path.read_text())
]


def named(document: dict[str, Any]) -> str:
    return f"{document['kind']}-{document['metadata']['name']}"


def a_job() -> dict[str, Any]:
    [job] = [document for document in DOCUMENTS if document["kind"] == "IncrementalLearningJob"]
    copy: dict[str, Any] = json.loads(json.dumps(job))
    return copy


def test_the_manifests_have_every_kind() -> None:
    assert {document["kind"] for document in DOCUMENTS} == {kind.name for kind in KINDS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_what_is_parsed_is_what_was_written(document: dict[str, Any]) -> None:
    parsed = parse(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert {key: parsed[key] for key in document} == document


def test_a_pod_template_is_passed_on_whole() -> None:
    job = parse(a_job())
    assert isinstance(job, IncrementalLearningJob)
    assert job.spec.train_spec.template["metadata"] == {"labels": {"team": "sea"}, "annotations": {"note": "kept"}}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        pytest.param(("spec", "dataset", "trainProb"), "many", "spec.dataset.trainProb", id="a wrong type"),
        pytest.param(("spec", "outputDirectory"), "/x", "spec.outputDirectory: Extra inputs", id="a field that is not"),
        pytest.param(("spec", "initialModel"), {}, "spec.initialModel.name: Field required", id="a missing field"),
        pytest.param(("kind",), "Job", "there is no kind 'Job'", id="an unknown kind"),
        pytest.param(("apiVersion",), "sedna.io/v9", "of 'sedna.io/v9'", id="an unknown version"),
    ],
)
def test_a_document_that_is_wrong_says_where(path: tuple[str, ...], value: object, said: str) -> None:
    document = a_job()
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(BadInput, match=said):
        parse(document)


def test_a_trigger_becomes_what_is_judged() -> None:
    spec = TriggerSpec.model_validate(a_job()["spec"]["trainSpec"]["trigger"])
    trigger = spec.to_domain()
    assert trigger.condition is not None
    assert trigger.condition.comparison is Comparison.GREATER
    assert trigger.check_period == timedelta(minutes=1)


def test_a_policy_and_a_station_become_what_the_link_plans_with() -> None:
    made = {document["kind"]: parse(document) for document in DOCUMENTS}
    policy, station = made["LinkPolicy"], made["GroundStation"]
    assert isinstance(policy, LinkPolicy)
    assert isinstance(station, GroundStation)
    assert policy.spec.to_domain().downlink_share == 0.05
    assert station.spec.to_domain(station.name).latitude == pytest.approx(39.96)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_definition_is_small_enough_for_a_plain_apply(kind: Any) -> None:
    assert len(json.dumps(crdgen.manifest(kind))) < 30_000


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_definition_in_yaml_says_what_it_says_as_json(kind: Any) -> None:
    text = crdgen.files()[f"{kind.group}_{kind.plural}.yaml"]
    assert yaml.safe_load(text) == crdgen.manifest(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_is_described(kind: Any) -> None:
    bare: list[str] = []

    def look(path: str, schema: dict[str, Any]) -> None:
        for name, part in schema.get("properties", {}).items():
            if "description" not in part:
                bare.append(f"{path}.{name}")
            look(f"{path}.{name}", part)
        if "items" in schema:
            look(f"{path}[]", schema["items"])

    properties = crdgen.manifest(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    look("spec", properties["spec"])
    look("status", properties["status"])
    assert bare == []


def test_a_kind_is_found_by_its_document() -> None:
    assert kind_of({"apiVersion": "sedna.io/v1alpha1", "kind": "Dataset"}).plural == "datasets"
