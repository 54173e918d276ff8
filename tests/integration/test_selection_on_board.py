"""A selection logic as the ground makes it, flown by the inference worker: what is sent is what was expected."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.small_application import EFFORT, GEOMETRY, TARGET, small_application, squares

from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.detection import Detections
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NoSpace, Refused
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.samples import Reason, Sample
from orbitloop.domain.selection import Run
from orbitloop.domain.units import Bytes
from orbitloop.testing.builders import a_spec
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.testing.spool import MemorySpool
from orbitloop.wire.bundle import unpack
from orbitloop.wire.model_folder import Model
from orbitloop.wire.selection_file import SelectionPackage, pack_selection
from orbitloop_edge.adapters.imagery import resampled
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
from orbitloop_edge.adapters.onnx_networks import OnnxNetwork
from orbitloop_edge.adapters.results import FrameResults
from orbitloop_edge.adapters.selection_files import SelectionFile
from orbitloop_edge.app import LocalController
from orbitloop_edge.settings import EdgeSettings
from orbitloop_edge.usecases.tally import SessionSummary
from orbitloop_edge.worker import Worker
from orbitloop_ground.adapters.transformation.choosing import half_of_the_value, search
from orbitloop_ground.adapters.transformation.fitting import Fitted, Fitting
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of
from orbitloop_ground.app import Dependencies, compose, gateway_thread, offer_selection, open_authority
from orbitloop_ground.settings import GroundSettings
from orbitloop_mission.transformation.making import package_of

pytestmark = pytest.mark.slow
FRAMES = squares(4, seed=9)


@pytest.fixture(scope="module")
def fitting() -> Fitting:
    return Fitting(small_application(reference=False), EFFORT, OnnxNetwork, resampled)


@pytest.fixture(scope="module")
def fitted(fitting: Fitting) -> Fitted:
    return fitting.run()


@pytest.fixture(scope="module")
def package(fitted: Fitted) -> SelectionPackage:
    only = search(fitted, TARGET, half_of_the_value(fitted), allowed=lambda action: isinstance(action, Run))
    made = package_of(fitted, only, 1)
    return replace(made, parts={**made.parts, "tiny": fitted.graphs["tiny"]})


KeyOf = Callable[[Path], tuple[Path, Path, SigningKey]]


@pytest.fixture
def key_of() -> KeyOf:
    """From a folder to the keys of a satellite, those of the ground, and its signing key."""

    def made(folder: Path) -> tuple[Path, Path, SigningKey]:
        authority = open_authority(folder / "authority", timedelta(days=9))
        ground, keys = authority.equip_ground(), authority.equip("sat-1")
        return keys, ground, SigningKey(ground / "signing.key")

    return made


def a_detector() -> Model:
    """One that knows nothing."""
    torch.manual_seed(3)
    spec = a_spec(tile=320)
    return Model(spec=spec, weights=weights_of(YoloTiny(spec, normalised=False)), graph=export_graph(spec))


class Ship:
    """A satellite with keys, a detector that knows nothing, and a spool in memory."""

    def __init__(self, folder: Path, package: SelectionPackage, *, stranger: bool = False, alone: bool = False) -> None:
        authority = open_authority(folder / "authority", timedelta(days=9))
        ground, keys = authority.equip_ground(), authority.equip("sat-1")
        key = SigningKey(folder / "other.key" if stranger else ground / "signing.key")
        (folder / "selection.ols").write_bytes(pack_selection(package, key.sign))
        clock = VirtualClock(LAUNCH)
        self.folder, self.spool = folder, MemorySpool("sat-1", clock, budget=Bytes(2**30))
        settings = EdgeSettings(
            satellite="sat-1",
            folder=folder / "satellite",
            keys=keys,
            policy=LinkPolicy(codec="png", downlink_share=1e-9),
            selection=folder / "selection.ols",
            selection_alone=alone,
            threads=1,
        )
        self.worker = Worker(settings, clock, self.spool, a_detector())

    def fly(self) -> None:
        """Over four frames, and one of another camera."""
        with self.worker as worker:
            for frame in FRAMES:
                path = self.folder / f"{frame.name}.png"
                Image.fromarray(frame.pixels).save(path)
                worker.observe(path)
            Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(self.folder / "other.png")
            worker.observe(self.folder / "other.png")


def test_the_satellite_sends_what_the_ground_has_measured(
    tmp_path: Path, fitting: Fitting, fitted: Fitted, package: SelectionPackage
) -> None:
    ship = Ship(tmp_path, package)
    ship.fly()
    samples = value_samples(ship)
    evidence, logic = fitting.evidence(fitted, FRAMES), package.logic
    cells = GEOMETRY.cells**2 * len(FRAMES)
    expected = 0.0
    for index, name in [*enumerate(fitted.contexts), (-1, "unknown")]:
        grades = logic.grades[name]
        products = evidence.products(logic.tiles, index, logic.action(name), [grade.threshold for grade in grades])
        expected += sum(grade.worth * product.size for grade, product in zip(grades, products, strict=True)) * cells
    assert expected > 0
    assert sum(sample.value for sample in samples) == pytest.approx(expected, rel=1e-6)
    assert {sample.frame for sample in samples} <= {f"{frame.name}.png" for frame in FRAMES}


def test_frames_may_be_left_to_the_logic_alone(
    tmp_path: Path, package: SelectionPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, ...]] = []
    see = OnnxDetector.detect

    def counted(detector: OnnxDetector, pixels: NDArray[np.uint8]) -> Detections:
        looked.append(pixels.shape)
        return see(detector, pixels)

    monkeypatch.setattr(OnnxDetector, "detect", counted)
    ship = Ship(tmp_path, package, alone=True)
    ship.fly()
    assert looked == [(64, 64, 3), (32, 32, 3)], "only the frame of another camera, and once more from afar"
    assert value_samples(ship)
    telemetry = FrameResults(tmp_path / "satellite" / "results.db", "sat-1").telemetry()
    assert (telemetry.frames_captured, telemetry.frames_processed) == (5, 5)


def test_a_logic_of_another_ground_is_not_flown(tmp_path: Path, package: SelectionPackage) -> None:
    ship = Ship(tmp_path, package, stranger=True)
    ship.fly()
    assert not value_samples(ship)


def test_a_frame_that_was_put_off_is_selected_once(
    tmp_path: Path, package: SelectionPackage, caplog: pytest.LogCaptureFixture
) -> None:
    ship = Ship(tmp_path, package)
    path = tmp_path / "frame.png"
    Image.fromarray(FRAMES[0].pixels).save(path)
    caplog.set_level(logging.INFO)
    with ship.worker as worker:
        for _ in range(3):
            worker.observe(path)
        assert worker._networks is not None
        assert worker._networks.warm
        worker.rest()
        assert not worker._networks.warm
    assert [record.getMessage() for record in caplog.records].count("frame_selected") == 1


def test_a_logic_flies_as_soon_as_it_is_there_but_not_in_the_midst_of_a_frame(
    tmp_path: Path, package: SelectionPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship = Ship(tmp_path, package)
    path = tmp_path / "frame.png"
    Image.fromarray(FRAMES[0].pixels).save(path)
    key = SigningKey(tmp_path / "authority" / "ground" / "signing.key")

    def put(version: int) -> None:
        (tmp_path / "selection.ols").unlink(missing_ok=True)
        (tmp_path / "selection.ols").write_bytes(pack_selection(replace(package, version=version), key.sign))

    with ship.worker as worker:
        worker.look()
        assert worker.status().logic == worker._selections.said
        assert worker._selections.said.flying_version == 1

        def full(*_: object) -> bool:
            raise NoSpace("the spool is full")

        monkeypatch.setattr(ship.spool, "add", full)
        with pytest.raises(NoSpace):
            worker.observe(path)
        monkeypatch.undo()
        put(2)
        worker.look()
        assert worker._selections.said.flying_version == 1
        worker.observe(path)
        worker.look()
        assert worker._selections.said.flying_version == 2
    assert {sample.model for sample in value_samples(ship)} == {digest_of(pack_selection(package, key.sign))}


def value_samples(ship: Ship) -> list[Sample]:
    """What waits because a logic has sent it."""
    sealed = ship.spool.seal(Bytes(2**30))
    return [] if sealed is None else [each for each in unpack(sealed[1]).samples if each.reason is Reason.VALUE]


def test_a_newer_logic_takes_over_and_the_last_good_one_stays(tmp_path: Path, package: SelectionPackage) -> None:
    key = SigningKey(tmp_path / "key")
    verify = VerifyingKey(key.public).verify
    path, kept = tmp_path / "new.ols", tmp_path / "kept" / "kept.ols"
    file = SelectionFile(path, kept, verify)
    assert file.kept() is None
    assert file.new() is None

    def put(given: bytes) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(given)

    put(pack_selection(package, key.sign))
    first = file.new()
    assert first is not None
    assert file.new() is None

    put(pack_selection(replace(package, version=2, application="other"), key.sign))
    second = file.new()
    assert second is not None
    assert second.package.application == "other"

    for bad, said in (
        (pack_selection(replace(package, version=2, target="another"), key.sign), "no newer than 2, which flies"),
        (pack_selection(replace(package, version=3), SigningKey(tmp_path / "stranger").sign), "signature"),
        (b"nonsense", "no selection logic"),
        (pack_selection(replace(package, version=3, parts={**package.parts, "tiny": b"x"}), key.sign), "does not load"),
        (
            pack_selection(
                replace(package, version=3, parts={**package.parts, "engine": package.parts["tiny"]}), key.sign
            ),
            "does not take tiles",
        ),
        (
            pack_selection(
                replace(package, version=3, parts={**package.parts, "tiny": package.parts["engine"]}), key.sign
            ),
            "does not take tiles",
        ),
    ):
        put(bad)
        with pytest.raises(Refused, match=said):
            file.new()
        assert file.new() is None

    after_a_restart = SelectionFile(path, kept, verify).kept()
    assert after_a_restart is not None
    assert after_a_restart.digest == second.digest


def test_a_logic_goes_up_in_a_contact_and_flies(tmp_path: Path, package: SelectionPackage, key_of: KeyOf) -> None:
    keys, ground_keys, key = key_of(tmp_path)
    clock = VirtualClock(LAUNCH)
    parts = compose(GroundSettings(folder=tmp_path / "ground", keys=ground_keys), clock)
    settings = EdgeSettings(
        satellite="sat-1", folder=tmp_path / "satellite", keys=keys, policy=LinkPolicy(codec="png"), threads=1
    )
    first, second = tmp_path / "first.ols", tmp_path / "second.ols"
    first.write_bytes(pack_selection(package, key.sign))
    second.write_bytes(pack_selection(replace(package, version=2), key.sign))
    frame = tmp_path / "frame.png"
    Image.fromarray(FRAMES[0].pixels).save(frame)
    with gateway_thread(parts) as server, LocalController(settings, clock, a_detector()) as satellite:

        def contact() -> SessionSummary:
            return satellite.contact(f"https://127.0.0.1:{server.port}", budget=Bytes(2**24))

        assert contact().bytes_up == 0
        assert offer_selection(parts.settings, "sat-1", first) == digest_of(first.read_bytes())
        up = contact()
        assert (up.bytes_up, up.complete) == (first.stat().st_size, True)
        assert contact().bytes_up == 0
        assert told(parts) == (digest_of(first.read_bytes()), None, None, None), "it is on board, and no frame came"
        satellite.observe(frame)
        contact()
        assert told(parts) == (digest_of(first.read_bytes()), digest_of(first.read_bytes()), 1, None)
        wanted = [each for each in parts.ledger.received("sat-1") if each.sample.reason is Reason.VALUE]
        assert wanted
        assert {each.sample.model for each in wanted} == {digest_of(first.read_bytes())}
        assert all(each.sample.reason is not Reason.VALUE for each in parts.ledger.waiting())

        offer_selection(parts.settings, "sat-1", second)
        assert contact().bytes_up == second.stat().st_size
        with pytest.raises(BadInput, match="no newer than 2, which sat-1 is offered"):
            offer_selection(parts.settings, "sat-1", first)

        (settings.folder / "selection" / "new.ols").write_bytes(b"damaged by the disk")
        satellite.observe(frame.rename(tmp_path / "next.png"))
        contact()
        assert told(parts)[1:] == (digest_of(first.read_bytes()), 1, digest_of(b"damaged by the disk"))
    parts.ledger.close()


def told(parts: Dependencies) -> tuple[object, ...]:
    """Digest of what sat-1 fetched last, digest and version of what flies, and digest of what was refused."""
    (report,) = [report for report in parts.ledger.node_reports(0) if report.node == "sat-1"]
    logic = report.logic
    assert logic is not None
    return report.fetched, logic.flying, logic.flying_version, logic.refused


def test_what_would_not_fly_is_not_offered(tmp_path: Path, package: SelectionPackage, key_of: KeyOf) -> None:
    _, ground_keys, _ = key_of(tmp_path)
    settings = GroundSettings(folder=tmp_path / "ground", keys=ground_keys)
    (tmp_path / "strange.ols").write_bytes(pack_selection(package, SigningKey(tmp_path / "stranger").sign))
    (tmp_path / "nonsense.ols").write_bytes(b"nonsense")
    for name, said in (("strange", "signature"), ("nonsense", "no selection logic"), ("missing", "cannot be read")):
        with pytest.raises(Refused, match=said):
            offer_selection(settings, "sat-1", tmp_path / f"{name}.ols")
    with pytest.raises(BadInput, match="cannot be a satellite's name"):
        offer_selection(settings, "../sat", tmp_path / "strange.ols")
    assert not (tmp_path / "ground" / "selections").exists()
