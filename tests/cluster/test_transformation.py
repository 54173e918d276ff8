"""An application is fitted by a Job on the ground, flies, is fitted anew, and is forgotten by all but the satellite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hack.kind.programs import GROUND
from tests.cluster.constellation import SATELLITE, Constellation, Document, example

from orbitloop.domain.digests import digest_of

pytestmark = pytest.mark.timeout(1500)

EXAMPLE = Path("examples/3-selection-logic/transformation.yaml")
NAME = "ships"
FITTING_S = 300
UPLINK_S = 400
"""Some megabytes go up at 1 Mbit/s in three quarters of the time, beside whatever the tests before have left."""


def transformation() -> Document:
    """The example's, with hardly any training: what is learnt is the matter of other tests."""
    document = dict(yaml.safe_load(EXAMPLE.read_text()))
    document["spec"]["effortPercent"] = 2
    return document


def test_fitted_on_the_ground_it_flies_and_outlives_who_asked_for_it(constellation: Constellation) -> None:
    constellation.apply([one for one in example() if one["kind"] in ("Satellite", "GroundStation", "LinkPolicy")])
    constellation.apply([transformation()])

    first = fitted(constellation, "")
    version = flies(constellation, first)
    table = constellation.kube("get", "sel", NAME).splitlines()
    assert table[1].split()[:4] == [NAME, f'["{SATELLITE}"]', "Flying", str(version)]

    constellation.kube("patch", "at", NAME, "--type=merge", "-p", json.dumps({"spec": {"seed": 1}}))
    second = fitted(constellation, first["job"])
    assert second["artefact"]["digest"] != first["artefact"]["digest"]
    assert flies(constellation, second) == version + 1
    jobs = [one["metadata"]["name"] for one in constellation.objects("jobs", "default")]
    assert jobs == [second["job"]], "the Job before was taken away"

    flown = constellation.on_board()["selection"]["flying"]
    constellation.kube("delete", "at", NAME)
    constellation.until(lambda: not left(constellation), "Job, pods and SelectionLogic are gone", 120)
    constellation.until(lambda: not offered(constellation), "it is on offer no more", 60)
    since = satellite(constellation)["lastContact"]
    constellation.until(lambda: satellite(constellation)["lastContact"] > since, "another contact", 180)
    assert constellation.on_board()["selection"]["flying"] == flown, "what flies goes on flying"
    assert satellite(constellation)["selection"]["digest"] == flown


def fitted(constellation: Constellation, job_before: str) -> Document:
    """The status once another Job has made something, which lies where the status says."""

    def done() -> bool:
        status = constellation.object("at", NAME).get("status") or {}
        assert status.get("phase") != "Failed", json.dumps(status, indent=1)
        return status.get("phase") == "Completed" and status["job"] != job_before

    constellation.until(done, "a Job has fitted the application", FITTING_S)
    status = dict(constellation.object("at", NAME)["status"])
    [ended] = [
        one for one in constellation.object("job", status["job"])["status"]["conditions"] if one["status"] == "True"
    ]
    assert ended["type"] == "Complete"
    artefact = status["artefact"]
    assert digest_of(constellation.file(GROUND, artefact["url"])) == artefact["digest"]
    assert set(status["density"]) == {"fitted", "bentPipe", "directDeploy", "oracle"}
    print(json.dumps(status))
    return status


def flies(constellation: Constellation, status: Document) -> int:
    """Ground and satellite say that what was made flies; the version that it was signed with."""

    def flying() -> bool:
        logic = constellation.object("sel", NAME)
        told = logic.get("status") or {}
        wanted = (status["artefact"]["digest"], logic["metadata"]["generation"], "Flying")
        return (logic["spec"]["digest"], told.get("observedGeneration"), told.get("state")) == wanted

    constellation.until(flying, f"{status['artefact']['url']} flies", UPLINK_S)
    [there] = constellation.object("sel", NAME)["status"]["satellites"]
    print(json.dumps(there))
    assert there["state"] == "Flying"
    assert constellation.on_board()["selection"]["flying"] == there["digest"]
    said = satellite(constellation)["selection"]
    assert said == {"application": "ships", "version": there["version"], "digest": there["digest"]}
    return int(there["version"])


def satellite(constellation: Constellation) -> Document:
    """What the ground knows of the satellite."""
    return dict(constellation.object("satellite", SATELLITE)["status"])


def left(constellation: Constellation) -> list[str]:
    """What belongs to the transformation."""
    label = f"applicationtransformation.orbitloop.io/name={NAME}"
    found = [one for kind in ("jobs", "pods", "sel") for one in constellation.objects(kind, "default", label)]
    return [one["metadata"]["name"] for one in found]


def offered(constellation: Constellation) -> list[str]:
    """Files that the gateway has for satellites."""
    files = constellation.programs.inside(GROUND, "ls /var/lib/orbitloop-ground/selections").split()
    return [name for name in files if name.endswith(".ols")]
