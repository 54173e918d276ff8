"""A training on several pods: what is made, what they are told, and what becomes of the job as they come and go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.job_world import JOB, PLATFORM, World, a_template, evaluated, in_training, merged, trained, words

from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.incremental_learning_job import IncrementalLearningJobs
from orbitloop_operators.handlers.watched import WATCHED
from orbitloop_operators.handlers.worker_groups import BATCH_JOB, MAKERS, PYTORCH_JOB, TRAIN_JOB, TRAINING_RUNTIME

WORKER = "helmets-train-1-1"
SERVICE = Key(api_version="v1", kind="Service", namespace="lab", name=WORKER)
TRAINED_BY_NOBODY = words("train")


def with_pods(
    number: int = 2,
    *,
    indexed_jobs: bool = False,
    served: tuple[tuple[str, str], ...] = (),
    **changes: Any,
) -> World:
    """A job whose first training is made, of so many pods."""
    world = World.with_job(**merged({"trainSpec": {"pods": number}}, changes))
    world.handler = IncrementalLearningJobs(platform=replace(PLATFORM, indexed_jobs=indexed_jobs))
    world.store.has_kinds(served)
    world.settle()
    return world


def running(number: int = 2, **changes: Any) -> World:
    world = with_pods(number, **changes)
    for one in range(number):
        world.run(f"{WORKER}-{one}")
    world.settle()
    return world


def maker(world: World, kind: tuple[str, str] = BATCH_JOB, name: str = WORKER) -> Document:
    found = world.store.get(Key(api_version=kind[0], kind=kind[1], namespace="lab", name=name))
    assert found is not None
    return found


def play_controller(world: World, kind: tuple[str, str] = BATCH_JOB) -> list[str]:
    """What makes the pods does so; their names."""
    made = maker(world, kind)
    spec, owner = made["spec"], {"apiVersion": kind[0], "kind": kind[1], "name": WORKER, "uid": made["metadata"]["uid"]}
    match kind[1]:
        case "Job":
            template, names = spec["template"], [f"{WORKER}-{one}-x7k2p" for one in range(spec["completions"])]
        case "PyTorchJob":
            workers = spec["pytorchReplicaSpecs"]["Worker"]
            template, names = workers["template"], [f"{WORKER}-worker-{one}" for one in range(workers["replicas"])]
        case _:
            policy = maker(world, TRAINING_RUNTIME, spec["runtimeRef"]["name"])["spec"]
            [nodes] = policy["template"]["spec"]["replicatedJobs"]
            template = nodes["template"]["spec"]["template"]
            names = [f"{WORKER}-node-0-{one}-x7k2p" for one in range(policy["mlPolicy"]["numNodes"])]
            owner = {"apiVersion": "batch/v1", "kind": "Job", "name": f"{WORKER}-node-0", "uid": "of a JobSet"}
    for name in names:
        metadata = {
            **template["metadata"],
            "name": name,
            "namespace": "lab",
            "ownerReferences": [owner | {"controller": True}],
        }
        world.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    return names


def say(world: World, kind: tuple[str, str], condition: str, message: str = "") -> None:
    """What makes the pods says how it is."""
    told = {"type": condition, "status": "True", "reason": "BackoffLimitExceeded", "message": message}
    world.put({**maker(world, kind), "status": {"conditions": [told]}})


BY_OTHERS = [
    pytest.param({"indexed_jobs": True}, BATCH_JOB, id="Job"),
    pytest.param({"served": (PYTORCH_JOB,)}, PYTORCH_JOB, id="PyTorchJob"),
    pytest.param({"served": (TRAIN_JOB,)}, TRAIN_JOB, id="TrainJob"),
]


def env_of(container: Document) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def workers_pods(world: World) -> list[str]:
    return sorted(name for name in world.pods() if "-train-" in name)


# ---- what is made


def test_one_pod_is_made_as_ever_and_needs_no_service() -> None:
    plain, one = in_training(), in_training(trainSpec={"pods": 1, "via": "Pods"})
    assert plain.pod(WORKER)["spec"] == one.pod(WORKER)["spec"]
    assert plain.pod(WORKER)["metadata"]["annotations"] == one.pod(WORKER)["metadata"]["annotations"]
    assert plain.store.get(SERVICE) is None


def test_several_pods_are_made_with_a_service_that_finds_the_first_one_before_it_is_ready() -> None:
    world = with_pods(3)
    assert workers_pods(world) == [f"{WORKER}-0", f"{WORKER}-1", f"{WORKER}-2"]
    service = world.store.get(SERVICE)
    assert service is not None
    spec = service["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
    assert spec["ports"][0]["port"] == 29400
    found = [
        name
        for name in workers_pods(world)
        if spec["selector"].items() <= world.pod(name)["metadata"]["labels"].items()
    ]
    assert found == [f"{WORKER}-0"]
    for one in (service, *world.pods().values()):
        [owner] = one["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (world.job["metadata"]["uid"], True)
    assert (world.at, world.status["message"]) == (
        "Train/Starting",
        f"pod {', '.join(workers_pods(world))} starts",
    )


def test_the_pods_are_told_what_torchrun_reads_and_where_they_meet() -> None:
    world = with_pods(2)
    first, second = (world.pod(name)["spec"] for name in workers_pods(world))
    assert first == second
    told = env_of(first["containers"][0])
    meeting = f"{WORKER}.lab.svc"
    assert (
        told.items()
        >= {
            "PET_NNODES": "2",
            "PET_NPROC_PER_NODE": "1",
            "PET_RDZV_BACKEND": "c10d",
            "PET_RDZV_ENDPOINT": f"{meeting}:29400",
            "PET_RDZV_ID": WORKER,
            "PET_LOCAL_ADDR": {"fieldRef": {"fieldPath": "status.podIP"}},
            "WORKER_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
            "JOB_NAME": "helmets",
        }.items()
    )
    assert len(first["containers"][0]["env"]) == len(told)
    cut, meet = first["initContainers"]
    assert "cut-round" in cut["command"]
    assert meet["command"][-4:] == ["--name", meeting, "--wait-seconds", "600"]
    assert "hostNetwork" not in first


def test_a_template_may_say_how_many_processes_a_pod_has_and_that_it_is_on_the_hosts_network() -> None:
    template = a_template(hostNetwork=True)
    template["spec"]["containers"][0]["env"] = [
        {"name": "PET_NPROC_PER_NODE", "value": "gpu"},
        {"name": "PET_NNODES", "value": "9"},
    ]
    world = with_pods(2, trainSpec={"template": template})
    spec = world.pod(f"{WORKER}-0")["spec"]
    told = env_of(spec["containers"][0])
    assert (told["PET_NPROC_PER_NODE"], told["PET_NNODES"], spec["hostNetwork"]) == ("gpu", "2", True)


@pytest.mark.parametrize(
    ("via", "has", "made"),
    [
        ("Auto", {}, "Pod"),
        ("Auto", {"indexed_jobs": True}, "Job"),
        ("Auto", {"indexed_jobs": True, "served": (TRAIN_JOB,)}, "TrainJob"),
        ("Auto", {"indexed_jobs": True, "served": (TRAIN_JOB, PYTORCH_JOB)}, "PyTorchJob"),
        ("Pods", {"indexed_jobs": True, "served": (TRAIN_JOB, PYTORCH_JOB)}, "Pod"),
        ("IndexedJob", {"indexed_jobs": True, "served": (TRAIN_JOB, PYTORCH_JOB)}, "Job"),
        ("PyTorchJob", {"indexed_jobs": True, "served": (TRAIN_JOB, PYTORCH_JOB)}, "PyTorchJob"),
        ("TrainJob", {"indexed_jobs": True, "served": (TRAIN_JOB, PYTORCH_JOB)}, "TrainJob"),
    ],
)
def test_what_makes_the_pods_is_what_the_job_says_or_the_best_that_there_is(
    via: str, has: dict[str, Any], made: str
) -> None:
    world = with_pods(2, trainSpec={"via": via}, **has)
    makers = [one["kind"] for kind in MAKERS for one in world.store.all(*kind)]
    assert [*makers, *("Pod" for _ in workers_pods(world))] == ([made] if made != "Pod" else ["Pod", "Pod"])


def test_an_indexed_job_has_host_names_below_the_services_and_fails_at_the_first_failure() -> None:
    world = with_pods(4, indexed_jobs=True)
    spec = maker(world)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (
        "Indexed",
        4,
        4,
        0,
    )
    pod = spec["template"]
    assert (pod["spec"]["subdomain"], pod["spec"]["restartPolicy"]) == (WORKER, "Never")
    meeting = f"{WORKER}-0.{WORKER}.lab.svc"
    assert env_of(pod["spec"]["containers"][0])["PET_RDZV_ENDPOINT"] == f"{meeting}:29400"
    assert meeting in pod["spec"]["initContainers"][1]["command"]
    service = world.store.get(SERVICE)
    assert service is not None
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_a_pytorch_job_is_of_workers_alone_with_the_container_that_it_demands() -> None:
    world = with_pods(2, served=(PYTORCH_JOB,))
    spec = maker(world, PYTORCH_JOB)["spec"]
    [(role, workers)] = spec["pytorchReplicaSpecs"].items()
    assert (role, workers["replicas"], workers["restartPolicy"]) == ("Worker", 2, "Never")
    assert [one["name"] for one in workers["template"]["spec"]["containers"]] == ["pytorch"]
    assert "restartPolicy" not in workers["template"]["spec"]
    assert (spec["nprocPerNode"], spec["runPolicy"]) == ("1", {"cleanPodPolicy": "Running"})
    service = world.store.get(SERVICE)
    assert service is not None
    assert service["spec"]["selector"]["training.kubeflow.org/replica-index"] == "0"


def test_a_train_job_has_a_runtime_of_its_own_with_the_whole_template() -> None:
    world = with_pods(3, served=(TRAIN_JOB,))
    assert maker(world, TRAIN_JOB)["spec"] == {
        "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": WORKER}
    }
    spec = maker(world, TRAINING_RUNTIME)["spec"]
    assert spec["mlPolicy"] == {"numNodes": 3}
    [nodes] = spec["template"]["spec"]["replicatedJobs"]
    assert nodes["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    job = nodes["template"]["spec"]
    assert (nodes["name"], nodes["replicas"], job["backoffLimit"]) == ("node", 1, 0)
    assert [one["name"] for one in job["template"]["spec"]["containers"]] == ["node"]
    assert len(job["template"]["spec"]["initContainers"]) == 2


@pytest.mark.parametrize(
    ("via", "says"),
    [
        ("PyTorchJob", "install the training operator of Kubeflow"),
        ("TrainJob", "install Kubeflow Trainer"),
        ("IndexedJob", "takes Kubernetes 1.24 or later"),
    ],
)
def test_what_the_cluster_lacks_is_told_and_looked_for_again(via: str, says: str) -> None:
    world = with_pods(2, trainSpec={"via": via})
    world.pass_by(seconds=5)
    world.settle()
    assert world.status["phase"] == "Blocked"
    assert says in world.status["lastError"]
    assert world.ask().again is not None
    world.store.has_kinds([PYTORCH_JOB, TRAIN_JOB])
    world.handler = IncrementalLearningJobs(platform=replace(PLATFORM, indexed_jobs=True))
    world.settle()
    assert world.at == "Train/Starting"


def test_where_there_are_no_host_names_a_job_of_several_pods_is_refused() -> None:
    world = World.with_job(trainSpec={"pods": 2})
    world.handler = IncrementalLearningJobs(platform=replace(PLATFORM, host_names=False))
    world.settle()
    assert world.status["phase"] == "Blocked"
    assert "spec.trainSpec.pods: it is 2" in world.status["lastError"]
    world.change(trainSpec={"pods": None})
    world.settle()
    assert workers_pods(world) == [WORKER]


@pytest.mark.parametrize("name", ["x" * 37, "1st", "a.b"])
def test_a_name_that_no_host_can_have_is_refused(name: str) -> None:
    world = World.with_job(trainSpec={"pods": 2})
    job = {**world.job, "metadata": {**world.job["metadata"], "name": name, "uid": "another"}}
    world.put(job)
    changes = world.handler.reconcile(job, world.store, world.now)
    world.put({**job, "status": changes.status})
    seen = world.store.get(replace(JOB, name=name))
    assert seen is not None
    with pytest.raises(BadInput, match="give it at most 36 lower-case letters"):
        world.handler.reconcile(seen, world.store, world.now)


# ---- what becomes of them


def test_the_result_is_that_of_whichever_pod_carries_models() -> None:
    world = running(3)
    assert (world.at, world.status["message"]) == ("Train/Running", "3 pods of worker helmets-train-1-1 run")
    world.put(merged(world.pod(f"{WORKER}-1"), {"spec": {"nodeName": "gpu-2"}}))
    world.end(f"{WORKER}-1", trained())
    world.end(f"{WORKER}-0")
    world.settle()
    assert world.at == "Train/Running"
    world.end(f"{WORKER}-2", TRAINED_BY_NOBODY)
    world.settle()
    assert "Train/Completed" in world.steps
    assert world.status["candidate"]["url"] == "/output/train/1/model.onnx"
    assert world.status["node"] == "gpu-2"


def test_the_first_failure_is_the_one_that_is_told_and_the_other_pods_go() -> None:
    world = running(3)
    world.end(f"{WORKER}-2", "no memory left on the device", code=1)
    world.pass_by(seconds=1)
    world.end(f"{WORKER}-0", "connection reset by peer", code=1)
    world.settle()
    assert (world.at, world.status["failures"]) == ("Train/Failed", 1)
    assert world.status["lastError"] == f"pod {WORKER}-2 failed: exit code 1: no memory left on the device"
    assert workers_pods(world) == [f"{WORKER}-0", f"{WORKER}-2"]  # their logs may be read
    world.pass_by(minutes=1)
    world.settle()
    assert world.at == "Train/Starting"
    assert {name for name in workers_pods(world) if name.startswith("helmets-train-1-2")} == {
        "helmets-train-1-2-0",
        "helmets-train-1-2-1",
        "helmets-train-1-2-2",
    }


def test_a_pod_that_says_that_it_failed_fails_the_attempt_whatever_the_others_say() -> None:
    world = running(2)
    world.end(f"{WORKER}-0", trained())
    world.end(f"{WORKER}-1", words("train", status="failed", message="NaN loss"))
    world.settle()
    assert world.at == "Train/Failed"
    assert world.status["lastError"] == f"pod {WORKER}-1: NaN loss"


def test_a_pod_that_is_deleted_while_it_runs_fails_the_attempt_and_the_other_goes() -> None:
    world = running(2)
    world.delete_pod(f"{WORKER}-0")
    world.settle()
    assert world.at == "Train/Failed"
    assert world.status["lastError"] == f"pod {WORKER}-0 was deleted while it ran"
    assert workers_pods(world) == []


def test_pods_that_all_do_well_and_say_nothing_have_no_result() -> None:
    world = running(2)
    for one in (0, 1):
        world.end(f"{WORKER}-{one}")
    assert world.settle().again is not None
    assert world.at == "Train/Running"
    world.pass_by(minutes=3)
    world.settle()
    assert world.at == "Train/Failed"
    assert "neither its last words nor" in world.status["lastError"]


def test_a_report_of_the_node_counts_for_the_pod_that_it_names() -> None:
    world = running(2)
    world.put(merged(world.pod(f"{WORKER}-1"), {"spec": {"nodeName": "edge-1"}}))
    model = {"format": "onnx", "url": "/output/train/1/model.onnx"}
    said = {"kind": "train", "status": "completed", "results": [model]}
    world.report("edge-1", workers={f"lab/{WORKER}-1": said})
    for one in (0, 1):
        world.end(f"{WORKER}-{one}")
    world.settle()
    assert "Train/Completed" in world.steps


def test_one_that_cannot_start_blocks_the_job_and_all_are_made_anew_once_the_template_is_mended() -> None:
    world = with_pods(2)
    world.run(f"{WORKER}-0")
    world.wait_for(f"{WORKER}-1", "ImagePullBackOff", "no such image")
    world.settle()
    assert (world.at, world.status["phase"], world.status.get("failures", 0)) == ("Train/Starting", "Blocked", 0)
    assert f"pod {WORKER}-1 cannot start" in world.status["lastError"]
    world.change(trainSpec={"template": a_template("lab/helmets:2")})
    world.settle()
    images = {world.pod(name)["spec"]["containers"][0]["image"] for name in workers_pods(world)}
    assert (len(workers_pods(world)), images) == (2, {"lab/helmets:2"})


def test_pods_that_were_made_before_the_operator_was_killed_are_completed() -> None:
    world = World.with_job(samples=0, trainSpec={"pods": 3})
    world.settle()
    world.count(10)
    while not any("-train-" in one["metadata"]["name"] for one in world.ask().create):
        world.once()
    for wanted in world.ask().create[:2]:
        world.create(wanted)
    world.settle()
    assert workers_pods(world) == [f"{WORKER}-{one}" for one in range(3)]


@pytest.mark.parametrize("begun", ["partly", "wholly"])
def test_a_worker_that_was_begun_otherwise_is_replaced_before_it_starts(begun: str) -> None:
    world = World.with_job(samples=0, trainSpec={"pods": 3})
    world.settle()
    world.count(10)
    while not any("-train-" in one["metadata"]["name"] for one in world.ask().create):
        world.once()
    for wanted in world.ask().create[: 2 if begun == "partly" else None]:
        world.create(wanted)
    world.handler = IncrementalLearningJobs(platform=replace(PLATFORM, indexed_jobs=True))
    world.settle()
    assert workers_pods(world) == []
    service = world.store.get(SERVICE)
    assert service is not None
    assert "orbitloop.io/pod-index" not in service["spec"]["selector"]
    assert maker(world)["spec"]["completions"] == 3


def test_another_number_of_pods_counts_from_the_next_attempt_on() -> None:
    world = running(2)
    world.change(trainSpec={"pods": 1})
    world.settle()
    assert world.at == "Train/Running"
    world.end(f"{WORKER}-0", code=1)
    world.settle()
    world.pass_by(minutes=1)
    world.settle()
    assert [name for name in workers_pods(world) if "-train-1-2" in name] == ["helmets-train-1-2"]


def test_what_old_rounds_have_left_goes_the_service_too() -> None:
    world = running(2)
    for round in (1, 2, 3, 4):
        for one in (0, 1):
            world.end(f"helmets-train-{round}-1-{one}", trained(round) if one else "")
        world.settle()
        for stage, said in (("eval", evaluated()), ("deploy", words("deploy"))):
            world.end(f"helmets-{stage}-{round}-1", said)
            world.settle()
        world.count(10 + 10 * round)
        world.settle()
    assert world.status["round"] == 5
    rounds = {name.split("-")[2] for name in workers_pods(world)}
    services = {one["metadata"]["name"].split("-")[2] for one in world.store.all("v1", "Service")}
    assert rounds == services == {"4", "5"}


# ---- by way of a Job or a PyTorchJob


@pytest.mark.parametrize(("has", "kind"), BY_OTHERS)
def test_pods_that_a_job_of_kubernetes_or_kubeflow_makes_are_read_as_ours_are(
    has: dict[str, Any], kind: tuple[str, str]
) -> None:
    world = with_pods(2, **has)
    assert "0 of its 2 pods" in world.status["message"]
    first, second = play_controller(world, kind)
    for pod in (first, second):
        assert JOB in world.handler.related(world.pod(pod), world.store)
        assert any(one.kind == "Pod" and one.concerns(world.pod(pod)) for one in WATCHED)
        world.run(pod)
    world.settle()
    assert world.at == "Train/Running"
    world.end(second, trained())
    world.end(first)
    say(world, kind, "Succeeded" if kind == PYTORCH_JOB else "Complete")
    world.settle()
    assert "Train/Completed" in world.steps


@pytest.mark.parametrize(("has", "kind"), BY_OTHERS)
def test_a_pod_that_fails_is_told_and_whoever_made_the_others_ends_them(
    has: dict[str, Any], kind: tuple[str, str]
) -> None:
    world = with_pods(2, **has)
    first, second = play_controller(world, kind)
    for pod in (first, second):
        world.run(pod)
    world.settle()
    world.end(second, "no memory left on the device", code=1)
    assert not world.ask().delete
    world.settle()
    assert world.status["lastError"] == f"pod {second} failed: exit code 1: no memory left on the device"
    assert world.at == "Train/Failed"
    world.pass_by(minutes=1)
    world.settle()
    assert maker(world, kind, "helmets-train-1-2")
    assert first not in world.pods()  # it still ran: what had made it had to go first


def test_a_job_that_has_failed_stays_with_its_pods_for_their_logs() -> None:
    world = with_pods(2, indexed_jobs=True)
    first, second = play_controller(world)
    world.end(second, code=1)
    world.delete_pod(first)
    say(world, BATCH_JOB, "Failed")
    world.settle()
    world.pass_by(minutes=1)
    world.settle()
    assert maker(world, name="helmets-train-1-2")
    assert second in world.pods()


def test_a_job_that_fails_without_a_pod_says_why() -> None:
    world = with_pods(2, indexed_jobs=True)
    say(world, BATCH_JOB, "Failed", "Job was active longer than specified deadline")
    world.settle()
    assert world.at == "Train/Failed"
    assert world.status["lastError"] == (
        f"Job {WORKER} failed: BackoffLimitExceeded: Job was active longer than specified deadline"
    )


def test_a_job_that_is_deleted_while_it_runs_fails_the_attempt() -> None:
    world = with_pods(2, indexed_jobs=True)
    for pod in play_controller(world):
        world.run(pod)
    world.settle()
    world.delete(Key.of(maker(world)))
    world.settle()
    assert world.at == "Train/Failed"
    assert world.status["lastError"] == f"all of worker {WORKER} was deleted while it ran"


# ---- in a queue


def queued(number: int, **has: bool) -> World:
    world = World.with_job(samples=0, trainSpec={"pods": number, "template": a_template(nodeName="gpu-1")})
    world.handler = IncrementalLearningJobs(platform=replace(PLATFORM, indexed_jobs=has.get("indexed_jobs", False)))
    world.put(merged(world.job, {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "missions"}}}))
    world.settle()
    world.count(10)
    world.settle()
    return world


@pytest.mark.parametrize("number", [1, 2])
def test_pods_wait_in_the_queue_that_the_job_names_all_or_none_and_are_not_bound_to_a_node(number: int) -> None:
    world = queued(number)
    for name in workers_pods(world):
        pod = world.pod(name)
        labels, annotations = pod["metadata"]["labels"], pod["metadata"]["annotations"]
        assert labels["kueue.x-k8s.io/queue-name"] == "missions"
        assert labels.get("kueue.x-k8s.io/pod-group-name") == (WORKER if number > 1 else None)
        assert annotations.get("kueue.x-k8s.io/pod-group-total-count") == ("2" if number > 1 else None)
        assert "nodeName" not in pod["spec"]
        required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        [term] = required["nodeSelectorTerms"]
        assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["gpu-1"]}]
        gate = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
        world.set_pod(name, {"phase": "Pending", "conditions": [gate]})
    world.settle()
    assert world.status["message"].endswith("waits in its queue")
    [inference] = [pod for name, pod in world.pods().items() if "-inference-" in name]
    assert "kueue.x-k8s.io/queue-name" not in inference["metadata"]["labels"]


def test_a_job_waits_in_the_queue_for_its_pods() -> None:
    world = queued(2, indexed_jobs=True)
    job = maker(world)
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "missions"
    assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]
    world.put(merged(job, {"spec": {"suspend": True}}))
    world.settle()
    assert world.status["message"] == f"Job {WORKER} waits in its queue"
