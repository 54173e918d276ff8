"""Model files that were trained elsewhere, brought to satellites as partial updates of what each of them flies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from orbitloop.adapters.signatures import VerifyingKey
from orbitloop.domain.delta import Gain, Shift, Sparse, apply
from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.rollout import Outcome
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.ports.node_ledger import NodeReport
from orbitloop.testing.builders import a_model, some_weights
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import Hello, UpdateReport
from orbitloop.wire.model_folder import encode_weights
from orbitloop.wire.update import unpack_update
from orbitloop_ground.adapters.trained_weights import read_model_file, trained_weights
from orbitloop_ground.app import Dependencies, admin_thread, compose, deployer, open_models
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.deploy import Deployed, Deployer

Arrays = dict[str, NDArray[np.float32]]
TOKEN = "a token of more than sixteen characters"


def trained(base: Arrays, seed: int = 1) -> Arrays:
    """A version that was trained inside a budget."""
    chance = np.random.default_rng(seed)
    name, bias = "backbone.0.conv.weight", "backbone.0.conv.bias"
    where = np.sort(chance.choice(base[name].size, 9, replace=False)).astype(np.uint32)
    quanta = chance.integers(1, 30, 9).astype(np.int8)
    factors = chance.integers(-30, 30, 4).astype(np.int8)
    return apply(
        base,
        [
            Gain(tensor=name, exponent=-9, quanta=factors),
            Sparse(tensor=name, exponent=-8, where=where, quanta=quanta),
            Shift(tensor=bias, exponent=-9, quanta=factors),
        ],
    )


def as_safetensors(weights: Arrays) -> bytes:
    return encode_weights(weights)


def as_torch(weights: Arrays) -> bytes:
    buffer = BytesIO()
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, buffer)
    return buffer.getvalue()


def as_checkpoint(weights: Arrays) -> bytes:
    buffer = BytesIO()
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    torch.save({"epoch": 3, "state_dict": state}, buffer)
    return buffer.getvalue()


def as_onnx(weights: Arrays) -> bytes:
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    shape = numpy_helper.from_array(np.array([1, 2]), "shape")
    return bytes(helper.make_model(helper.make_graph([], "model", [], [], [*tensors, shape])).SerializeToString())


@dataclass(kw_only=True)
class Ground:
    parts: Dependencies
    deployer: Deployer

    def heard(self, satellite: str, flying: Digest) -> None:
        told = {"satellite": satellite, "flying": flying, "clock": LAUNCH, "queued_samples": 0, "queued_bytes": 0}
        self.parts.ledger.record_hello(Hello.model_validate(told), LAUNCH)

    def launched(self, satellite: str, seed: int = 0) -> Arrays:
        weights = some_weights(seed)
        self.heard(satellite, open_models(self.parts.settings).put(a_model(weights)))
        return weights

    def deploy(self, satellite: str, file: bytes) -> Deployed:
        return self.deployer.deploy(satellite, digest_of(file), lambda: file)

    def reported(self, satellite: str, update: Digest, outcome: Outcome, flying: Digest) -> None:
        report = UpdateReport(satellite=satellite, update=update, outcome=outcome, flying=flying, at=LAUNCH)
        self.parts.ledger.record_report(report, LAUNCH)

    def report(self, satellite: str) -> NodeReport:
        (found,) = [report for report in self.parts.ledger.node_reports(0) if report.node == satellite]
        return found

    def flown(self, made: Deployed, base: Arrays) -> Arrays:
        """What a satellite makes of the update, its signature checked."""
        offer = self.parts.ledger.offer_for(made.built.satellite, made.built.base)
        assert offer is not None
        assert offer.digest == made.built.update
        public = VerifyingKey((self.parts.settings.keys.parent / "satellites" / "sat-1" / "ground.pub").read_text())
        return apply(base, unpack_update(offer.path.read_bytes(), public.verify).changes)


@contextmanager
def grounds(folder: Path, keys: Path, **changes: Any) -> Iterator[Ground]:
    (folder / "token").write_text(TOKEN)
    told = {"folder": folder / "ground", "keys": keys / "ground", "admin_port": 0, "operator_token": folder / "token"}
    parts = compose(GroundSettings.model_validate(told | changes), VirtualClock(LAUNCH))
    yield Ground(parts=parts, deployer=deployer(parts))
    parts.ledger.close()


@pytest.fixture
def ground(tmp_path: Path, keys: Path) -> Iterator[Ground]:
    with grounds(tmp_path, keys) as made:
        yield made


@pytest.mark.parametrize("written", [as_safetensors, as_torch, as_checkpoint, as_onnx], ids=lambda by: by.__name__[3:])
def test_a_model_file_flies_to_the_bit_by_a_delta_of_what_flies(
    ground: Ground, written: Callable[[Arrays], bytes]
) -> None:
    base = ground.launched("sat-1")
    new = trained(base)
    file = written(new)
    made = ground.deploy("sat-1", file)
    assert (made.built.base, made.built.result) == (weights_digest(base), weights_digest(new))
    assert weights_digest(ground.flown(made, base)) == weights_digest(new)
    assert made.size < len(file)


def test_each_satellite_gets_a_delta_of_what_it_flies_itself(ground: Ground) -> None:
    base = ground.launched("sat-1")
    later = trained(base, seed=7)
    ground.heard("sat-2", open_models(ground.parts.settings).put(a_model(later)))
    new = trained(base, seed=8)
    made = [ground.deploy(satellite, as_safetensors(new)) for satellite in ("sat-1", "sat-2")]
    assert [each.built.base for each in made] == [weights_digest(base), weights_digest(later)]
    assert weights_digest(ground.flown(made[0], base)) == weights_digest(new)
    assert weights_digest(ground.flown(made[1], later)) == made[1].built.result
    for name, value in ground.flown(made[1], later).items():
        assert np.abs(value - new[name]).max() < 0.01


def test_a_chain_of_models_goes_on_from_what_was_made_of_the_last_one(ground: Ground) -> None:
    flying = ground.launched("sat-1")
    for seed in range(3):
        noise = np.random.default_rng(seed)
        new = {name: (value + noise.normal(0, 0.01, value.shape)).astype(np.float32) for name, value in flying.items()}
        made = ground.deploy("sat-1", as_safetensors(new))
        flying = ground.flown(made, flying)
        assert weights_digest(flying) == made.built.result
        ground.heard("sat-1", made.built.result)
        assert ground.report("sat-1").model == digest_of(as_safetensors(new))


def test_the_same_model_again_is_the_same_update_and_moves_nothing(ground: Ground) -> None:
    file = as_safetensors(trained(ground.launched("sat-1")))
    made = ground.deploy("sat-1", file)
    before = ground.parts.ledger.bearings()
    assert ground.deploy("sat-1", file) == made
    assert ground.parts.ledger.bearings() == before
    ground.heard("sat-1", made.built.result)
    assert ground.deploy("sat-1", file) == made, "it flies already"


@pytest.mark.parametrize("outcome", [Outcome.ROLLED_BACK, Outcome.REFUSED], ids=str)
def test_what_became_of_an_update_is_what_became_of_its_model(ground: Ground, outcome: Outcome) -> None:
    base = ground.launched("sat-1")
    file = as_safetensors(trained(base))
    made = ground.deploy("sat-1", file)
    assert ground.report("sat-1").outcomes == {}
    ground.reported("sat-1", made.built.update, outcome, weights_digest(base))
    assert ground.report("sat-1").outcomes == {made.built.update: outcome, digest_of(file): outcome}


def test_a_model_that_flies_was_applied_even_if_its_report_is_lost(ground: Ground) -> None:
    file = as_safetensors(trained(ground.launched("sat-1")))
    ground.heard("sat-1", ground.deploy("sat-1", file).built.result)
    assert ground.report("sat-1").outcomes == {digest_of(file): Outcome.APPLIED}


def test_a_satellite_that_was_never_heard_is_not_yet_to_be_served(ground: Ground) -> None:
    with pytest.raises(NotYet, match="not been heard"):
        ground.deploy("sat-1", as_safetensors(some_weights()))


def test_a_node_without_a_model_of_ours_is_offered_none(ground: Ground) -> None:
    told = {"satellite": "sat-1", "flying": None, "clock": LAUNCH, "queued_samples": 0, "queued_bytes": 0}
    welcome = ground.parts.reception.hello("sat-1", Hello.model_validate(told))
    assert welcome.offer is None
    with pytest.raises(NotYet, match="no model of ours"):
        ground.deploy("sat-1", as_safetensors(some_weights()))


def test_what_flies_and_is_unknown_on_the_ground_is_named(ground: Ground) -> None:
    ground.heard("sat-1", digest_of(b"something"))
    with pytest.raises(BadInput, match="register the folder"):
        ground.deploy("sat-1", as_safetensors(some_weights()))


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "an empty file"),
        (b"no model at all, whatever it is", "neither safetensors nor ONNX nor torch"),
        (b"PK\x03\x04 no zip", "torch cannot read it"),
        (b"\xff" * 8 + b"{", "not a safetensors file"),
        (as_onnx({}), "without weights"),
        (as_safetensors({"other": np.zeros(3, np.float32)}), "unlike the one that flies"),
        (as_safetensors(some_weights()), "nothing to send"),
    ],
    ids=["empty", "no model", "no zip", "no header", "no weights", "another model", "what flies"],
)
def test_a_file_that_cannot_fly_is_refused_and_nothing_is_offered(ground: Ground, file: bytes, why: str) -> None:
    base = ground.launched("sat-1")
    with pytest.raises(BadInput, match=why):
        ground.deploy("sat-1", file)
    assert ground.parts.ledger.offer_for("sat-1", weights_digest(base)) is None


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(ground: Ground, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "it ran",)

    buffer = BytesIO()
    torch.save({"weight": Evil()}, buffer)
    ground.launched("sat-1")
    with pytest.raises(BadInput, match="torch cannot read it"):
        ground.deploy("sat-1", buffer.getvalue())
    assert not (tmp_path / "it ran").exists()


def test_a_file_that_is_another_than_was_said_is_refused(ground: Ground) -> None:
    ground.launched("sat-1")
    with pytest.raises(BadInput, match="replaced or damaged"):
        ground.deployer.deploy("sat-1", digest_of(b"another"), lambda: as_safetensors(some_weights(1)))


def far_away(base: Arrays) -> Arrays:
    chance = np.random.default_rng(5)
    return {name: (value + chance.normal(0, 0.1, value.shape)).astype(np.float32) for name, value in base.items()}


def test_an_update_stays_inside_its_budget_and_leaves_out_what_moved_least(tmp_path: Path, keys: Path) -> None:
    with grounds(tmp_path, keys, max_update_bytes=340, update_least_carried=0.1) as ground:
        base = ground.launched("sat-1")
        made = ground.deploy("sat-1", as_safetensors(far_away(base)))
        assert made.size <= 340
        flown = ground.flown(made, base)
        assert 0 < sum(int((flown[name] != base[name]).sum()) for name in base) < sum(map(np.size, base.values()))


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"max_update_bytes": 100}, "over the budget of 100"),
        ({"max_update_bytes": 340, "update_least_carried": 0.99}, "99% is the least"),
    ],
    ids=["too small for any", "too small for this one"],
)
def test_an_update_that_would_carry_too_little_is_refused(
    tmp_path: Path, keys: Path, terms: dict[str, float], why: str
) -> None:
    with grounds(tmp_path, keys, **terms) as ground:
        base = ground.launched("sat-1")
        with pytest.raises(BadInput, match=why):
            ground.deploy("sat-1", as_safetensors(far_away(base)))


@pytest.mark.parametrize("by_path", [True, False], ids=["by its path", "by its bytes"])
def test_a_model_is_deployed_over_http(ground: Ground, tmp_path: Path, by_path: bool) -> None:
    file = as_safetensors(trained(ground.launched("sat-1")))
    (tmp_path / "model").write_bytes(file)
    body: dict[str, Any] = {"json": {"path": str(tmp_path / "model")}} if by_path else {"content": file}
    with admin_thread(ground.parts) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        path = f"/v1/operator/nodes/sat-1/updates/{digest_of(file)}"
        answers = [client.put(path, **body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert answers[0].json() == answers[1].json()
    offer = ground.parts.ledger.offer_for("sat-1", answers[0].json()["base"])
    assert offer is not None
    assert offer.digest == answers[0].json()["update"]


@pytest.mark.parametrize(
    ("node", "digest", "body", "status", "why"),
    [
        ("sat-99", digest_of(b""), {"json": {"path": "/x"}}, 404, "has no keys"),
        ("sat-1", "no-digest", {"json": {"path": "/x"}}, 422, "sha256"),
        ("sat-1", digest_of(b""), {"json": {"path": "relative"}}, 422, "absolute"),
        ("sat-1", digest_of(b""), {"json": {"path": "s3://bucket/x"}}, 422, "absolute"),
        ("sat-1", digest_of(b""), {"json": {"file": "/x"}}, 422, "path"),
        ("sat-1", digest_of(b""), {"json": {"path": "/no/such/file"}}, 422, "mount the storage"),
        ("sat-2", digest_of(b""), {"json": {"path": "/x"}}, 503, "not been heard"),
    ],
    ids=["unknown node", "no digest", "relative", "remote", "no path", "no file", "never heard"],
)
def test_what_cannot_be_deployed_is_answered_with_the_reason(
    ground: Ground, node: str, digest: str, body: dict[str, Any], status: int, why: str
) -> None:
    ground.launched("sat-1")
    with admin_thread(ground.parts) as server:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{server.url}/v1/operator/nodes/{node}/updates/{digest}"
        answer = httpx.put(url, headers=headers, trust_env=False, **body)
    assert (answer.status_code, why in answer.json()["detail"]) == (status, True), answer.text


def test_half_precision_is_read_as_what_it_holds(tmp_path: Path) -> None:
    weights = {name: value.astype(np.float16).astype(np.float32) for name, value in some_weights().items()}
    (tmp_path / "model").write_bytes(encode_weights(weights, half=True))
    read = trained_weights(read_model_file(tmp_path / "model"), "a file")
    assert weights_digest(read) == weights_digest(weights)


def test_an_onnx_graph_is_checked_by_its_weights_alone() -> None:
    assert onnx.load_from_string(as_onnx(some_weights())).graph.name == "model"
    assert weights_digest(trained_weights(as_onnx(some_weights()), "a file")) == weights_digest(some_weights())
