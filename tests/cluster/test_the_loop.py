"""The whole loop on a real cluster; a link is cut, programs are killed, and each test goes on from the last."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hack.kind import link
from hack.kind.programs import GROUND
from hack.kind.site import NAMESPACE
from numpy.typing import NDArray
from tests.cluster.constellation import SATELLITE, Constellation, Document, example, metering, run_kind

from orbitloop.domain.digests import digest_of
from orbitloop.domain.versions import weights_digest
from orbitloop.wire.model_folder import decode_weights

pytestmark = pytest.mark.timeout(1500)

ROUNDS = 3
WORK_IN_PROGRESS_S = 900
AN_UPDATE_S = 0.4
"""The smallest of these updates have some 50 kB, which are over in half a second."""
A_TRICKLE = 100_000
"""Bits per second up, at which such an update takes some seconds, so that a cut comes in the middle."""
STEPS = "24"
"""Of training, in a round: what is learnt is the matter of other tests."""


def quick_example() -> list[Document]:
    """The example, with rounds that are over soon and a model that is deployed whatever it is worth."""
    documents = example()
    [job] = [document for document in documents if document["kind"] == "IncrementalLearningJob"]
    for stage in ("trainSpec", "evalSpec"):
        for container in job["spec"][stage]["template"]["spec"]["containers"]:
            told = {entry["name"]: entry for entry in container.get("env", [])}
            told["STEPS"] = {"name": "STEPS", "value": STEPS}
            container["env"] = list(told.values())
    job["spec"]["deploySpec"]["trigger"]["condition"]["threshold"] = -1
    return documents


def test_everything_answers(constellation: Constellation) -> None:
    said = constellation.programs.run(
        constellation.programs.helm, "--kube-context", "kind-orbitloop", "test", "orbitloop", "-n", NAMESPACE
    )
    assert "Succeeded" in said


def test_three_rounds_over_the_link(constellation: Constellation) -> None:
    first = constellation.on_board()["flying"]
    constellation.apply(quick_example())
    constellation.until(
        lambda: len(pods_on_board(constellation)) == 2, "Local Controller and inference worker run", 180
    )
    before = pods_on_board(constellation)

    flown = [first]

    def three_flew() -> bool:
        flying = constellation.on_board()["flying"]
        if flying != flown[-1]:
            flown.append(flying)
        return len(flown) > ROUNDS

    with metering(constellation) as meter:
        constellation.until(three_flew, f"{ROUNDS} updates flew", WORK_IN_PROGRESS_S)

    assert meter.fastest_down(2) < 1.05 * link.DOWNLINK
    assert meter.fastest_up(2) < 1.05 * link.UPLINK
    assert meter.fastest_up(AN_UPDATE_S) > 0.7 * link.UPLINK, "an update filled the uplink"
    assert pods_on_board(constellation) == before, "what runs on board is what ran before, and never began again"
    assert_all_say_what_flies(constellation)
    said = constellation.on_board()
    print(f"down {meter.fastest_down(2) / 1e6:.1f} Mbit/s at most, up {meter.fastest_up(2) / 1e6:.2f} Mbit/s at most")
    print(json.dumps(said))


def pods_on_board(constellation: Constellation) -> dict[str, tuple[str, int]]:
    """Of ours and of the job: their identity, and how often their containers began again."""
    pods = [*constellation.objects("pods"), *constellation.objects("pods", "default")]
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(one["restartCount"] for one in pod["status"]["containerStatuses"]),
        )
        for pod in pods
        if pod["spec"].get("nodeName") == SATELLITE and pod["status"]["phase"] == "Running"
    }


def assert_all_say_what_flies(constellation: Constellation) -> None:
    """The Global Manager, by the file that was trained; the satellite, by the weights that it made of what it had."""

    def agree() -> bool:
        job = constellation.job()
        deployed, rollouts = job.get("deployed") or {}, job.get("satellites") or [{}]
        told = {
            job.get("flying"),
            deployed.get("digest"),
            rollouts[0].get("flying"),
            constellation.object("satellite", SATELLITE)["status"].get("flying"),
        }
        if len(told) > 1:
            return False
        trained = constellation.file(GROUND, deployed["url"])
        return digest_of(trained) in told and flies(constellation, decode_weights(trained, "trained"))

    constellation.until(agree, "all say that the same model flies", 300)


def flies(constellation: Constellation, trained: dict[str, NDArray[np.float32]]) -> bool:
    """Whether what the satellite flies is what it says, and the trained model but for the steps of an update."""
    folder = "/var/lib/orbitloop/slots"
    active = json.loads(constellation.file(SATELLITE, f"{folder}/state.json"))["active"]
    flying = decode_weights(constellation.file(SATELLITE, f"{folder}/{active}/weights.safetensors"), "on board")
    if weights_digest(flying) != constellation.on_board()["flying"]:
        return False  # it is just changing
    first = decode_weights(constellation.file(GROUND, "/data/model/weights.safetensors"), "the first")

    def apart(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> float:
        return sum(float(np.square(one[name] - other[name]).sum()) for name in one)

    return apart(flying, trained) < 0.05 * apart(first, trained)


def uplink(constellation: Constellation, rate: int) -> None:
    """Set the rate up to the first satellite, in bits per second."""
    change = f"tc class change dev eth0 parent 1: classid 1:1 htb rate {rate}bit ceil {rate}bit burst 3200"
    constellation.programs.inside(GROUND, change)


def test_cut_killed_and_restarted_it_ends_as_it_would_have(constellation: Constellation) -> None:
    flown = constellation.on_board()["flying"]
    folder = constellation.folder.path
    uplink(constellation, A_TRICKLE)

    with metering(constellation) as meter:

        def in_mid_transfer() -> bool:
            recent = [sample for sample in meter.samples if sample[0] > meter.samples[-1][0] - 1.5]
            return bool(recent) and (recent[-1][2] - recent[0][2]) > 12_000

        deadline = time.monotonic() + WORK_IN_PROGRESS_S
        while not in_mid_transfer():
            assert time.monotonic() < deadline, constellation.telling()
            time.sleep(0.1)
        run_kind(folder, "cut", SATELLITE)
    constellation.kube("-n", NAMESPACE, "delete", "pod", "orbitloop-gateway-0", "--force", "--grace-period=0")
    constellation.kube(
        "-n",
        NAMESPACE,
        "delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=orbitloop-operators",
        "--force",
        "--grace-period=0",
    )
    constellation.programs.run(constellation.programs.docker, "restart", "-t", "2", SATELLITE)
    time.sleep(120)
    assert constellation.on_board()["flying"] == flown, "nothing came up through a link that is cut"
    uplink(constellation, link.UPLINK)
    run_kind(folder, "restore", SATELLITE)

    constellation.until(lambda: constellation.on_board()["flying"] != flown, "the update flew", WORK_IN_PROGRESS_S)
    assert_all_say_what_flies(constellation)
