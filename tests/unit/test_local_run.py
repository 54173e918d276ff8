"""Jobs on one machine: when a run is over, what outlives it, and how samples are counted."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orbitloop.domain.errors import BadInput, NoSpace
from orbitloop.testing.clocks import VirtualClock
from orbitloop_mission.cli.jobs import JobTerminal, print_jobs
from orbitloop_mission.local_node.logs import shorten
from orbitloop_mission.local_run.archive import FolderArchive
from orbitloop_mission.local_run.datasets import DatasetWatch, counted
from orbitloop_mission.local_run.observations import Observations
from orbitloop_mission.local_run.verdicts import Done, Goal, Stuck, Verdict, Waits, verdict
from orbitloop_mission.local_run.wanted import check_wanted, not_carried_out, put_wanted
from orbitloop_mission.manifests.reading import Manifest, objects
from orbitloop_operators.adapters.memory_cluster import MemoryCluster
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.node_reports import NodeReport

CLOCK = VirtualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
ONCE, TWO, FOREVER = Goal(once=True), Goal(rounds=2), Goal()


def job(name: str = "a", /, **status: Any) -> Document:
    metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"}
    return {
        "apiVersion": "sedna.io/v1alpha1",
        "kind": "IncrementalLearningJob",
        "metadata": metadata,
        "status": status,
    }


WORKS = {"round": 1, "state": "Running", "phase": "Training"}
WAITS = {"round": 1, "state": "Waiting", "phase": "Waiting", "message": "1 of 5"}
STUCK = {"round": 1, "state": "Failed", "phase": "Blocked", "lastError": "no Secret"}
RESTS = {"round": 1, "state": "Failed", "phase": "BackingOff", "lastError": "it crashed"}
SECOND: dict[str, Any] = WAITS | {"round": 2}
THIRD: dict[str, Any] = WAITS | {"round": 3}
GAVE_UP = SECOND | {"lastError": "it crashed"}
FLIES = {"round": 1, "stage": "Deploy", "state": "Starting", "message": "on offer", "satellites": [{"name": "s"}]}
STARTS = SECOND | {"inference": [{"state": "Pending"}]}


@pytest.mark.parametrize(
    ("statuses", "goal", "found"),
    [
        ([{}], ONCE, None),
        ([WORKS], ONCE, None),
        ([RESTS], ONCE, None),
        ([WAITS], ONCE, Waits(message="IncrementalLearningJob a: 1 of 5")),
        ([WAITS], TWO, None),
        ([WAITS], FOREVER, None),
        ([STUCK], ONCE, Stuck(message="IncrementalLearningJob a: no Secret")),
        ([STUCK], FOREVER, Stuck(message="IncrementalLearningJob a: no Secret")),
        ([STUCK, WORKS], FOREVER, None),
        ([STUCK, WAITS], FOREVER, None),
        ([STUCK, WAITS], ONCE, Stuck(message="IncrementalLearningJob a: no Secret")),
        ([STUCK, SECOND], ONCE, Stuck(message="IncrementalLearningJob a: no Secret")),
        ([SECOND], ONCE, Done()),
        ([SECOND], TWO, None),
        ([THIRD], TWO, Done()),
        ([SECOND], FOREVER, None),
        ([SECOND, WORKS], ONCE, None),
        ([SECOND, WAITS], ONCE, Waits(message="IncrementalLearningJob b: 1 of 5")),
        ([GAVE_UP], ONCE, Stuck(message="IncrementalLearningJob a: it crashed")),
        ([STARTS], ONCE, None),
        ([FLIES], ONCE, Waits(message="IncrementalLearningJob a: on offer")),
        ([FLIES], FOREVER, None),
        ([FLIES | {"satellites": []}], ONCE, None),
    ],
)
def test_a_run_is_over_when_its_jobs_are(statuses: list[dict[str, Any]], goal: Goal, found: Verdict | None) -> None:
    jobs = [job(name, **status) for name, status in zip("ab", statuses, strict=False)]
    assert verdict(jobs, goal) == found


def service(**condition: str) -> Document:
    return {**job("s", conditions=[{"status": "True", **condition}]), "kind": "JointInferenceService"}


BOTH_RUN = service(type="Running")
FAILS = service(type="Failed", message="no weights")


@pytest.mark.parametrize(
    ("jobs", "goal", "found"),
    [
        ([BOTH_RUN], ONCE, Done()),
        ([BOTH_RUN], TWO, Done()),
        ([BOTH_RUN], FOREVER, None),
        ([BOTH_RUN, job(**WORKS)], ONCE, None),
        ([BOTH_RUN, job(**THIRD)], TWO, Done()),
        ([{**job("s"), "kind": "JointInferenceService"}], ONCE, None),
        ([service(type="Pending", reason="Starting")], ONCE, None),
        ([FAILS], FOREVER, Stuck(message="JointInferenceService s: no weights")),
        ([FAILS, job(**WAITS)], FOREVER, None),
        (
            [service(type="Pending", reason="MissingModel", message="no Model m")],
            FOREVER,
            Stuck(message="JointInferenceService s: no Model m"),
        ),
    ],
)
def test_a_service_has_done_its_part_while_it_runs(jobs: list[Document], goal: Goal, found: Verdict | None) -> None:
    assert verdict(jobs, goal) == found


def test_one_more_round_is_counted_from_where_the_run_began() -> None:
    begun = Goal(once=True, begun={Key.of(job()): 2})
    assert verdict([job(**SECOND)], begun) == Waits(message="IncrementalLearningJob a: 1 of 5")
    assert verdict([job(**THIRD)], begun) == Done()


def secret() -> Document:
    metadata = {"name": "s", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"k": "aGk="}}


def config_map(name: str = "c", **metadata: Any) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default", **metadata}}


def cluster_on(folder: Path) -> MemoryCluster:
    archive = FolderArchive(folder)
    uids = iter(range(1000))
    return MemoryCluster(CLOCK, "tests", new_uid=lambda: f"uid-{next(uids)}", archive=archive, kept=archive.kept())


def test_what_a_cluster_holds_outlives_it(tmp_path: Path) -> None:
    first = cluster_on(tmp_path)
    kept = first.apply(config_map())
    gone = first.apply(config_map("gone"))
    first.remove(Key.of(gone), gone["metadata"]["uid"])
    again = cluster_on(tmp_path)
    assert again.get(Key.of(kept)) == kept
    assert again.get(Key.of(gone)) is None
    new = again.apply(config_map("new"))
    assert int(new["metadata"]["resourceVersion"]) > int(kept["metadata"]["resourceVersion"])


def test_what_lost_its_owner_while_nobody_looked_goes_at_the_next_start(tmp_path: Path) -> None:
    first = cluster_on(tmp_path)
    owner = first.apply(config_map("owner"))
    references = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]
    child = first.apply(config_map("child", ownerReferences=references))
    FolderArchive(tmp_path).drop(Key.of(owner))
    assert cluster_on(tmp_path).get(Key.of(child)) is None


def test_no_file_holds_a_secret(tmp_path: Path) -> None:
    cluster_on(tmp_path).apply(secret())
    assert not list(tmp_path.iterdir())


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    cluster_on(tmp_path).apply(config_map())
    assert [path.stat().st_mode & 0o077 for path in tmp_path.iterdir()] == [0]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"apiVersion": "v1"}', "not json"])
def test_a_file_that_holds_no_object_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BadInput, match=r"x\.json holds no object; delete it, or give another --state"):
        cluster_on(tmp_path)


class FullDisk:
    def keep(self, document: Document) -> None:
        raise NoSpace("the disk is full")

    def drop(self, key: Key) -> None:
        raise NoSpace("the disk is full")


def test_what_cannot_be_kept_is_not_changed(tmp_path: Path) -> None:
    kept = cluster_on(tmp_path).apply(config_map())
    cluster = MemoryCluster(CLOCK, "tests", new_uid=lambda: "uid", archive=FullDisk(), kept=[kept])
    with pytest.raises(NoSpace):
        cluster.apply({**config_map(), "data": {"a": "1"}})
    with pytest.raises(NoSpace):
        cluster.remove(Key.of(kept), kept["metadata"]["uid"])
    assert cluster.get(Key.of(kept)) == kept


def test_a_long_log_is_put_aside_once_and_written_on(tmp_path: Path) -> None:
    log = tmp_path / "default" / "pod" / "c.log"
    log.parent.mkdir(parents=True)
    with log.open("ab") as writer:
        for text in (b"old " * 10, b"middle " * 10, b"new"):
            writer.write(text)
            writer.flush()
            shorten(tmp_path, 30)
    assert log.read_bytes() == b"new"
    assert log.with_name("c.log.1").read_bytes() == b"middle " * 10


def read(text: str) -> list[Manifest]:
    return list(objects(text, "m.yaml", {}, "default"))


DATASET = """
apiVersion: sedna.io/v1alpha1
kind: Dataset
metadata: {name: d}
spec: {url: URL, format: txt, nodeName: edge-1}
---
"""


def test_what_a_manifest_has_no_more_is_gone_and_what_others_have_added_stays(tmp_path: Path) -> None:
    cluster = cluster_on(tmp_path)
    both = read(DATASET.replace("URL", "/a") + "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}")
    put_wanted(cluster, both, "here")
    dataset = cluster.get(Key.of(both[0].document))
    assert dataset is not None
    asyncio.run(cluster.patch_status(dataset, {"numberOfSamples": 5}))
    before = cluster.get(Key.of(both[0].document))
    put_wanted(cluster, both[:1], "here")
    assert cluster.get(Key.of(both[0].document)) == before
    assert cluster.get(Key.of(both[1].document)) is None
    assert [node["metadata"]["name"] for node in cluster.all("v1", "Node")] == ["edge-1", "here"]


def test_a_manifest_without_a_job_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^m\.yaml: no IncrementalLearningJob and no JointInferenceService in it"):
        check_wanted(read(DATASET.replace("URL", "/a")))


def test_what_nothing_carries_out_is_said() -> None:
    service = """
