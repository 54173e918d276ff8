"""SelectionLogics from kubectl to the satellite and back: a real API server, the Global Manager and a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane import Cluster
from tests.global_manager import GlobalManager, global_manager, until
from tests.integration.test_selection_offers import a_package, unsigned
from tests.processes import a_free_port, gateway_for_operators

from orbitloop.domain.digests import digest_of
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import Hello, LogicOnBoard
from orbitloop.wire.selection_file import pack_selection
from orbitloop_ground.adapters.selections import FolderSelections
from orbitloop_ground.app import SELECTIONS, opened_ledger
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.selections import OnOffer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NAMESPACE = "logics"


@dataclass(kw_only=True)
class Lab:
    cluster: Cluster
    folder: Path
    keys: Path
    admin: int = field(default_factory=a_free_port)

    @contextmanager
    def gateway(self) -> Iterator[None]:
        with gateway_for_operators(self.folder, self.keys, self.admin):
            yield

    def offered(self) -> OnOffer | None:
        """What the gateway offers sat-1."""
        return FolderSelections(self.folder / "ground" / SELECTIONS).commissioned("sat-1")

    def says(self, **said: Any) -> None:
        settings = GroundSettings(folder=self.folder / "ground", keys=self.keys / "ground")
        hello = {"satellite": "sat-1", "clock": LAUNCH, "queued_samples": 0, "queued_bytes": 0}
        with opened_ledger(settings) as ledger:
            ledger.record_hello(Hello.model_validate(hello | said), LAUNCH)

    def fit(self, name: str, application: str, **changes: Any) -> None:
        """Apply a SelectionLogic whose file nobody has signed."""
        path = self.folder / f"{application}.ols"
        path.write_bytes(data := pack_selection(a_package(application), unsigned))
        spec = {"satellites": ["bupt-1"], "url": str(path), "digest": digest_of(data)} | changes
        self.apply("SelectionLogic", name, spec)

    def apply(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        document = {"apiVersion": "orbitloop.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", said=json.dumps(document))

    def delete(self, name: str) -> None:
        self.cluster.kubectl("-n", NAMESPACE, "delete", "selectionlogic", name)

    def status(self, kind: str, name: str) -> dict[str, Any]:
        found = self.cluster.try_kubectl("-n", NAMESPACE, "get", kind, name, "-o", "json")
        read: dict[str, Any] = json.loads(found.stdout) if found.returncode == 0 else {}
        return dict(read.get("status", {}))

    def ready(self, name: str) -> tuple[str, str]:
        """Reason and message."""
        for condition in self.status("sel", name).get("conditions", ()):
            return condition["reason"], condition["message"]
        return "", ""

    def row(self, name: str) -> list[str]:
        """What kubectl shows, but for the age."""
        return self.cluster.kubectl("-n", NAMESPACE, "get", "sel", name, "--no-headers").split()[:-1]


@pytest.fixture
def lab(cluster: Cluster, tmp_path: Path, keys: Path) -> Lab:
    cluster.kubectl("apply", "-f", "crds/")
    cluster.kubectl("create", "namespace", NAMESPACE)
    made = Lab(cluster=cluster, folder=tmp_path, keys=keys)
    (tmp_path / "token").write_text("a token of more than sixteen characters")
    return made


def managed(lab: Lab) -> Any:
    gateway = ("--gateway", f"http://127.0.0.1:{lab.admin}", "--gateway-token", str(lab.folder / "token"))
    return global_manager(lab.cluster, lab.folder, "--lease-name", "logics", "--namespaces", NAMESPACE, *gateway)


def test_a_logic_flies_is_replaced_and_withdrawn_whoever_is_killed(lab: Lab) -> None:
    manager: GlobalManager
    with managed(lab) as manager:
        until(manager.is_ready, "it was ready")
        lab.fit("first", "ships")
        until(lambda: lab.ready("first")[0] == "MissingSatellite", "it was said that there is no such satellite")
        lab.apply("Satellite", "bupt-1", {"nodeName": "sat-1"})
        until(lambda: lab.ready("first")[0] == "Waiting", "it waits for the gateway")
        with lab.gateway():
            flying = _flies(lab)
        manager.kill()
        lab.fit("first", "clouds")
        lab.fit("second", "airplanes")
        manager.start()
        until(lambda: lab.ready("second")[0] == "SatelliteTaken", "the older one keeps the satellite")
        with lab.gateway():
            _is_refused(lab, flying)
            lab.delete("first")
            _takes_its_place(lab)
        manager.kill()
        lab.delete("second")
        manager.start()
        with lab.gateway():
            until(lambda: lab.offered() is None, "it was withdrawn by an operator that never saw it")
        assert "reconcile_broke" not in manager.log.read_text()


def _flies(lab: Lab) -> OnOffer:
    """The first one comes all the way, and is shown at every step."""
    until(lambda: lab.status("sel", "first").get("state") == "Offered", "it was offered")
    first = lab.offered()
    assert first is not None
    lab.says(selection=first.digest)
    until(lambda: lab.status("sel", "first").get("state") == "Fetched", "it was fetched")
    flies = LogicOnBoard(flying=first.digest, flying_version=first.version, application="ships")
    lab.says(selection=first.digest, logic=flies)
    until(lambda: lab.status("sel", "first").get("state") == "Flying", "it flies")
    shown = lab.status("satellite", "bupt-1")["selection"]
    assert shown == {"application": "ships", "version": 1, "digest": first.digest}
    assert lab.row("first") == ["first", '["bupt-1"]', "Flying", "1"]
    return first


def _is_refused(lab: Lab, flying: OnOffer) -> None:
    """What was applied while the operator was dead goes up, and is refused on board."""
    until(lambda: (it := lab.offered()) is not None and it.application == "clouds", "the other was offered")
    new = lab.offered()
    assert new is not None
    assert new.version == 2
    refused = LogicOnBoard(flying=flying.digest, flying_version=1, refused=new.digest, reason="does not load")
    lab.says(selection=new.digest, logic=refused)
    until(lambda: lab.ready("first") == ("Refused", "bupt-1: does not load"), "it was refused")


def _takes_its_place(lab: Lab) -> None:
    """The second one's turn; a file that is not there is named until it is mended."""
    until(lambda: (it := lab.offered()) is not None and it.application == "airplanes", "the next one's turn")
    until(lambda: lab.ready("second")[0] == "Offered", "it is on offer")
    lab.fit("second", "airplanes", url=str(lab.folder / "missing.ols"), digest=digest_of(b"missing"))
    until(lambda: lab.ready("second")[0] == "NotOffered", "the gateway does not take it")
    assert "missing.ols: cannot be read" in lab.ready("second")[1]
    lab.fit("second", "airplanes")
    until(lambda: lab.ready("second")[0] == "Offered", "it was mended")
