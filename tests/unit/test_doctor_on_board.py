"""What a doctor on board says of what was seen: one fact goes wrong at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orbitloop.domain.contacts import ContactWindow
from orbitloop.domain.findings import Finding, Grade, is_whole
from orbitloop.domain.units import Bytes
from orbitloop.testing.builders import a_digest
from orbitloop.wire.messages import Trust
from orbitloop_edge.adapters.facts_of_kubeedge import scalars
from orbitloop_edge.usecases import checks_of_kubeedge, checks_on_board
from orbitloop_edge.usecases.checks_of_kubeedge import DRIVER, META_SERVER, MQTT_MODE, NODE_NAME, EdgeNode
from orbitloop_edge.usecases.checks_on_board import (
    KEY_FILES,
    Call,
    Certificate,
    Folder,
    KeyFile,
    OnBoard,
    Port,
    Step,
)
from orbitloop_edge.usecases.passes import Itinerary

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
USER = 65532


def keys(**modes: int | None) -> tuple[KeyFile, ...]:
    return tuple(
        KeyFile(name=name, mode=modes.get(name.replace(".", "_"), 0o600), owner=USER) for name in KEY_FILES
    )  # fmt: skip


def passes(*begins: timedelta) -> Itinerary:
    windows = (ContactWindow(aos=NOON + one, los=NOON + one + HOUR / 6, station="tongchuan") for one in begins)
    return Itinerary(windows=tuple(windows), stations=("tongchuan",))


CERTIFICATE = Certificate(satellite="sat-1", begins=NOON - HOUR, ends=NOON + 500 * 24 * HOUR)
FOLDER = Folder(path="/var/lib/orbitloop", exists=True, owner=USER, free=2**40)
CALL = Call(station="tongchuan", address="192.0.2.1:30400", ground_time=NOON, at=NOON)
HEALTHY = OnBoard(
    now=NOON,
    user=USER,
    config="satellite.toml",
    satellite="sat-1",
    keys_folder="/keys",
    keys=keys(),
    certificate=CERTIFICATE,
    folder=FOLDER,
    spool_budget=Bytes(512 * 2**20),
    reserve=Bytes(24 * 2**20),
    model="sha256:" + "a" * 64,
    frames=FOLDER,
    planned=True,
    itinerary=passes(HOUR),
    calls=(CALL,),
    port=(9100, Port.FREE),
)


def failed(step: Step, problem: str = "nobody answers") -> tuple[Call, ...]:
    return (Call(station="tongchuan", address="192.0.2.1:30400", failed=step, problem=problem),)


def of(findings: tuple[Finding, ...], about: str) -> Finding:
    return next(finding for finding in findings if finding.about == about)


def test_of_a_healthy_satellite_nothing_is_said_but_that_it_is_well() -> None:
    findings = checks_on_board.examined(HEALTHY)
    assert {finding.grade for finding in findings} == {Grade.OK}
    assert [finding.about for finding in findings] == [
        "configuration",
        "keys",
        "certificate",
        "clock",
        "folder",
        "disk",
        "model",
        "frames",
        "contact plan",
        "station tongchuan",
        "Local Controller",
    ]


@pytest.mark.parametrize(
    ("change", "about", "grade", "says"),
    [
        pytest.param({"keys": keys(link_key=None)}, "keys", Grade.MISSING, "link.key", id="a key is not there"),
        pytest.param({"keys": keys(link_key=0o644)}, "keys", Grade.MISSING, "others", id="a key is everybody's"),
        pytest.param(
            {"keys": (*keys()[1:], KeyFile(name="satellite.key", mode=0o600, owner=0, readable=False))},
            "keys",
            Grade.MISSING,
            "user 65532 may not read satellite.key, of user 0",
            id="keys of another user",
        ),
        pytest.param(
            {"certificate": replace(CERTIFICATE, satellite="sat-2")}, "certificate", Grade.MISSING, "sat-2's", id="name"
        ),
        pytest.param(
            {"certificate": replace(CERTIFICATE, ends=NOON)}, "certificate", Grade.MISSING, "expired", id="expired"
        ),
        pytest.param(
            {"certificate": replace(CERTIFICATE, ends=NOON + 48 * HOUR)},
            "certificate",
            Grade.WARNING,
            "expires on 2026-03-03",
            id="about to expire",
        ),
        pytest.param(
            {"certificate": replace(CERTIFICATE, begins=NOON + HOUR)},
            "certificate",
            Grade.MISSING,
            "on board",
            id="early",
        ),
        pytest.param(
            {"certificate": replace(CERTIFICATE, vouched=False)}, "certificate", Grade.MISSING, "vouch", id="stranger"
        ),
        pytest.param(
            {"certificate": Certificate(problem="no PEM")}, "certificate", Grade.MISSING, "no PEM", id="damaged"
        ),
        pytest.param(
            {"folder": replace(FOLDER, writable=False, owner=0)}, "folder", Grade.MISSING, "user 0's", id="not writable"
        ),
        pytest.param({"folder": replace(FOLDER, owner=1000)}, "folder", Grade.WARNING, "user 1000's", id="two owners"),
        pytest.param({"folder": replace(FOLDER, free=535 * 2**20)}, "disk", Grade.WARNING, "536 MiB", id="too full"),
        pytest.param(
            {"folder": replace(FOLDER, free=100, spooled=512 * 2**20)}, "disk", Grade.WARNING, "24 MiB", id="no reserve"
        ),
        pytest.param(
            {"trust": Trust(reason="damaged")}, "trust", Grade.MISSING, "no model looks at frames", id="halted"
        ),
        pytest.param(
            {"trust": Trust(serving=a_digest(), reason="the last good model stands in for it")},
            "trust",
            Grade.WARNING,
            "stands in",
            id="damaged",
        ),
        pytest.param({"model_problem": "no model is installed"}, "model", Grade.MISSING, "installed", id="no model"),
        pytest.param(
            {"frames": replace(FOLDER, exists=False, writable=False)},
            "frames",
            Grade.MISSING,
            "cannot make",
            id="frames",
        ),
        pytest.param({"itinerary": passes(-HOUR)}, "contact plan", Grade.WARNING, "no pass", id="an old plan"),
        pytest.param(
            {"itinerary": None, "plan_problem": "no column aos"}, "contact plan", Grade.MISSING, "aos", id="a bad plan"
        ),
        pytest.param(
            {"calls": (replace(CALL, at=NOON + HOUR),)}, "clock", Grade.WARNING, "3600 s ahead of", id="clock ahead"
        ),
        pytest.param(
            {"calls": (replace(CALL, at=NOON - HOUR),)}, "clock", Grade.WARNING, "3600 s behind", id="clock behind"
        ),
        pytest.param(
            {"calls": (), "folder": replace(FOLDER, last_written=NOON + HOUR)},
            "clock",
            Grade.WARNING,
            "13:00:00",
            id="clock went back",
        ),
        pytest.param(
            {"calls": failed(Step.CONNECTS), "itinerary": passes(timedelta(0))},
            "station tongchuan",
            Grade.MISSING,
            "in contact by the plan",
            id="silent in a pass",
        ),
        pytest.param(
            {"calls": failed(Step.RESOLVES), "itinerary": None, "planned": False},
            "station tongchuan",
            Grade.WARNING,
            "without a plan",
            id="silent, and no plan",
        ),
        pytest.param(
            {"calls": failed(Step.TRUSTED, "not the ground")},
            "station tongchuan",
            Grade.MISSING,
            "not the ground",
            id="a stranger answers, even out of contact",
        ),
        pytest.param({"port": (9100, Port.TAKEN)}, "Local Controller", Grade.MISSING, "taken", id="port taken"),
    ],
)
def test_what_is_wrong_on_board_is_named(change: dict[str, Any], about: str, grade: Grade, says: str) -> None:
    findings = checks_on_board.examined(replace(HEALTHY, **change))
    finding = of(findings, about)
    assert (finding.grade, says in finding.says) == (grade, True), finding
    assert [other.about for other in findings if other.grade is not Grade.OK] == [about]


@pytest.mark.parametrize("step", [Step.RESOLVES, Step.CONNECTS])
def test_who_is_silent_out_of_contact_is_no_fault(step: Step) -> None:
    finding = of(checks_on_board.examined(replace(HEALTHY, calls=failed(step))), "station tongchuan")
    assert finding.grade is Grade.OK
    assert "not in contact" in finding.says


def test_of_a_configuration_that_does_not_read_nothing_else_is_said() -> None:
    (finding,) = checks_on_board.examined(replace(HEALTHY, config_problem="satellite.toml: no TOML"))
    assert (finding.about, finding.grade) == ("configuration", Grade.MISSING)


EDGECORE = """\
apiVersion: edgecore.config.kubeedge.io/v1alpha2
database:
  dataSource: /var/lib/kubeedge/edgecore.db   # the node's own
