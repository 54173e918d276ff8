"""Pods of a job's workers: what Sedna's users find in them, and what keeps them safe."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.job_world import World, a_dataset, a_model, a_template, evaluated, merged, trained

from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.worker_pods import (
    Mount,
    Owner,
    Place,
    WorkerPod,
    from_pod,
    in_pod,
    is_made_from,
    mounts_for,
    path_of,
    pod_for,
)

OWNER = Owner(
    api_version="sedna.io/v1alpha1", kind="IncrementalLearningJob", namespace="lab", name="helmets", uid="uid-1"
)


def a_pod(template: dict[str, Any] | None = None, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "name": "helmets-train-1-1",
        "worker_type": "train",
        "template": template or a_template(),
        "env": {"JOB_NAME": "helmets"},
    }
    return pod_for(OWNER, WorkerPod(**(fields | changes)))


def env_of(pod: Any) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in pod["spec"]["containers"][0]["env"]}


# ---- one pod


def test_a_pod_carries_sednas_labels_beside_the_templates_own_and_its_annotations() -> None:
    template = merged(a_template(), {"metadata": {"labels": {"team": "red"}, "annotations": {"note": "keep"}}})
    metadata = a_pod(template)["metadata"]
    assert metadata["labels"] == {
        "team": "red",
        "incrementallearningjob.sedna.io/name": "helmets",
        "incrementallearningjob.sedna.io/uid": "uid-1",
        "incrementallearningjob.sedna.io/worker-type": "train",
    }
    assert metadata["annotations"]["note"] == "keep"
    [owner] = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == ("uid-1", True)


def test_a_pod_is_on_the_hosts_network_as_sednas_are() -> None:
    spec = a_pod()["spec"]
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")


@pytest.mark.parametrize(("once", "policy"), [(True, "Never"), (False, "OnFailure")], ids=["counted", "kept going"])
def test_who_counts_the_attempts_decides_what_the_kubelet_does(once: bool, policy: str) -> None:
    pod = a_pod(a_template(restartPolicy="OnFailure"), runs_once=once)
    assert pod["spec"]["restartPolicy"] == policy


def test_all_containers_are_told_the_same_and_their_own_variables_of_these_names_give_way() -> None:
    template = a_template()
    template["spec"]["containers"] = [
        {
            "name": "worker",
            "image": "a",
            "env": [{"name": "JOB_NAME", "value": "mine"}, {"name": "EPOCHS", "value": "3"}],
        },
        {"name": "second", "image": "b", "terminationMessagePath": "/tmp/last"},
    ]
    first, second = a_pod(template)["spec"]["containers"]
    assert first["env"] == [
        {"name": "EPOCHS", "value": "3"},
        {"name": "JOB_NAME", "value": "helmets"},
        {"name": "ORBITLOOP_TERMINATION_LOG", "value": "/dev/termination-log"},
    ]
    assert second["env"][-1] == {"name": "ORBITLOOP_TERMINATION_LOG", "value": "/tmp/last"}


@pytest.mark.parametrize(
    ("given", "policy"), [({}, "FallbackToLogsOnError"), ({"terminationMessagePolicy": "File"}, "File")]
)
def test_the_end_of_the_log_is_the_last_word_unless_the_template_says_otherwise(given: Any, policy: str) -> None:
    template = a_template()
    template["spec"]["containers"][0] |= given
    assert a_pod(template)["spec"]["containers"][0]["terminationMessagePolicy"] == policy


def test_keys_of_an_object_store_are_referred_to_and_never_written() -> None:
    env = env_of(a_pod(credential="bucket-keys"))
    assert env["ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "bucket-keys", "key": "ACCESS_KEY_ID"}}
    assert env["SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "bucket-keys", "key": "SECRET_ACCESS_KEY"}}
    assert env["S3_ENDPOINT_URL"]["secretKeyRef"]["optional"] is True


@pytest.mark.parametrize(
    ("template", "place", "expected"),
    [
        ({}, Place(node="edge-1"), {"nodeName": "edge-1"}),
        ({"nodeName": "edge-7"}, Place(node="edge-1"), {"nodeName": "edge-7"}),
        ({"nodeSelector": {"gpu": "yes"}}, Place(node="edge-1"), {"nodeSelector": {"gpu": "yes"}}),
        ({"nodeSelector": {"gpu": "yes"}}, Place(node="edge-1", strictly=True), {"nodeName": "edge-1"}),
        ({}, Place(), {}),
    ],
    ids=["no place of its own", "a node", "a selector", "one of several", "anywhere"],
)
def test_a_template_says_where_its_pod_goes_and_else_its_samples_do(template: Any, place: Place, expected: Any) -> None:
    spec = a_pod(a_template(**template), place=place)["spec"]
    assert {key: spec[key] for key in ("nodeName", "nodeSelector", "affinity") if key in spec} == expected


def test_the_template_is_not_changed() -> None:
    template = a_template(tolerations=[{"key": "mine"}])
    before = merged(template, {})
    a_pod(template, mounts=(Mount(folder="/data", at="/home/data/data"),), place=Place(in_orbit=True))
    assert template == before


def test_pods_of_one_job_made_from_other_things_are_told_apart() -> None:
    assert is_made_from(a_pod(), a_pod())
    assert not is_made_from(a_pod(), a_pod(a_template("lab/helmets:2")))
    assert not is_made_from(a_pod(), a_pod(env={"JOB_NAME": "other"}))


def test_a_job_whose_name_is_no_label_is_refused() -> None:
    document = {
        "apiVersion": "sedna.io/v1alpha1",
        "kind": "IncrementalLearningJob",
        "metadata": {"name": "h" * 64, "namespace": "lab", "uid": "1"},
    }
    with pytest.raises(BadInput, match="give it one of at most 63"):
        Owner.of(document)


# ---- paths


@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("/data/x.txt", "/home/data/data/x.txt"),
        ("file:///data/x.txt", "/home/data/data/x.txt"),
        ("/data/../data//x.txt", "/home/data/data/x.txt"),
        ("s3://bucket/x.txt", "s3://bucket/x.txt"),
        ("https://models.example/x.onnx", "https://models.example/x.onnx"),
    ],
)
def test_a_worker_finds_what_is_on_its_node_below_home_data(url: str, inside: str) -> None:
    assert in_pod(url) == inside


@given(parts=st.lists(st.sampled_from(["data", "..", ".", "", "models", "x.txt"]), min_size=1, max_size=6))
def test_no_path_leads_out_of_the_folder_that_is_mounted(parts: list[str]) -> None:
    inside = in_pod("/" + "/".join(parts))
    assert ".." not in inside.split("/")
    assert inside.startswith("/home/data")
    if inside != "/home/data/":
        assert from_pod(inside) == path_of("/" + "/".join(parts), "it")


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(BadInput, match="write an absolute path on the node, for instance /data/x"):
        path_of("x.txt", "the url of Dataset sites")


def test_each_folder_is_mounted_once_and_made_where_it_is_missing() -> None:
    mounts = mounts_for(files=("/data/a.txt", "/data/b.txt", "s3://bucket/c"), folders=("/output", "/data"))
    spec = a_pod(mounts=mounts)["spec"]
    assert [volume["hostPath"] for volume in spec["volumes"]] == [
        {"path": "/data", "type": "DirectoryOrCreate"},
        {"path": "/output", "type": "DirectoryOrCreate"},
    ]
    assert [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]] == [
        "/home/data/data",
        "/home/data/output",
    ]


def test_the_root_folder_of_a_node_is_given_to_nobody() -> None:
    with pytest.raises(BadInput, match="put the file into a folder"):
        mounts_for(files=("/x.txt",))


# ---- the pods of a round


def a_round() -> World:
    world = World.with_job()
    world.settle()
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    return world


COMMON = {
    "NAMESPACE": "lab",
    "JOB_NAME": "helmets",
    "LC_SERVER": "http://localhost:9100",
    "DATA_PATH_PREFIX": "/home/data",
    "ORBITLOOP_TERMINATION_LOG": "/dev/termination-log",
}


@pytest.mark.parametrize(
    ("pod", "env"),
    [
        (
            "helmets-train-1-1",
            {
                "WORKER_NAME": "helmets-train-1-1",
                "BASE_MODEL_URL": "/home/data/models/first.onnx",
                "MODEL_URL": "/home/data/output/train/1",
                "TRAIN_DATASET_URL": "/home/data/output/data/train/1/data.txt",
                "ORIGINAL_DATASET_URL": "/home/data/data/sites/index.txt",
            },
        ),
        (
            "helmets-eval-1-1",
            {
                "WORKER_NAME": "helmets-eval-1-1",
                "MODEL_URLS": "/home/data/output/train/1/model.onnx;/home/data/models/served.onnx",
                "TEST_DATASET_URL": "/home/data/output/data/eval/1/data.txt",
                "ORIGINAL_DATASET_URL": "/home/data/data/sites/index.txt",
            },
        ),
        (
            "helmets-inference-1",
            {
                "WORKER_NAME": "helmets-inference-1",
                "MODEL_URL": "/home/data/models/served.onnx",
                "HEM_NAME": "IBT",
                "HEM_PARAMETERS": '[{"key": "threshold_img", "value": "0.9"}]',
            },
        ),
    ],
    ids=["train", "eval", "inference"],
)
def test_a_worker_is_told_what_sednas_is(pod: str, env: dict[str, str]) -> None:
    assert env_of(a_round().pod(pod)) == COMMON | env


def test_before_a_training_its_samples_are_cut_out_of_the_index() -> None:
    [first, *_] = a_round().pod("helmets-train-1-1")["spec"]["initContainers"]
    assert first["image"] == "orbitloop/tools:0.1"
    assert " ".join(first["command"]) == (
        "python -m orbitloop.worker.tools cut-round --index /home/data/data/sites/index.txt --format txt "
        "--segments 0:10 --train-prob 0.8 --train-to /home/data/output/data/train/1/data.txt "
        "--eval-to /home/data/output/data/eval/1/data.txt"
    )


def test_the_tools_prepare_folders_of_the_node_as_root_and_give_the_model_s_to_whom_the_template_names() -> None:
    own = {"name": "worker", "image": "worker:1", "securityContext": {"runAsUser": 65532}}
    template = {"spec": {"securityContext": {"runAsUser": 1000, "runAsGroup": 1001}, "containers": [own]}}
    world = World.with_job(trainSpec={"template": template})
    world.settle()
    [first, *_] = world.pod("helmets-train-1-1")["spec"]["initContainers"]
    assert first["command"][-4:] == ["--give", "/home/data/output/train/1", "--to", "65532:1001"]
    assert first["securityContext"]["runAsUser"] == 0
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE"]}


def test_the_model_of_the_first_evaluation_is_the_one_that_the_job_names() -> None:
    world = World.with_job(evalSpec={"initialEvalModel": {"name": "judge"}})
    world.put(a_model("judge", "/models/judge.onnx"))
    world.settle()
    world.end("helmets-train-1-1", trained())
    world.settle()
    assert env_of(world.pod("helmets-eval-1-1"))["MODEL_URLS"].endswith(";/home/data/models/judge.onnx")


def test_with_hot_update_the_inference_worker_is_told_where_new_models_are() -> None:
    model = {"name": "served", "hotUpdateEnabled": True, "pollPeriodSeconds": 30}
    world = World.with_job(samples=0, deploySpec={"model": model})
    world.settle()
    pod = world.pod("helmets-inference-1")
    env = env_of(pod)
    assert env["MODEL_HOT_UPDATE"] == "true"
    assert env["MODEL_POLL_PERIOD_SECONDS"] == "30"
    assert env["MODEL_HOT_UPDATE_CONFIG"] == "/model-hot-update/model_config.json"
    volume = next(one for one in pod["spec"]["volumes"] if one["name"] == "sedna-model-hot-update-volume")
    assert volume["hostPath"]["path"] == "/var/lib/sedna/model-hot-update/lab/incrementallearningjob/helmets"
    mounts = {one["name"]: one["mountPath"] for one in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["sedna-model-hot-update-volume"] == "/model-hot-update"


def test_a_deployment_runs_where_the_inference_worker_is() -> None:
    world = World.with_job(deploySpec={"template": a_template(nodeName="edge-9")})
    world.settle()
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    assert world.pod("helmets-deploy-1-1")["spec"]["nodeName"] == "edge-9"


def test_where_the_output_goes_to_a_bucket_the_samples_are_listed_in_the_pod() -> None:
    world = World.with_job(outputDir="s3://bucket/helmets", credentialName="bucket-keys")
    world.settle()
    env = env_of(world.pod("helmets-train-1-1"))
    assert env["MODEL_URL"] == "s3://bucket/helmets/train/1"
    assert env["TRAIN_DATASET_URL"] == "/round/train/1/data.txt"
    assert "ACCESS_KEY_ID" in env
    volumes = world.pod("helmets-train-1-1")["spec"]["volumes"]
    assert {"emptyDir"} == {key for volume in volumes for key in volume} - {"name", "hostPath"}


def test_samples_in_csv_are_listed_in_csv() -> None:
    world = World.with_job()
    world.put(merged(a_dataset(10), {"spec": {"format": "CSV"}}))
    world.settle()
    assert env_of(world.pod("helmets-train-1-1"))["TRAIN_DATASET_URL"] == "/home/data/output/data/train/1/data.csv"


def test_a_deployment_may_go_where_the_inference_worker_may() -> None:
    admitted: dict[str, Any] = {
        "tolerations": [{"key": "edge"}],
        "imagePullSecrets": [{"name": "lab"}],
        "serviceAccountName": "worker",
    }
    world = World.with_job(deploySpec={"template": a_template(nodeName="edge-9", **admitted)})
    world.settle()
    world.end("helmets-train-1-1", trained())
    world.settle()
    world.end("helmets-eval-1-1", evaluated())
    world.settle()
    spec = world.pod("helmets-deploy-1-1")["spec"]
    assert {key: spec[key] for key in admitted} == admitted