apiVersion: sedna.io/v1alpha1
kind: FederatedLearningJob
metadata: {name: f}
spec:
  aggregationWorker: {model: {name: m}, template: {spec: {containers: [{name: a, image: i}]}}}
  trainingWorkers: [{dataset: {name: d}, template: {spec: {containers: [{name: a, image: i}]}}}]
"""
    assert list(not_carried_out(read(DATASET.replace("URL", "/a") + service))) == [
        "m.yaml:8: FederatedLearningJob f is not carried out: there are IncrementalLearningJob and "
        "JointInferenceService"
    ]


@pytest.mark.parametrize(
    ("text", "written", "whole", "begun"),
    [
        ("", "txt", 0, 0),
        ("a\nb\n", "txt", 2, 2),
        ("a\n\n  \nb", "txt", 1, 2),
        ("x,y\n1,2\n3,4", "csv", 1, 2),
        ("x,y\n", "CSV", 0, 0),
    ],
)
def test_samples_are_lines(tmp_path: Path, text: str, written: str, whole: int, begun: int) -> None:
    index = tmp_path / "index"
    index.write_text(text)
    assert counted(str(index), written, with_last=False) == {"numberOfSamples": whole}
    assert counted(f"file://{index}", written, with_last=True) == {"numberOfSamples": begun}


@pytest.mark.parametrize(
    ("url", "written", "said"),
    [
        ("s3://bucket/index.txt", "txt", "it is not on this machine; write an absolute path"),
        ("/nowhere/index.txt", "txt", "/nowhere/index.txt: No such file or directory; make it, or correct spec.url"),
        ("/tmp", "txt", "/tmp: Is a directory; make it, or correct spec.url"),
        ("/dev/null", "parquet", "the format 'parquet' is unknown; write txt or csv"),
    ],
)
def test_an_index_that_cannot_be_counted_is_said(url: str, written: str, said: str) -> None:
    assert counted(url, written, with_last=True) == {"error": said}


def test_a_node_reports_as_the_index_grows(tmp_path: Path) -> None:
    index, told = tmp_path / "index.txt", list[Document]()
    cluster = cluster_on(tmp_path / "objects")
    put_wanted(cluster, read(DATASET.replace("URL", str(index))), "here")
    watch = DatasetWatch(cluster, Observations(CLOCK, told.append), CLOCK, timedelta(milliseconds=10))

    async def grow() -> None:
        task = asyncio.create_task(watch.run())
        for text, count in (("", None), ("a\n", 1), ("a\nb", 2), ("a\nb\nc\n", 3), ("a\n", 1)):
            if text:
                index.write_text(text)
            while not told or said(told[-1]) != count:
                await asyncio.wait([task], timeout=0.005)
        assert watch.knows_all
        task.cancel()

    def said(document: Document) -> int | None:
        found = NodeReport(node="edge-1", observed=document["observed"]).dataset("default", "d")
        assert found is not None
        assert (found.number_of_samples is None) == bool(found.error)
        return found.number_of_samples

    asyncio.run(grow())
    versions = [int(document["metadata"]["resourceVersion"]) for document in told]
    assert versions == sorted(set(versions))
    assert {document["metadata"]["name"] for document in told} == {"edge-1"}


def conditions(*steps: str) -> list[dict[str, str]]:
    return [{"stage": step.split()[0], "type": step.split()[1], "message": f"[{step}]"} for step in steps]


def test_each_step_of_a_job_is_shown_once() -> None:
    said = io.StringIO()
    with JobTerminal(Console(file=said, width=200)) as terminal:
        terminal.job(job(conditions=conditions("Train Waiting", "Train Ready")))
        terminal.job(job(conditions=conditions("Train Waiting", "Train Ready")))
        terminal.job(job(conditions=conditions("Train Ready", "Train Starting", "Train Running")))
        terminal.say("[a path]")
    lines = [" ".join(line.split()) for line in said.getvalue().splitlines()]
    assert [line for line in lines if line] == [
        "a Train Ready [Train Ready]",
        "a Train Starting [Train Starting]",
        "a Train Running [Train Running]",
        "[a path]",
    ]


def test_an_evaluation_is_shown_with_what_it_compared() -> None:
    data = '{"output":{"models":[{"metrics":{"ap":0.5,"each":[1,0.25]}},{"metrics":{"ap":0.25}}]}}'
    said = io.StringIO()
    with JobTerminal(Console(file=said, width=200)) as terminal:
        terminal.job(job(conditions=[{"stage": "Eval", "type": "Completed", "message": "evaluated", "data": data}]))
    assert "evaluated: ap 0.250 → 0.500, each – → [1.000, 0.250]" in said.getvalue()


def test_a_service_is_shown_when_it_changes() -> None:
    said = io.StringIO()
    with JobTerminal(Console(file=said, width=200)) as terminal:
        for one in (service(type="Pending", message="starts"), *2 * [service(type="Running", message="both run")]):
            terminal.job(one)
    lines = [" ".join(line.split()) for line in said.getvalue().splitlines() if line.strip()]
    assert lines == ["s Pending starts", "s Running both run"]


def test_a_warning_is_shown_the_first_time() -> None:
    about = {"kind": "Dataset", "name": "d"}
    event = {"involvedObject": about, "type": "Warning", "reason": "Lost", "message": "look", "count": 1}
    said = io.StringIO()
    with JobTerminal(Console(file=said, width=200)) as terminal:
        for shown in (event, event | {"count": 2}, event | {"type": "Normal"}):
            terminal.event(shown)
    assert said.getvalue().split() == ["Dataset", "d", "Lost", "look"]


def test_the_table_shows_where_each_job_stands() -> None:
    said = io.StringIO()
    status: dict[str, Any] = {
        "round": 2,
        "stage": "Train",
        "state": "Waiting",
        "samples": {"used": 7},
        "deployed": {"url": "/m.npz"},
    }
    print_jobs(Console(file=said, width=200), [job(**status), job("b")])
    assert [line.split() for line in said.getvalue().splitlines()[-3:] if line.strip()] == [
        ["a", "2", "Train", "Waiting", "7", "/m.npz"],
        ["b", "0"],
    ]
