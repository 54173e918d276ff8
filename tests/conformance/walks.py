"""Whole rounds of jobs, walked once and then looked at by many tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.jobs import Job, a_job, a_model, a_template, surroundings
from tests.conformance.world import LABEL, NODE, Document, World
from tests.global_manager import until

SECRET: Document = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "bucket", "annotations": {"s3-endpoint": "s3.conformance.invalid", "s3-usehttps": "1"}},
    "stringData": {"ACCESS_KEY_ID": "conformance-id", "SECRET_ACCESS_KEY": "conformance-key"},
}
HOT, COLD = "warm", "cold"
ROUNDS = (10, 30)
"""Samples when each round begins."""
SELECTED = {"disk": "fast"}
NEW, OLD = {"precision": [0.9, 0.8]}, {"precision": [0.5, 0.6]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Two rounds of a job, when the third one waits.

    Args:
        job: the job at the end.
        rounds: conditions of each round, from Train/Waiting to Deploy/Completed.
        workers: its pods, as they were made, by kind of work.
        files: what the node had after each round; none where nobody can look.
        crowd: the most live pods that it ever had for one stage.
    """

    job: Document
    rounds: tuple[tuple[Document, ...], ...]
    workers: dict[str, tuple[Document, ...]]
    files: tuple[Path, ...]
    crowd: int

    @property
    def name(self) -> str:
        """Of the job."""
        return str(self.job["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Of the job."""
        return str(self.job["metadata"]["namespace"])

    def steps(self, round: int) -> list[str]:
        """What happened in a round, from 1, as ``Train/Waiting``."""
        return [f"{one['stage']}/{one['type']}" for one in self.rounds[round - 1]]

    def condition(self, round: int, step: str) -> Document:
        """The condition of a step in a round, from 1."""
        return self.rounds[round - 1][self.steps(round).index(step)]

    def worker(self, kind: str, round: int = 1) -> Document:
        """The pod that did a kind of work in a round, from 1."""
        return self.workers[kind][round - 1]


def cold_job() -> Document:
    """The new model replaces a file, and the inference worker is started again."""
    return a_job(COLD, outputDir="/output/cold")


def hot_job() -> Document:
    """The inference worker loads the new model itself; with templates that have more in them, and a Secret."""
    labelled = {"metadata": {"labels": {"team": "sea"}, "annotations": {"note": "kept"}}}
    train = a_template("train", restartPolicy="OnFailure")
    train["spec"]["containers"][0] |= {"env": [{"name": "batch_size", "value": "32"}], "args": ["train.py"]}
    infer = a_template("infer", nodeName=NODE, volumes=[{"name": "frames", "hostPath": {"path": "/frames"}}])
    infer["spec"]["containers"][0]["volumeMounts"] = [{"name": "frames", "mountPath": "/frames"}]
    deploy = {"model": {"name": "served-warm", "hotUpdateEnabled": True, "pollPeriodSeconds": 7}}
    return a_job(
        HOT,
        outputDir="/output/warm",
        credentialName="bucket",
        trainSpec={"template": train | labelled},
        evalSpec={"initialEvalModel": {"name": "base"}, "template": a_template("eval", nodeSelector=SELECTED)},
        deploySpec=deploy | {"template": infer | labelled},
    )


def walk_both(world: World, folder: Path) -> dict[str, Walk]:
    """Two rounds of each job; what the node has after each of them is kept in ``folder``."""
    world.has(SECRET, *surroundings(), a_model("served-warm", "/served-warm/model.onnx"))
    world.has(cold_job(), hot_job())
    jobs = [Job(world=world, name=COLD), Job(world=world, name=HOT)]
    for job in jobs:
        job.comes_to("Train/Waiting")
        job.starts("inference")
    files: list[Path] = []
    for samples in ROUNDS:
        world.count("sites", samples)
        for job in jobs:
            _round(job)
        if world.files is not None:
            files.append(world.files.copied(folder / str(samples)))
    return {job.name: _walked(job, tuple(files)) for job in jobs}


def _round(job: Job) -> None:
    job.train()
    job.evaluate(NEW, OLD)
    job.deploy()
    job.comes_to("Train/Waiting")
    until(job.serves, f"job {job.name} had an inference worker that runs")


def _walked(job: Job, files: tuple[Path, ...]) -> Walk:
    begins = [number for number, step in enumerate(job.steps()) if step == "Train/Waiting"]
    rounds = tuple(tuple(job.history[a:b]) for a, b in itertools.pairwise(begins))
    workers: dict[str, tuple[Document, ...]] = {}
    for kind, pod in _by_kind(job):
        workers[kind] = (*workers.get(kind, ()), pod)
    return Walk(job=job.document, rounds=rounds, workers=workers, files=files, crowd=job.crowd)


def _by_kind(job: Job) -> Iterator[tuple[str, Document]]:
    for pod in job.workers.values():
        yield pod["metadata"]["labels"][f"{LABEL}worker-type"], pod
