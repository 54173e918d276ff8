"""What flies comes to inference workers of the user's own: by hot update, or in place of their file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import a_digest, a_model, some_weights
from orbitloop.testing.clocks import VirtualClock
from orbitloop.wire.messages import UpdateReport
from orbitloop.wire.update_files import wanted_in
from orbitloop_edge.adapters.model_files import NodeModelFiles, SlotsModel
from orbitloop_edge.adapters.node_events import NodeEventsFile
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.usecases.served_models import ServedModels

START = datetime(2026, 1, 1, tzinfo=UTC)
HOT = {"folder": "/hot/ns/job", "seenAt": "/model-hot-update"}


class Node:
    """A satellite whose root is ``folder``; models may be written below ``/hot`` and ``/models``."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.clock = VirtualClock(START)
        self.slots = Slots(folder / "slots")
        self.slots.install(a_model())
        self.events = NodeEventsFile(folder / "events.db", self.clock)
        self.restart()

    def restart(self) -> None:
        self.models = ServedModels(
            events=self.events,
            flying=SlotsModel(self.root / "slots"),
            files=NodeModelFiles(self.root, [Path("/hot"), Path("/models")]),
            clock=self.clock,
        )

    def want(self, **entry: Any) -> None:
        model = {"url": "/models/served.safetensors", "format": "safetensors"} | entry
        self.models.apply(json.dumps({"version": 1, "models": {"ns/job": model}}).encode())

    def update(self, seed: int, outcome: Outcome = Outcome.APPLIED) -> dict[str, NDArray[np.float32]]:
        weights = some_weights(seed)
        staged = self.slots.stage(weights)
        flies = weights_digest(staged.weights) if outcome is Outcome.APPLIED else self.slots.state().flying
        report = UpdateReport(satellite="sat-1", update=a_digest(), outcome=outcome, flying=flies, at=self.clock.now())
        self.slots.activate(report) if outcome is Outcome.APPLIED else self.slots.remember(report)
        self.clock.advance(timedelta(hours=1))
        return weights

    def told(self) -> dict[str, Any]:
        return dict(self.events.last("model/ns/job") or {})

    def announced(self) -> Path:
        """The file that is announced, on this machine."""
        wanted = wanted_in((self.root / "hot/ns/job/model_config.json").read_text())
        assert wanted is not None
        seen = Path(wanted.path).relative_to("/model-hot-update")
        path = self.root / "hot/ns/job" / seen
        assert wanted.digest == digest_of(path.read_bytes())
        return path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def same(path: Path, weights: dict[str, NDArray[np.float32]]) -> bool:
    found = load_file(path)
    return found.keys() == weights.keys() and all(np.array_equal(found[name], weights[name]) for name in found)


def test_each_update_that_flies_is_announced_under_its_digest_and_two_versions_stay(node: Node) -> None:
    node.want(hotUpdate=HOT)
    for seed in (1, 2, 3):
        weights = node.update(seed)
        assert not node.models.look()
        path = node.announced()
        assert (path.name, path.parent.name) == ("served.safetensors", hexadecimal(digest_of(path.read_bytes())))
        assert same(path, weights)
        assert node.told() == {"flying": weights_digest(weights), "file": digest_of(path.read_bytes()), "error": ""}
    assert len([path for path in (node.root / "hot/ns/job").iterdir() if path.is_dir()]) == 2
    assert not (node.root / "models").exists()


def test_without_hot_update_the_file_is_replaced(node: Node) -> None:
    node.want()
    for seed in (1, 2):
        weights = node.update(seed)
        node.models.look()
        assert same(node.root / "models/served.safetensors", weights)
    assert [path.name for path in (node.root / "models").iterdir()] == ["served.safetensors"]


def test_what_was_launched_or_did_not_fly_is_not_written(node: Node) -> None:
    node.want()
    node.models.look()
    node.update(1, Outcome.ROLLED_BACK)
    node.models.look()
    assert not (node.root / "models").exists()
    weights = node.update(2)
    node.models.look()
    node.update(3, Outcome.ROLLED_BACK)
    node.models.look()
    assert same(node.root / "models/served.safetensors", weights)


def test_a_restart_announces_nothing_twice_and_makes_good_what_is_missing(node: Node) -> None:
    node.want(hotUpdate=HOT)
    node.update(1)
    node.models.look()
    config = node.root / "hot/ns/job/model_config.json"
    before = config.read_bytes()
    node.announced().write_bytes(b"half")
    node.clock.advance(timedelta(hours=1))
    node.restart()
    node.want(hotUpdate=HOT)
    node.models.look()
    assert config.read_bytes() == before
    node.announced()
    assert len(node.events.pending(0)) == 1


def test_nothing_is_written_for_what_nobody_wants(node: Node) -> None:
    node.want()
    node.models.apply(b'{"version": 1}')
    node.update(1)
    assert not node.models.look()
    assert node.events.pending(0) == []


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"format": "pth"}, "cannot be had as 'pth'; give the deploy Model the format onnx or safetensors"),
        ({"url": "s3://bucket/m"}, "is not on the node"),
        ({"url": "/etc/passwd"}, "/etc/passwd is in none of the folders where models may be written"),
        ({"url": "/models/../etc/passwd"}, "is no absolute path"),
        ({"url": "/models/link/passwd"}, "is in none of the folders"),
        ({"hotUpdate": HOT | {"folder": "/etc"}}, "is in none of the folders"),
        ({"url": "/models/taken"}, "/models/taken cannot be written: Is a directory"),
        ({"format": "onnx"}, "no ONNX model"),
    ],
    ids=str,
)
def test_what_cannot_be_written_is_told_and_tried_again_when_it_can(
    node: Node, entry: dict[str, Any], error: str
) -> None:
    (node.root / "models/taken").mkdir(parents=True)
    (node.root / "etc").mkdir()
    (node.root / "models/link").symlink_to(node.root / "etc")
    node.want(**entry)
    node.update(1)
    for _ in range(2):
        assert not node.models.look()
        assert error in node.told()["error"]
    assert len(node.events.pending(0)) == 1
    assert not list((node.root / "etc").iterdir())
    (node.root / "models/taken").rmdir()
    node.want(url="/models/taken")
    node.models.look()
    assert node.told()["error"] == ""


def test_a_file_that_could_not_be_written_is_written_at_the_next_look(node: Node) -> None:
    (node.root / "models/served.safetensors").mkdir(parents=True)
    node.want()
    weights = node.update(1)
    node.models.look()
    assert "Is a directory" in node.told()["error"]
    (node.root / "models/served.safetensors").rmdir()
    node.models.look()
    assert same(node.root / "models/served.safetensors", weights)
    assert node.told()["error"] == ""
