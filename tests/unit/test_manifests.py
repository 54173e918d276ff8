"""Manifests become what the API server would store, or one error that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop_mission.manifests.reading import Manifest, objects, read_manifests

GOLDEN = Path(__file__).parents[1] / "golden" / "manifests"
DATASET = "{url: /data/a.txt, format: txt, nodeName: here}"


def read(text: str) -> list[Manifest]:
    return list(objects(text, "m.yaml", {}, "default"))


def test_every_golden_manifest_is_read() -> None:
    found = read_manifests(sorted(GOLDEN.glob("*.yaml")), {})
    job = next(one for one in found if one.document["kind"] == "IncrementalLearningJob")
    assert len(found) == 18
    assert job.place.endswith("incremental-learning.yaml:30")
    assert job.document["spec"]["trainSpec"]["trigger"]["timer"] == {"start": "02:00", "end": "20:00"}
    assert job.document["metadata"]["namespace"] == "default"


def test_a_list_is_its_items() -> None:
    text = f"""
apiVersion: v1
kind: List
items:
- {{apiVersion: sedna.io/v1alpha1, kind: Dataset, metadata: {{name: a}}, spec: {DATASET}}}
- apiVersion: sedna.io/v1alpha1
  kind: DatasetList
  items: [{{metadata: {{name: b, namespace: other}}, spec: {DATASET}}}]
"""
    assert [(one.document["metadata"]["name"], one.document["kind"], one.place) for one in read(text)] == [
        ("a", "Dataset", "m.yaml:5"),
        ("b", "Dataset", "m.yaml:8"),
    ]


def test_a_secret_is_kept_in_base64() -> None:
    [secret] = read("{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: aGk=}, stringData: {b: hü}}")
    assert secret.document["data"] == {"a": "aGk=", "b": "aMO8"}
    assert "stringData" not in secret.document


def test_what_only_a_server_knows_is_left_out() -> None:
    [one] = read(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, uid: x, resourceVersion: '5'}, data: {}, status: {a: 1}}"
    )
    assert one.document == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "default"},
        "data": {},
    }


def pod(container: str, more: str = "") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  containers:
  - {{name: c, image: i}}
  - {container}
  {more}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1", r"1: a manifest has apiVersion and kind"),
        ("{apiVersion: apps/v1, kind: DaemonSet}", r"1: nothing here knows 'DaemonSet' of 'apps/v1'"),
        ("apiVersion: sedna.io/v1alpha1\nkind: Datasets\nmetadata: {name: a}", r"2: nothing here knows 'Datasets'"),
        ("{apiVersion: v1, kind: Secret}", "1: Secret: metadata: a mapping with a name"),
        ("apiVersion: v1\nkind: Secret\nmetadata:\n  name: A_b", "4: Secret A_b: metadata.name: 'A_b' is no name"),
        ("apiVersion: v1\nkind: Secret\nmetadata:\n  name: 5", "4: Secret 5: metadata.name: 5 is no name"),
        (
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  labels:\n    on: yes",
            "6: Secret a: metadata.labels.true: text, so True needs quotes",
        ),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  k: '?'", r"5: Secret a: data\.k is no base64"),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  k: 5",
            r"5: Secret a: stringData\.k: text; numbers and truth values need quotes",
        ),
        (
            f"apiVersion: sedna.io/v1alpha1\nkind: Dataset\nmetadata: {{name: a}}\nspec:\n  <<: {DATASET}\n  ulr: x",
            r"6: Dataset a: spec\.ulr: Extra inputs",
        ),
        (
            "apiVersion: sedna.io/v1alpha1\nkind: Dataset\nmetadata: {name: a}\nspec:\n  url: x\n  format: 5",
            r"[56]: Dataset a: spec\.(format|nodeName)",
        ),
        (pod("{name: c, image: i}"), "8: Pod p: spec.containers.1.name: c stands twice"),
        (pod("{name: d}"), "8: Pod p: spec.containers.1.image"),
        (pod("{name: d, image: i, args: [5]}"), "8: Pod p: spec.containers.1.args.0: text, so 5 needs quotes"),
        (
            pod("{name: d, image: i, env: [{name: A, value: 1}]}"),
            "8: Pod p: spec.containers.1.env.0.value: text, so 1 needs quotes",
        ),
        (
            pod("{name: d, image: i, volumeMounts: [{name: v, mountPath: /v}]}"),
            "8: Pod p: spec.containers.1.volumeMounts.0.name: there is no volume 'v'",
        ),
        (pod("{name: d, image: i}", "restartPolicy: never"), "9: Pod p: spec.restartPolicy: Always, OnFailure"),
    ],
)
def test_what_the_api_server_would_refuse_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=rf"^m\.yaml:{said}"):
        read(text)


def test_a_template_is_checked_like_a_pod() -> None:
    text = (GOLDEN / "incremental-learning.yaml").read_text().replace('value: "32"', "value: 32")
    with pytest.raises(BadInput, match=r"^m\.yaml:\d+: IncrementalLearningJob find-ships: spec\.trainSpec\.template"):
        read(text)


def test_an_object_that_stands_twice_is_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    for path in (one, other):
        path.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}")
    with pytest.raises(BadInput, match=r"other\.yaml:1: ConfigMap c stands at .*one\.yaml:1 already"):
        read_manifests([one, other], {})


@pytest.mark.parametrize("text", ["", "---\n", "# nothing"])
def test_a_file_without_an_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "empty.yaml").write_text(text)
    with pytest.raises(BadInput, match="no object in it"):
        read_manifests([tmp_path / "empty.yaml"], {})