kind: EdgeCore
modules:
  edgeHub:
    httpServer: "https://192.0.2.9:10002"
  edged:
    hostnameOverride: sat-1
    tailoredKubeletConfig:
      cgroupDriver: systemd
      clusterDNS:
      - 169.254.96.16
  eventBus:
    mqttMode: 2
    mqttServerExternal: tcp://127.0.0.1:1883
  metaManager:
    metaServer:
      enable: false
"""
WELL_JOINED = EdgeNode(
    edgecore="/etc/kubeedge/config/edgecore.yaml",
    settings=scalars(EDGECORE),
    cni_folder="/etc/cni/net.d",
    cni=("10-loopback.conf",),
    runtime_driver="systemd",
    running=frozenset({"edgecore", "containerd"}),
    images=frozenset({"ghcr.io/orbitloop/orbitloop-edge:0.1.0"}),
    wanted_image="orbitloop-edge:0.1.0",
    open_ports=frozenset({1883}),
    satellite="sat-1",
)


def test_edgecores_settings_are_found_by_their_path() -> None:
    read = scalars(EDGECORE)
    assert (read[DRIVER], read[META_SERVER], read[NODE_NAME], read[MQTT_MODE]) == ("systemd", "false", "sat-1", "2")
    assert read["database.dataSource"] == "/var/lib/kubeedge/edgecore.db"
    assert read["modules.edgeHub.httpServer"] == "https://192.0.2.9:10002"


def test_a_node_that_joined_well_is_well() -> None:
    findings = checks_of_kubeedge.examined(WELL_JOINED)
    assert {finding.grade for finding in findings} == {Grade.OK}
    assert len(findings) == len(checks_of_kubeedge.CHECKS)


def settings(**changes: str) -> dict[str, str]:
    names = {"driver": DRIVER, "meta_server": META_SERVER, "name": NODE_NAME, "mode": MQTT_MODE}
    return dict(WELL_JOINED.settings) | {names[name]: value for name, value in changes.items()}


@pytest.mark.parametrize(
    ("change", "about", "grade", "says"),
    [
        pytest.param({"running": frozenset()}, "edgecore", Grade.MISSING, "does not run", id="edgecore does not run"),
        pytest.param(
            {"problem": "cannot be read", "settings": {}}, "edgecore", Grade.MISSING, "cannot be read", id="no file"
        ),
        pytest.param(
            {"running": frozenset({"edgecore", "kubelet"})}, "kubelet", Grade.MISSING, "beside edgecore", id="kubelet"
        ),
        pytest.param({"cni": ()}, "CNI", Grade.MISSING, "no configuration", id="no CNI"),
        pytest.param({"cni": None}, "CNI", Grade.WARNING, "may not be looked into", id="CNI out of sight"),
        pytest.param({"runtime_driver": "cgroupfs"}, "cgroup driver", Grade.MISSING, "no pod starts", id="two drivers"),
        pytest.param({"runtime_driver": None}, "cgroup driver", Grade.WARNING, "containerd's", id="an unknown driver"),
        pytest.param(
            {"settings": settings(meta_server="true")}, "metaServer", Grade.WARNING, "Secrets", id="metaServer is on"
        ),
        pytest.param({"settings": settings(name="edge-7")}, "name", Grade.WARNING, "edge-7", id="another name"),
        pytest.param({"open_ports": frozenset()}, "MQTT", Grade.WARNING, "1883", id="no broker"),
        pytest.param({"settings": settings(mode="0")}, "MQTT", Grade.WARNING, "1884", id="no broker in edgecore"),
        pytest.param({"images": frozenset({"pause:3.2"})}, "images", Grade.MISSING, "orbitloop-edge", id="not loaded"),
        pytest.param({"images": None}, "images", Grade.WARNING, "asked", id="images not known"),
    ],
)
def test_what_is_wrong_with_kubeedge_is_named(change: dict[str, Any], about: str, grade: Grade, says: str) -> None:
    findings = checks_of_kubeedge.examined(replace(WELL_JOINED, **change))
    finding = of(findings, about)
    assert (finding.grade, says in finding.says) == (grade, True), finding
    assert is_whole(other for other in findings if other.about != about)
