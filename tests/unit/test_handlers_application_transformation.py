"""ApplicationTransformations: a Job for what goes in, and a SelectionLogic for what comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.handler_world import ORBITLOOP, SEDNA, World, a_node, an_object, condition, message

from orbitloop_operators.handlers.application_transformation import ApplicationTransformations
from orbitloop_operators.handlers.changes import Changes, Document, Key

KIND = "ApplicationTransformation"
DIGEST = f"sha256:{'5' * 64}"
PROFILE = {
    "name": "bench",
    "provenance": "measured",
    "source": "a board",
    "seconds": {"cut": 0.0004},
    "memory": 2**30,
    "watts": 4.5,
}
SPEC = {"application": "ships", "satellite": "sat-1", "dataset": "ships", "outputUrl": "/data/out"}


def ships(generation: int = 1, **spec: Any) -> dict[str, Any]:
    return an_object(ORBITLOOP, KIND, "ships", SPEC | spec, generation=generation)


def satellite(**spec: Any) -> dict[str, Any]:
    return an_object(ORBITLOOP, "Satellite", "sat-1", {"nodeName": "edge-1", "compute": {"target": "one-core"}} | spec)


def dataset(url: str = "/data/ships/annotations.json", node: str = "ground-1") -> dict[str, Any]:
    return an_object(SEDNA, "Dataset", "ships", {"url": url, "format": "json", "nodeName": node})


def a_world(*others: Document, **spec: Any) -> World:
    world = World(ApplicationTransformations(image="lab/transformer:1", tools_image="lab/tools:1"))
    world.put(a_node("ground-1"), satellite(), dataset(), ships(**spec), *others)
    return world


def made(world: World) -> dict[str, Any]:
    """The Job that is asked for."""
    [job] = world.reconcile(ships()).create
    return dict(job)


def env_of(job: Document) -> dict[str, str]:
    [container] = job["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


def begun(world: World, **status: Any) -> dict[str, Any]:
    """The Job that is asked for, as the API server has it."""
    job = made(world)
    job["metadata"] = job["metadata"] | {"uid": f"uid-{job['metadata']['name']}"}
    world.put(job | {"status": status})
    return job


def a_pod(job: Document, phase: str, said: Mapping[str, Any] | str = "", *, name: str = "a", **more: Any) -> Document:
    """A pod of a Job; ``said`` is what its container left."""
    text = said if isinstance(said, str) else json.dumps(said)
    code = {"Succeeded": 0, "Failed": 1}.get(phase)
    end = {} if code is None else {"state": {"terminated": {"exitCode": code, "message": text}}}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "controller": True}
    metadata = {
        "name": f"{job['metadata']['name']}-{name}",
        "namespace": "lab",
        "uid": f"uid-pod-{name}",
        "creationTimestamp": f"2026-03-01T11:5{ord(name[0]) - ord('a')}:00Z",
        "labels": job["spec"]["template"]["metadata"]["labels"],
        "ownerReferences": [owner | {"uid": job["metadata"]["uid"]}],
    }
    status = {"phase": phase, "containerStatuses": [{"name": "transformer"} | end]} | more
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def words(job: Document, **changes: Any) -> dict[str, Any]:
    """What a worker leaves that has done it."""
    folder = env_of(job)["MODEL_URL"]
    metrics = {
        "density": 0.91234,
        "bent_pipe": 0.48,
        "direct_deploy": 0.6,
        "oracle": 0.925,
        "frame_seconds": 0.8004,
        "deadline_seconds": 1.5,
    }
    result = {"format": "ols", "url": f"{folder}/selection.ols", "digest": DIGEST, "metrics": metrics}
    said = {"kind": "train", "status": "completed", "results": [result], "message": "few ships\none context"}
    return said | changes


OVER = {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": "2026-03-01T11:59:50Z"}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "exit code 1"}]}


def completed(world: World, **said: Any) -> Changes:
    job = begun(world, **OVER)
    world.put(a_pod(job, "Succeeded", words(job, **said)))
    return world.reconcile(ships())


def status_of(changes: Changes) -> Document:
    assert changes.status is not None
    return changes.status


# ----------------------------------------------------------------------------------------------------------- the Job


def test_the_job_is_told_all_that_the_spec_says() -> None:
    model = an_object(SEDNA, "Model", "eye", {"url": "/models/eye/weights.safetensors", "format": "safetensors"})
    rules = ["water=ndwi:0.1:1", "here=map:1:2:3:4"]
    spec = {"capacityPermille": 25, "deadlineMilliseconds": 23_900, "contexts": rules, "seed": 7, "effortPercent": 50}
    job = made(a_world(model, model="eye", **spec))
    told = env_of(job)
    folder = told["MODEL_URL"]
    assert folder.startswith("/home/data/data/out/")
    assert told == {
        "APPLICATION": "ships",
        "TARGET": "one-core",
        "MODEL_URL": folder,
        "TRAIN_DATASET_URL": "/home/data/data/ships/annotations.json",
        "BASE_MODEL_URL": "/home/data/models/eye/weights.safetensors",
        "CAPACITY": "0.025",
        "DEADLINE": "23.9",
        "CONTEXTS": ";".join(rules),
        "SEED": "7",
        "EFFORT": "0.5",
        "NAMESPACE": "lab",
        "JOB_NAME": "ships",
        "WORKER_NAME": job["metadata"]["name"],
        "ORBITLOOP_TERMINATION_LOG": "/dev/termination-log",
    }
    [container] = job["spec"]["template"]["spec"]["containers"]
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    assert mounted == {"/home/data/data/ships", "/home/data/models/eye", folder, "/tmp"}


def test_the_pod_is_nobodys_and_its_folder_is_given_to_it() -> None:
    spec = made(a_world())["spec"]["template"]["spec"]
    assert (spec["nodeName"], spec["restartPolicy"]) == ("ground-1", "Never")
    assert "hostNetwork" not in spec
    assert spec["containers"][0]["image"] == "lab/transformer:1"
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    [tools] = spec["initContainers"]
    assert tools["image"] == "lab/tools:1"
    assert tools["command"][3:5] == ["give", "--folder"]
    assert tools["command"][-1] == "65532:65532"


def test_a_measured_computer_is_handed_on_as_it_was_measured() -> None:
    world = a_world()
    world.put(satellite(compute={"profile": PROFILE}))
    assert json.loads(env_of(made(world))["TARGET"]) == PROFILE


def test_without_a_dataset_the_images_own_is_taken_anywhere_on_the_ground() -> None:
    job = made(a_world(dataset=""))
    assert "TRAIN_DATASET_URL" not in env_of(job)
    spec = job["spec"]["template"]["spec"]
    [term] = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "node-role.kubernetes.io/edge", "operator": "DoesNotExist"}]


def test_what_a_satellite_saw_is_worked_on_on_the_ground() -> None:
    world = a_world()
    world.put(dataset(node="edge-1"))
    assert "nodeName" not in made(world)["spec"]["template"]["spec"]


def test_a_template_of_the_users_is_kept() -> None:
    container = {"name": "mine", "image": "lab/mine:2", "env": [{"name": "OMP_NUM_THREADS", "value": "4"}]}
    own = {"containers": [container], "nodeSelector": {"disk": "large"}, "hostNetwork": True, "securityContext": {}}
    template = {"metadata": {"labels": {"team": "ships"}}, "spec": own}
    pod = made(a_world(template=template))["spec"]["template"]
    assert pod["metadata"]["labels"]["team"] == "ships"
    assert pod["spec"]["nodeSelector"] == {"disk": "large"}
    assert pod["spec"]["hostNetwork"] is True
    assert "nodeName" not in pod["spec"]
    [one] = pod["spec"]["containers"]
    assert (one["name"], one["image"]) == ("mine", "lab/mine:2")
    assert {"name": "OMP_NUM_THREADS", "value": "4"} in one["env"]
    assert (pod["spec"]["securityContext"], "initContainers" in pod["spec"]) == ({}, False), "theirs to say"


def test_a_template_may_say_resources_alone() -> None:
    limits = {"limits": {"memory": "4Gi"}}
    [one] = made(a_world(template={"spec": {"containers": [{"resources": limits}]}}))["spec"]["template"]["spec"][
        "containers"
    ]
    assert (one["name"], one["image"], one["resources"]) == ("transformer", "lab/transformer:1", limits)


def test_what_goes_in_names_the_job_and_nothing_else_does() -> None:
    def name(world: World) -> str:
        return str(made(world)["metadata"]["name"])

    before = name(a_world())
    assert before == name(a_world()) == name(a_world(rollout="Manual"))
    moved, slower = a_world(), a_world()
    moved.put(dataset("/data/ships/more.json"))
    slower.put(satellite(compute={"target": "raspberry-pi-4"}))
    others = [name(a_world(seed=1)), name(a_world(application="clouds")), name(moved), name(slower)]
    assert len({before, *others}) == 5


def test_a_long_name_is_shortened_to_one_that_hosts_can_have() -> None:
    long = f"{'x' * 50}-{'y' * 12}"
    world = a_world()
    other = an_object(ORBITLOOP, KIND, long, SPEC)
    world.put(other)
    [job] = world.reconcile(other).create
    assert len(job["metadata"]["name"]) <= 63


# ------------------------------------------------------------------------------------------------- how it goes along


def test_it_is_pending_until_its_pod_runs() -> None:
    world = a_world()
    assert condition(world.reconcile(ships())) == ("Unknown", "Pending")
    job = begun(world)
    changes = world.reconcile(ships())
    assert (changes.create, status_of(changes)["job"]) == ((), job["metadata"]["name"])
    assert message(changes) == f"Job {job['metadata']['name']} has no pod yet"
    world.put(a_pod(job, "Running"))
    changes = world.reconcile(ships())
    assert (condition(changes), status_of(changes)["phase"]) == (("Unknown", "Running"), "Running")


def test_what_was_made_is_told_and_handed_over() -> None:
    world = a_world()
    changes = completed(world)
    status = status_of(changes)
    assert condition(changes) == ("True", "Completed")
    url = status["artefact"]["url"]
    assert url.startswith("/data/out/")
    assert url.endswith("/selection.ols")
    assert status["density"] == {"fitted": "0.9123", "bentPipe": "0.4800", "directDeploy": "0.6000", "oracle": "0.9250"}
    assert (status["frameMilliseconds"], status["deadlineMilliseconds"]) == (800, 1500)
    assert (status["notes"], status["phase"]) == (["few ships", "one context"], "Completed")
    [logic] = changes.replace
    assert (logic["kind"], logic["metadata"]["name"], status["selectionLogic"]) == ("SelectionLogic", "ships", "ships")
    assert logic["spec"] == {"satellites": ["sat-1"], "url": url, "digest": DIGEST}
    [owner] = logic["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == (KIND, True)


def test_what_is_done_stays_whatever_becomes_of_the_job() -> None:
    world = a_world()
    done = completed(world)
    job = world.store.all("batch/v1", "Job")[0]
    world.drop(job)
    world.drop(world.store.all("v1", "Pod")[0])
    changes = world.reconcile(ships())
    assert (changes.create, changes.status) == ((), done.status)
    assert changes.replace == done.replace


def test_left_to_somebody_it_is_only_told() -> None:
    world = a_world(rollout="Manual")
    changes = completed(world)
    assert condition(changes) == ("True", "Completed")
    assert changes.replace == ()
    assert "selectionLogic" not in status_of(changes)


def test_a_selection_logic_of_somebody_else_is_left_alone() -> None:
    spec = {"satellites": ["sat-1"], "url": "/data/mine.ols", "digest": DIGEST}
    changes = completed(a_world(an_object(ORBITLOOP, "SelectionLogic", "ships", spec)))
    assert (condition(changes), changes.replace) == (("False", "NameTaken"), ())
    assert status_of(changes)["artefact"]["digest"] == DIGEST


def test_a_missed_deadline_is_said() -> None:
    world = a_world()
    job = begun(world, **OVER)
    late = words(job)
    late["results"][0]["metrics"]["frame_seconds"] = 2.0
    world.put(a_pod(job, "Succeeded", late))
    assert "misses its deadline, 2000 ms a frame of 1500 ms" in message(world.reconcile(ships()))


def test_a_changed_spec_is_another_job_and_the_old_one_goes() -> None:
    world = a_world()
    old = begun(world)
    world.put(a_pod(old, "Running"))
    world.reconcile(ships())
    world.put(ships(2, seed=1))
    changes = world.reconcile(ships())
    assert changes.delete == (Key.of(old),)
    [new] = changes.create
    assert new["metadata"]["name"] != old["metadata"]["name"]
    assert condition(changes) == ("Unknown", "Pending")


def test_while_it_is_made_anew_what_flies_goes_on_flying() -> None:
    world = a_world()
    completed(world)
    world.put(ships(2, seed=1))
    changes = world.reconcile(ships())
    assert changes.replace == ()
    assert all(key.kind == "Job" for key in changes.delete)
    assert "artefact" not in status_of(changes)


# --------------------------------------------------------------------------------------------------- what goes wrong


def test_why_it_failed_is_in_the_workers_own_words_and_so_is_what_to_do() -> None:
    world = a_world()
    job = begun(world, **FAILED)
    said = {"kind": "train", "status": "failed", "message": "application 'submarines' is unknown; use one of ships"}
    world.put(a_pod(job, "Failed", said))
    changes = world.reconcile(ships())
    assert (condition(changes), status_of(changes)["phase"]) == (("False", "Failed"), "Failed")
    assert message(changes).startswith("application 'submarines' is unknown; use one of ships; correct what is wrong")
    assert f"delete Job {job['metadata']['name']}" in message(changes)
    assert changes.create == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"results": []}, "names no model; report its url"),
        ({"kind": "eval"}, "last words are about eval"),
        ({"results": [{"url": "/etc/passwd", "digest": DIGEST}]}, "which is not in the job's outputDir /data/out"),
        ({"status": "failed", "message": "no frames"}, "no frames"),
    ],
    ids=["nothing made", "another kind of work", "elsewhere", "failed after all"],
)
def test_last_words_of_no_use_are_a_failure(change: dict[str, Any], says: str) -> None:
    changes = completed(a_world(), **change)
    assert condition(changes) == ("False", "Failed")
    assert says in message(changes)


def test_a_digest_that_is_not_said_is_a_failure() -> None:
    world = a_world()
    job = begun(world, **OVER)
    said = words(job)
    del said["results"][0]["digest"]
    world.put(a_pod(job, "Succeeded", said))
    assert "does not say the digest" in message(world.reconcile(ships()))


def test_a_pod_that_is_on_its_way_is_awaited_and_one_that_is_gone_is_not() -> None:
    world = a_world()
    begun(world, **OVER)
    changes = world.reconcile(ships())
    assert condition(changes) == ("Unknown", "Finishing")
    assert changes.again is not None
    world.pass_by(minutes=1)
    changes = world.reconcile(ships())
    assert condition(changes) == ("False", "Failed")
    assert "left no last words" in message(changes)


def test_a_job_that_was_deleted_by_hand_is_made_again_and_that_is_said() -> None:
    world = a_world()
    job = begun(world)
    world.reconcile(ships())
    world.drop(job)
    changes = world.reconcile(ships())
    assert condition(changes) == ("Unknown", "JobDeleted")
    assert [one["metadata"]["name"] for one in changes.create] == [job["metadata"]["name"]]


def test_a_failed_job_that_is_deleted_is_tried_again() -> None:
    world = a_world()
    job = begun(world, **FAILED)
    world.reconcile(ships())
    world.drop(job)
    assert [one["metadata"]["name"] for one in world.reconcile(ships()).create] == [job["metadata"]["name"]]


def test_a_job_that_is_being_deleted_is_waited_for() -> None:
    world = a_world()
    job = begun(world)
    metadata = job["metadata"] | {"deletionTimestamp": "2026-03-01T12:00:00Z"}
    world.put({**job, "metadata": metadata})
    changes = world.reconcile(ships())
    assert (condition(changes), changes.create) == (("Unknown", "JobLeaving"), ())


def test_an_evicted_pod_is_named_while_the_job_tries_again() -> None:
    world = a_world()
    job = begun(world)
    evicted = a_pod(job, "Failed", reason="Evicted", message="the node was low on memory", containerStatuses=[])
    world.put(evicted)
    changes = world.reconcile(ships())
    assert condition(changes) == ("Unknown", "PodLost")
    assert "Evicted: the node was low on memory" in message(changes)
    assert "the Job tries again" in message(changes)
    world.put(a_pod(job, "Running", name="b"))
    assert condition(world.reconcile(ships())) == ("Unknown", "Running")


def test_an_image_that_cannot_be_pulled_is_said_once() -> None:
    world = a_world()
    job = begun(world)

    def waiting(reason: str, text: str) -> Document:
        state = {"waiting": {"reason": reason, "message": text}}
        container = {"name": "transformer", "image": "lab/transformer:1", "state": state}
        return a_pod(job, "Pending", containerStatuses=[container])

    world.put(waiting("ErrImagePull", "no such image"))
    changes = world.reconcile(ships())
    assert (condition(changes), len(changes.notices)) == (("False", "WorkerBlocked"), 1)
    assert "no such image" in message(changes)
    world.put(waiting("ImagePullBackOff", "resting"))
    assert world.reconcile(ships()).notices == ()


def test_what_is_held_back_waits() -> None:
    world = a_world()
    job = begun(world)
    world.put({**job, "spec": job["spec"] | {"suspend": True}})
    assert condition(world.reconcile(ships())) == ("Unknown", "Suspended")


@pytest.mark.parametrize(
    ("gone", "reason", "says"),
    [
        (satellite(), "MissingSatellite", "spec.satellite: namespace lab has no Satellite sat-1"),
        (dataset(), "MissingDataset", "spec.dataset: namespace lab has no Dataset ships"),
    ],
    ids=["Satellite", "Dataset"],
)
def test_what_is_missing_is_named_until_it_is_there(gone: Document, reason: str, says: str) -> None:
    world = a_world()
    world.drop(gone)
    changes = world.reconcile(ships())
    assert (condition(changes), changes.create) == (("False", reason), ())
    assert says in message(changes)
    world.put({**gone, "metadata": {**gone["metadata"], "uid": "another"}})
    assert world.related(gone) == {"ships"}
    assert world.reconcile(ships()).create


def test_a_missing_model_is_named() -> None:
    assert condition(a_world(model="eye").reconcile(ships())) == ("False", "MissingModel")


def test_a_satellite_that_does_not_say_its_computer_is_named() -> None:
    world = a_world()
    unsaid = satellite()
    del unsaid["spec"]["compute"]
    world.put(unsaid)
    changes = world.reconcile(ships())
    assert condition(changes) == ("False", "MissingCompute")
    assert "spec.compute" in message(changes)


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "no application": ({"application": "Ships!"}, dataset(), "Invalid", "package.module:function"),
    "a bucket": ({}, dataset("s3://bucket/ships.json"), "Invalid", "on the ground's storage"),
    "a node that there is not": ({}, dataset(node="ground-7"), "UnknownNode", "no such node"),
}


@pytest.mark.parametrize(("spec", "data", "reason", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_worked_with_is_named(
    spec: dict[str, Any], data: dict[str, Any], reason: str, says: str
) -> None:
    world = a_world(**spec)
    world.put(data)
    changes = world.reconcile(ships())
    assert (condition(changes), changes.create) == (("False", reason), ())
    assert says in message(changes)


def test_what_changes_concerns_those_that_name_it_or_own_it() -> None:
    world = a_world()
    job = begun(world)
    assert world.related(job) == {"ships"}
    assert world.related(a_pod(job, "Running")) == {"ships"}
    assert world.related(satellite()) == world.related(dataset()) == {"ships"}
    assert world.related(an_object(ORBITLOOP, "SelectionLogic", "ships", {})) == {"ships"}
    assert world.related(an_object(ORBITLOOP, "Satellite", "sat-2", {})) == set()
    assert world.related(an_object(SEDNA, "Model", "eye", {})) == set()
