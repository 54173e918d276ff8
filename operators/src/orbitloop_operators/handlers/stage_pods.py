"""The pod of each stage of a round: what its worker is told, given and asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from orbitloop.api.sedna_v1alpha1.dataset import Dataset
from orbitloop.api.sedna_v1alpha1.incremental_learning_job import RoundModel
from orbitloop.domain.errors import BadInput
from orbitloop.domain.learning import Stage
from orbitloop.wire.update_files import HOT_UPDATES
from orbitloop.wire.worker_messages import ReportedModel
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.job_scene import Scene
from orbitloop_operators.handlers.pod_states import has_ended, is_leaving
from orbitloop_operators.handlers.queues import queue_of, queued_pod
from orbitloop_operators.handlers.round_samples import segment_of_round
from orbitloop_operators.handlers.round_state import Status
from orbitloop_operators.handlers.worker_groups import ASIDES
from orbitloop_operators.handlers.worker_pods import (
    DATA_PREFIX,
    PLACING,
    Mount,
    Place,
    WorkerPod,
    in_pod,
    is_on_node,
    mounts_for,
    path_of,
    pod_for,
    tools_template,
    user_of,
)

HOT_UPDATE = "/model-hot-update"
"""Where inference workers find new models, and the file that names the newest."""
_HOT_UPDATE_VOLUME = "sedna-model-hot-update-volume"
_ROUND_FOLDER = "/round"
"""Where a round's samples are listed if the job's output goes to an object store."""
_ADMITTING = ("tolerations", "imagePullSecrets", "serviceAccountName")
"""What lets a pod onto a node, and its image."""
_FORMATS = ("txt", "csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What pods are told of the cluster.

    Args:
        local_controller: where workers find their Local Controller.
        tools_image: image with orbitloop's worker tools.
        hot_updates: folder of the nodes for new models.
        indexed_jobs: whether the cluster has Jobs whose pods have numbers and host names.
        host_names: whether pods find each other by the name of a Service.
    """

    local_controller: str
    tools_image: str
    hot_updates: str = HOT_UPDATES
    indexed_jobs: bool = False
    host_names: bool = True


def pod_name(job: str, stage: Stage, round: int, attempt: int) -> str:
    """The name of a stage's pod."""
    return f"{job}-{stage.lower()}-{round}-{attempt}"


def swept(scene: Scene, round: int) -> tuple[Key, ...]:
    """What may go: it has ended, and belongs to a round before the last one, whose logs may still be read."""
    pods = (pod for pod in scene.pods.values() if scene.maker_of(pod) is None)
    asides = (aside for kind in ASIDES for aside in scene.view.owned(scene.owner.uid, *kind))
    old = (one for one in (*pods, *scene.makers, *asides) if 0 < _round_of(scene, one) < round - 1)
    return tuple(Key.of(one) for one in old if not is_leaving(one) and (one["kind"] != "Pod" or has_ended(one)))


def _round_of(scene: Scene, document: Document) -> int:
    """The round that an object's name says; 0 for those that belong to none."""
    head, _, rest = document["metadata"]["name"].removeprefix(f"{scene.owner.name}-").partition("-")
    number = rest.partition("-")[0]
    return int(number) if head == worker_type_of(document) != "inference" and number.isdigit() else 0


def stage_pod(scene: Scene, status: Status, platform: Platform) -> dict[str, Any]:
    """The pod that carries out the job's stage, at its round and attempt. Raises as :func:`stage_worker` does."""
    pod = pod_for(scene.owner, stage_worker(scene, status, platform))
    return pod if status.stage == Stage.DEPLOY else queued_pod(pod, queue_of(scene.job.metadata))


def stage_worker(scene: Scene, status: Status, platform: Platform) -> WorkerPod:
    """The worker that carries out the job's stage, at its round and attempt.

    Raises:
        Missing: a Dataset or Model that it needs is not there.
        BadInput: an URL is of a kind that its worker cannot be given.
    """
    match Stage(status.stage):
        case Stage.TRAIN:
            return _train(scene, status, platform)
        case Stage.EVAL:
            return _eval(scene, status, platform)
        case Stage.DEPLOY:
            return _deploy(scene, status, platform)
        case stage:
            assert_never(stage)


