"""The pods of a job's workers: names, labels, owners, places, and what they are told and given."""

from __future__ import annotations

import json

import pytest
from tests.conformance.jobs import BASE, INDEX, SERVED
from tests.conformance.node_files import on_node
from tests.conformance.walks import COLD, HOT, SECRET, SELECTED, Walk
from tests.conformance.world import LABEL, NODE, values, variables

PREFIX = "/home/data"
WORKERS = pytest.mark.parametrize("kind", ["train", "eval", "inference"])
ROUNDS = pytest.mark.parametrize("round", [1, 2])
CREDENTIALS = {"S3_ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"}


@WORKERS
def test_a_pod_is_named_after_its_job_and_work(walk: Walk, kind: str) -> None:
    for pod in walk.workers[kind]:
        assert pod["metadata"]["name"].startswith(f"{walk.name}-{kind}-")


@WORKERS
def test_a_pod_carries_sednas_labels(walk: Walk, kind: str) -> None:
    for pod in walk.workers[kind]:
        labels = {name: value for name, value in pod["metadata"]["labels"].items() if name.startswith(LABEL)}
        assert labels == {
            f"{LABEL}name": walk.name,
            f"{LABEL}uid": walk.job["metadata"]["uid"],
            f"{LABEL}worker-type": kind,
        }


@WORKERS
def test_a_pod_goes_with_its_job(walk: Walk, kind: str) -> None:
    (owner,) = walk.worker(kind)["metadata"]["ownerReferences"]
    assert (owner["apiVersion"], owner["kind"]) == ("sedna.io/v1alpha1", "IncrementalLearningJob")
    assert (owner["name"], owner["uid"]) == (walk.name, walk.job["metadata"]["uid"])
    assert owner["controller"] is True


@WORKERS
def test_a_pod_uses_its_node_s_network(walk: Walk, kind: str) -> None:
    assert walk.worker(kind)["spec"]["hostNetwork"] is True


@pytest.mark.parametrize("kind", ["train", "eval"])
def test_the_pod_of_a_stage_ends(walk: Walk, kind: str) -> None:
    assert walk.worker(kind)["spec"]["restartPolicy"] in {"OnFailure", "Never"}


@pytest.mark.stricter
@pytest.mark.parametrize("kind", ["train", "eval"])
def test_attempts_are_counted_by_the_job_and_not_by_the_kubelet(walk: Walk, kind: str) -> None:
    assert walk.worker(kind)["spec"]["restartPolicy"] == "Never"


def test_an_inference_pod_is_started_again_by_its_kubelet(walk: Walk) -> None:
    assert walk.worker("inference")["spec"].get("restartPolicy", "Always") == "Always"


def test_a_pod_is_where_its_template_says(walks: dict[str, Walk]) -> None:
    assert walks[COLD].worker("inference")["spec"]["nodeName"] == NODE
    spec = walks[HOT].worker("eval")["spec"]
    assert (spec["nodeSelector"], spec.get("nodeName", "")) == (SELECTED, "")


@pytest.mark.stricter
def test_a_pod_without_a_place_is_where_its_dataset_is(walk: Walk) -> None:
    assert walk.worker("train")["spec"]["nodeName"] == NODE


def test_the_inference_worker_is_there_before_any_round(walk: Walk) -> None:
    first, later = (walk.worker(kind)["metadata"]["creationTimestamp"] for kind in ("inference", "train"))
    assert first <= later


@pytest.mark.parametrize("kind", ["train", "inference"])
def test_a_template_keeps_what_it_says(walks: dict[str, Walk], kind: str) -> None:
    spec = walks[HOT].worker(kind)["spec"]
    first = spec["containers"][0]
    if kind == "train":
        assert (first["image"], first["args"]) == ("conformance.invalid/train", ["train.py"])
        assert values(walks[HOT].worker("train"))["batch_size"] == "32"
    else:
        assert {"name": "frames", "mountPath": "/frames"} in first["volumeMounts"]
        assert any(one["name"] == "frames" and one["hostPath"]["path"] == "/frames" for one in spec["volumes"])


@pytest.mark.stricter
@pytest.mark.parametrize("kind", ["train", "inference"])
def test_a_template_keeps_its_labels_and_annotations(walks: dict[str, Walk], kind: str) -> None:
    metadata = walks[HOT].worker(kind)["metadata"]
    assert metadata["labels"]["team"] == "sea"
    assert metadata["annotations"]["note"] == "kept"


@WORKERS
def test_every_worker_is_told_who_it_is(walk: Walk, kind: str) -> None:
    told = [values(pod) for pod in walk.workers[kind]]
    for one in told:
        assert (one["NAMESPACE"], one["JOB_NAME"]) == (walk.namespace, walk.name)
        assert one["LC_SERVER"].startswith("http://")
    assert len({one["WORKER_NAME"] for one in told} - {""}) == len(told)


