import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_plane import Cluster

from orbitloop.api.kinds import KINDS, kind_of

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "tests" / "golden" / "manifests"


@pytest.fixture(scope="module")
def applied(cluster: Cluster) -> Cluster:
    """The definitions and the manifests, applied as a user does."""
    cluster.kubectl("apply", "-f", str(ROOT / "crds"))
    for kind in KINDS:
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{kind.plural}.{kind.group}", "--timeout=30s")
    cluster.kubectl("apply", "-f", str(MANIFESTS))
    return cluster


def documents() -> list[dict[str, Any]]:
    return [document for path in sorted(MANIFESTS.iterdir()) for document in yaml.safe_load_all(path.read_text())]


def named(document: dict[str, Any]) -> str:
    return f"{document['kind']}-{document['metadata']['name']}"


def without_defaults(stored: Any, written: Any) -> Any:
    """What was written, as far as it is stored."""
    if isinstance(written, dict) and isinstance(stored, dict):
        return {key: without_defaults(stored.get(key), part) for key, part in written.items()}
    if isinstance(written, list) and isinstance(stored, list) and len(written) == len(stored):
        return [without_defaults(have, part) for have, part in zip(stored, written, strict=True)]
    return stored


@pytest.mark.parametrize("document", documents(), ids=named)
def test_nothing_of_a_manifest_is_pruned(applied: Cluster, document: dict[str, Any]) -> None:
    kind = kind_of(document)
    said = applied.kubectl("get", f"{kind.plural}.{kind.group}", document["metadata"]["name"], "-o", "json")
    stored = json.loads(said)["spec"]
    assert without_defaults(stored, document["spec"]) == document["spec"]


@pytest.mark.parametrize(
    ("name", "headings"),
    [
        pytest.param("il", "NAME STAGE STATE ROUND FLYING NEXT-CONTACT QUEUED AGE", id="jobs by their short name"),
        pytest.param("sat", "NAME NODE FLYING LAST-CONTACT NEXT-CONTACT QUEUED AGE", id="satellites"),
        pytest.param("sel", "NAME SATELLITES STATE VERSION AGE", id="selection logics"),
        pytest.param("datasets", "NAME NODE SAMPLES URL AGE", id="datasets"),
        pytest.param("ji", "NAME STATE AGE", id="services"),
    ],
)
def test_a_table_shows_what_people_ask_for(applied: Cluster, name: str, headings: str) -> None:
    assert applied.kubectl("get", name).splitlines()[0].split() == headings.split()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.short], ids=lambda kind: kind.short)
def test_short_names_are_sednas(applied: Cluster, kind: Any) -> None:
    assert applied.kubectl("get", kind.short, "-o", "name").startswith(f"{kind.name.lower()}.{kind.group}/")


def test_a_wrong_type_is_refused_by_the_server(applied: Cluster) -> None:
    document = {
        "apiVersion": "sedna.io/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "wrong"},
        "spec": {"url": 7, "format": "txt", "nodeName": "edge-1"},
    }
    refused = applied.try_kubectl("apply", "-f", "-", "--validate=false", said=json.dumps(document))
    assert refused.returncode != 0
    assert "spec.url" in refused.stderr


def test_explain_teaches(applied: Cluster) -> None:
    assert "share of new samples that is trained on" in applied.kubectl("explain", "il.spec.dataset.trainProb")