def _train(scene: Scene, status: Status, platform: Platform) -> WorkerPod:
    dataset, base = scene.needed_dataset(), base_model(scene, status)
    index, made = _index(dataset, status), model_folder(scene, status)
    lists = _lists(scene, status, dataset)
    env = {
        "BASE_MODEL_URL": in_pod(base.url),
        "MODEL_URL": in_pod(made),
        "TRAIN_DATASET_URL": lists.train,
        "ORIGINAL_DATASET_URL": in_pod(index),
    }
    output = scene.spec.output_dir
    return WorkerPod(
        name=pod_name(scene.owner.name, Stage.TRAIN, status.round, status.attempt),
        worker_type="train",
        template=scene.spec.train_spec.template,
        place=scene.ground_place(dataset, status.node),
        env=env | _told(scene, platform, Stage.TRAIN, status),
        credential=_credential(scene, dataset),
        mounts=(*mounts_for(files=(index, base.url), folders=(output, made)), *lists.mounts),
        tools=(platform.tools_image, *_cut(scene, status, dataset, lists), *_given(scene, made)),
    )


def _eval(scene: Scene, status: Status, platform: Platform) -> WorkerPod:
    dataset, old, new = scene.needed_dataset(), old_model(scene, status), candidate_of(status)
    index, lists = _index(dataset, status), _lists(scene, status, dataset)
    env = {
        "MODEL_URLS": f"{in_pod(new.url)};{in_pod(old.url)}",
        "TEST_DATASET_URL": lists.evaluate,
        "ORIGINAL_DATASET_URL": in_pod(index),
    }
    return WorkerPod(
        name=pod_name(scene.owner.name, Stage.EVAL, status.round, status.attempt),
        worker_type="eval",
        template=scene.spec.eval_spec.template,
        place=scene.ground_place(dataset, status.node),
        env=env | _told(scene, platform, Stage.EVAL, status),
        credential=_credential(scene, dataset),
        mounts=(*mounts_for(files=(index, new.url, old.url), folders=(scene.spec.output_dir,)), *lists.mounts),
        tools=(platform.tools_image, *_cut(scene, status, dataset, lists)),
    )


def _deploy(scene: Scene, status: Status, platform: Platform) -> WorkerPod:
    """The worker tools, on the node of the inference worker, put the new model where that one reads it."""
    new, asked = candidate_of(status), scene.spec.deploy_spec.model
    if not is_on_node(new.url):
        raise BadInput(f"the trained model {new.url} is not on a node; deploying takes an outputDir that is a path")
    mounts = mounts_for(files=(new.url,))
    arguments = ["deploy", "--model", in_pod(new.url)]
    if asked.hot_update_enabled:
        seconds = str(3 * asked.poll_period_seconds + 60)
        arguments += ["--hot-update", HOT_UPDATE, "--keep", "2", "--wait-seconds", seconds]
        mounts = (*mounts, hot_update_mount(scene, platform))
    else:
        served = scene.needed_model(asked.name).spec.url
        if not is_on_node(served):
            raise BadInput(
                f"Model {asked.name} is at {served}; only a file on the node can be replaced: write its path"
            )
        arguments += ["--deploy-model", in_pod(served)]
        mounts = tuple(dict.fromkeys((*mounts, *mounts_for(files=(served,)))))
    template = tools_template(platform.tools_image, arguments)
    return WorkerPod(
        name=pod_name(scene.owner.name, Stage.DEPLOY, status.round, status.attempt),
        worker_type="deploy",
        template={"spec": template["spec"] | _where_inference_is(scene)},
        env=_told(scene, platform, Stage.DEPLOY, status),
        mounts=mounts,
    )


def _where_inference_is(scene: Scene) -> dict[str, Any]:
    """The part of a pod's spec that puts it onto the node of the inference worker."""
    template = scene.spec.deploy_spec.template.get("spec") or {}
    for pod in scene.pods.values():
        node = (pod.get("spec") or {}).get("nodeName")
        if node and worker_type_of(pod) == "inference":
            return {"nodeName": node} | _of(template, *_ADMITTING)
    placed = _of(template, *PLACING) or {"nodeName": scene.needed_dataset().spec.node_name}
    return placed | _of(template, *_ADMITTING)