@ROUNDS
def test_what_a_training_is_told(walk: Walk, round: int) -> None:
    told, output = values(walk.worker("train", round)), walk.job["spec"]["outputDir"]
    base = BASE if round == 1 else f"{output}/train/{round - 1}/model.onnx"
    expected = {
        "BASE_MODEL_URL": f"{PREFIX}{base}",
        "MODEL_URL": f"{PREFIX}{output}/train/{round}",
        "TRAIN_DATASET_URL": f"{PREFIX}{output}/data/train/{round}/data.txt",
        "ORIGINAL_DATASET_URL": f"{PREFIX}{INDEX}",
        "DATA_PATH_PREFIX": PREFIX,
    }
    assert {name: told.get(name) for name in expected} == expected


@ROUNDS
def test_what_an_evaluation_is_told(walk: Walk, round: int) -> None:
    told, output = values(walk.worker("eval", round)), walk.job["spec"]["outputDir"]
    expected = {
        "TEST_DATASET_URL": f"{PREFIX}{output}/data/eval/{round}/data.txt",
        "ORIGINAL_DATASET_URL": f"{PREFIX}{INDEX}",
        "DATA_PATH_PREFIX": PREFIX,
    }
    assert {name: told.get(name) for name in expected} == expected
    new, _ = told["MODEL_URLS"].split(";")
    assert new == f"{PREFIX}{output}/train/{round}/model.onnx"


def test_the_first_model_is_compared_with_the_initial_one_or_with_what_is_deployed(walk: Walk) -> None:
    _, old = values(walk.worker("eval"))["MODEL_URLS"].split(";")
    assert old == f"{PREFIX}{BASE if walk.name == HOT else SERVED}"


@pytest.mark.stricter
def test_later_models_are_compared_with_what_was_deployed_last(walk: Walk) -> None:
    _, old = values(walk.worker("eval", 2))["MODEL_URLS"].split(";")
    assert old == f"{PREFIX}{walk.job['spec']['outputDir']}/train/1/model.onnx"


def test_what_an_inference_worker_is_told(walk: Walk) -> None:
    told = values(walk.worker("inference"))
    served = SERVED if walk.name == COLD else "/served-warm/model.onnx"
    assert told["MODEL_URL"] == f"{PREFIX}{served}"
    assert told["HEM_NAME"] == "IBT"
    assert json.loads(told["HEM_PARAMETERS"]) == [{"key": "threshold_img", "value": "0.9"}]


def test_a_worker_that_loads_new_models_is_told_where_they_come(walks: dict[str, Walk]) -> None:
    told = values(walks[HOT].worker("inference"))
    assert told["MODEL_HOT_UPDATE"] == "true"
    assert told["MODEL_POLL_PERIOD_SECONDS"] == "7"
    assert told["MODEL_HOT_UPDATE_CONFIG"] == "/model-hot-update/model_config.json"


def test_a_worker_that_is_started_again_is_not(walks: dict[str, Walk]) -> None:
    assert not any(name.startswith("MODEL_HOT_UPDATE") for name in values(walks[COLD].worker("inference")))


@WORKERS
def test_files_of_the_node_are_below_home_data(walk: Walk, kind: str) -> None:
    pod = walk.worker(kind)
    paths = [path for value in values(pod).values() for path in value.split(";") if path.startswith(f"{PREFIX}/")]
    assert paths
    assert [on_node(pod, path) for path in paths] == [path.removeprefix(PREFIX) for path in paths]


def test_new_models_come_by_a_folder_of_the_node(walks: dict[str, Walk]) -> None:
    walk = walks[HOT]
    pod = walk.worker("inference")
    folder = f"/var/lib/sedna/model-hot-update/{walk.namespace}/incrementallearningjob/{walk.name}"
    assert on_node(pod, "/model-hot-update/model_config.json") == f"{folder}/model_config.json"
    (volume,) = (one for one in pod["spec"]["volumes"] if one["name"] == "sedna-model-hot-update-volume")
    assert volume["hostPath"]["path"] == folder


@WORKERS
def test_a_worker_gets_the_credentials_of_its_job(walks: dict[str, Walk], kind: str) -> None:
    assert set(variables(walks[HOT].worker(kind))) >= CREDENTIALS
    assert not set(variables(walks[COLD].worker(kind))) & CREDENTIALS


@pytest.mark.stricter
@WORKERS
def test_credentials_are_not_written_into_pods(walks: dict[str, Walk], kind: str) -> None:
    pod = walks[HOT].worker(kind)
    for name, value in SECRET["stringData"].items():
        assert value not in json.dumps(pod)
        assert variables(pod)[name]["valueFrom"]["secretKeyRef"] == {"name": "bucket", "key": name}


@pytest.mark.stricter
def test_what_deploys_is_a_worker_of_the_job_too(walk: Walk) -> None:
    for round, pod in enumerate(walk.workers["deploy"], start=1):
        assert pod["metadata"]["name"].startswith(f"{walk.name}-deploy-{round}-")
        assert pod["metadata"]["labels"][f"{LABEL}worker-type"] == "deploy"
        assert pod["spec"]["nodeName"] == NODE


@pytest.mark.stricter
def test_a_pod_s_name_says_its_round_and_attempt(walk: Walk) -> None:
    for kind in ("train", "eval", "deploy"):
        names = [pod["metadata"]["name"] for pod in walk.workers[kind]]
        assert names == [f"{walk.name}-{kind}-1-1", f"{walk.name}-{kind}-2-1"]