def _of(template: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: template[key] for key in keys if key in template}


def inference_pod(scene: Scene, name: str, place: Place, platform: Platform) -> dict[str, Any]:
    """The pod that uses the deployed model.

    Raises:
        Missing: the Model that is deployed is not there.
        BadInput: its URL is of a kind that a worker cannot be given.
    """
    asked, mining = scene.spec.deploy_spec.model, scene.spec.deploy_spec.hard_example_mining
    model = scene.needed_model(asked.name)
    parameters = [{"key": entry.key, "value": entry.value} for entry in mining.parameters]
    env = {
        "MODEL_URL": in_pod(model.spec.url),
        "HEM_NAME": mining.name,
        "HEM_PARAMETERS": json.dumps(parameters),
    }
    mounts = mounts_for(files=(model.spec.url,))
    if asked.hot_update_enabled:
        env |= {
            "MODEL_HOT_UPDATE": "true",
            "MODEL_POLL_PERIOD_SECONDS": str(asked.poll_period_seconds),
            "MODEL_HOT_UPDATE_CONFIG": f"{HOT_UPDATE}/model_config.json",
        }
        mounts = (*mounts, hot_update_mount(scene, platform))
    wanted = WorkerPod(
        name=name,
        worker_type="inference",
        template=scene.spec.deploy_spec.template,
        place=place,
        env=env | _identity(scene, platform, name),
        credential=model.spec.credential_name or scene.spec.credential_name,
        mounts=mounts,
        runs_once=False,
    )
    return pod_for(scene.owner, wanted)


def hot_update_mount(scene: Scene, platform: Platform) -> Mount:
    """The folder in which an inference worker finds new models."""
    owner = scene.owner
    folder = hot_update_folder(owner.namespace, owner.name, platform.hot_updates)
    return Mount(folder=folder, at=HOT_UPDATE, name=_HOT_UPDATE_VOLUME)


def hot_update_folder(namespace: str, job: str, below: str = HOT_UPDATES) -> str:
    """The folder of the node in which new models of a job are."""
    return f"{below}/{namespace}/incrementallearningjob/{job}"


def worker_type_of(pod: Mapping[str, Any]) -> str:
    """What a pod's label says that it does."""
    for label, value in (pod["metadata"].get("labels") or {}).items():
        if label.endswith(".sedna.io/worker-type"):
            return str(value)
    return ""


def base_model(scene: Scene, status: Status) -> RoundModel:
    """What a round is trained from: what was deployed last, else the job's initial model."""
    return status.deployed or _round_model(scene, scene.spec.initial_model.name)


def old_model(scene: Scene, status: Status) -> RoundModel:
    """What a candidate is compared with: what was deployed last, else what the job says."""
    if status.deployed is not None:
        return status.deployed
    initial = scene.spec.eval_spec.initial_model
    return _round_model(scene, initial.name if initial is not None else scene.spec.deploy_spec.model.name)


def _round_model(scene: Scene, name: str) -> RoundModel:
    model = scene.needed_model(name)
    url = model.spec.url
    return RoundModel(url=path_of(url, f"Model {name}") if is_on_node(url) else url, format=model.spec.format)


def candidate_of(status: Status) -> RoundModel:
    """The model that the round made. Raises ``BadInput``."""
    if status.candidate is None:
        raise BadInput("the round has no trained model; its training is done again in the next round")
    return status.candidate


def model_folder(scene: Scene, status: Status) -> str:
    """The folder for what a round trains."""
    return f"{_output(scene)}/train/{status.round}"


def named_by_template(scene: Scene, status: Status) -> ReportedModel | None:
    """The model that a training makes by convention, where the template names its file by ``MODEL_NAME``."""
    for container in (scene.spec.train_spec.template.get("spec") or {}).get("containers") or ():
        for entry in container.get("env") or ():
            if entry.get("name") == "MODEL_NAME" and entry.get("value"):
                return ReportedModel(url=f"{model_folder(scene, status)}/{entry['value']}")
    return None


def _output(scene: Scene) -> str:
    output = scene.spec.output_dir
    return path_of(output, "outputDir") if is_on_node(output) else output.rstrip("/")


def list_url(scene: Scene, status: Status) -> str:
    """Where the samples of a training or evaluation are listed, outside of its pod; empty for a deployment."""
    dataset = scene.dataset()
    if dataset is None or status.stage == Stage.DEPLOY:
        return ""
    return f"{_output(scene)}/data/{status.stage.lower()}/{status.round}/data.{dataset.spec.format.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lists:
    """Where a round's samples are listed, in the pod."""

    train: str
    evaluate: str
    mounts: tuple[Mount, ...] = ()


def _lists(scene: Scene, status: Status, dataset: Dataset) -> _Lists:
    end = f"{status.round}/data.{dataset.spec.format.lower()}"
    if not is_on_node(scene.spec.output_dir):
        mounts = (Mount(folder="", at=_ROUND_FOLDER),)
        return _Lists(train=f"{_ROUND_FOLDER}/train/{end}", evaluate=f"{_ROUND_FOLDER}/eval/{end}", mounts=mounts)
    output = in_pod(_output(scene))
    return _Lists(train=f"{output}/data/train/{end}", evaluate=f"{output}/data/eval/{end}")


def _index(dataset: Dataset, status: Status) -> str:
    """The index that the round's samples are counted in, which is not the Dataset's if that changed meanwhile."""
    return check_index(dataset, status.samples.source or dataset.spec.url)


def check_index(dataset: Dataset, url: str) -> str:
    """The path of a Dataset's index. Raises ``BadInput`` if rounds cannot be cut from it."""
    what = f"the url of Dataset {dataset.name}"
    if dataset.spec.format.lower() not in _FORMATS:
        raise BadInput(f"Dataset {dataset.name} has the format {dataset.spec.format!r}; write one of txt, csv")
    if not is_on_node(url):
        raise BadInput(f"{what} is {url!r}; rounds are cut from an index on the node: write its absolute path")
    return path_of(url, what)


def _cut(scene: Scene, status: Status, dataset: Dataset, lists: _Lists) -> tuple[str, ...]:
    """What the worker tools are asked for before a round is trained or evaluated: the same lists at every try."""
    segments = ",".join(f"{one.begin}:{one.end}" for one in status.segments)
    if segment_of_round(status) is None:
        raise BadInput("the samples of this round are gone from the Dataset; the next round takes those that come")
    return (
        "cut-round",
        *("--index", in_pod(_index(dataset, status))),
        *("--format", dataset.spec.format.lower()),
        *("--segments", segments),
        *("--train-prob", repr(scene.spec.dataset.train_prob)),
        *("--train-to", lists.train),
        *("--eval-to", lists.evaluate),
    )


def _given(scene: Scene, made: str) -> tuple[str, ...]:
    """The folder for the model is the worker's to write to, if that is on the node and the template says who it is."""
    user = user_of(scene.spec.train_spec.template)
    return ("--give", in_pod(made), "--to", user) if user and is_on_node(made) else ()


def _told(scene: Scene, platform: Platform, stage: Stage, status: Status) -> dict[str, str]:
    return _identity(scene, platform, pod_name(scene.owner.name, stage, status.round, status.attempt))


def _identity(scene: Scene, platform: Platform, worker: str) -> dict[str, str]:
    """What every worker is told."""
    return {
        "NAMESPACE": scene.owner.namespace,
        "JOB_NAME": scene.owner.name,
        "WORKER_NAME": worker,
        "LC_SERVER": platform.local_controller,
        "DATA_PATH_PREFIX": DATA_PREFIX,
    }


def _credential(scene: Scene, dataset: Dataset) -> str:
    initial = scene.model(scene.spec.initial_model.name)
    return (
        scene.spec.credential_name
        or dataset.spec.credential_name
        or ("" if initial is None else initial.spec.credential_name)
    )
