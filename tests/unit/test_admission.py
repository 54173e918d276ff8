"""Reviews of what is written, and the registration of who reviews."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.api.kinds import KINDS
from orbitloop.domain.errors import BadInput, Refused
from orbitloop_operators.adapters.authority import LIFE, Authority, Serving
from orbitloop_operators.usecases.admission import Admission, Registered
from orbitloop_operators.usecases.errors import Stale
from orbitloop_operators.usecases.reviews import answer

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "tests" / "golden" / "manifests"
DOCUMENTS: list[dict[str, Any]] = [
    document for path in sorted(MANIFESTS.iterdir()) for document in yaml.safe_load_all(path.read_text())
]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a(kind: str) -> dict[str, Any]:
    return copy.deepcopy(next(document for document in DOCUMENTS if document["kind"] == kind))


def review(written: Any, before: Any = None) -> dict[str, Any]:
    request = {"uid": "u-1", "operation": "CREATE" if before is None else "UPDATE", "object": written}
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": request if before is None else request | {"oldObject": before},
    }


def nobody(_version: str) -> bool:
    return False


def response(written: Any, before: Any = None) -> Any:
    return answer(review(written, before), nobody)["response"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_what_users_write_is_allowed(document: dict[str, Any]) -> None:
    assert response(document) == {"uid": "u-1", "allowed": True}


def test_what_is_wrong_is_refused_with_all_that_is_wrong() -> None:
    job = a("IncrementalLearningJob")
    job["spec"]["dataset"]["trainProb"] = 2
    job["spec"]["outputDir"] = "out"
    said = response(job)
    assert not said["allowed"]
    assert said["status"]["message"].startswith("IncrementalLearningJob find-ships: spec.dataset.trainProb: must be")
    assert "spec.outputDir: must be a folder" in said["status"]["message"]


def test_a_wrong_type_is_refused_too() -> None:
    dataset = a("Dataset")
    dataset["spec"]["url"] = 7
    assert "spec.url" in response(dataset)["status"]["message"]


def bad_dataset(**spec: str) -> dict[str, Any]:
    dataset = a("Dataset")
    dataset["spec"] |= {"format": "coco"} | spec
    return dataset


def test_what_was_there_before_the_rules_may_be_labelled_and_let_go() -> None:
    labelled = bad_dataset()
    labelled["metadata"]["labels"] = {"a": "b"}
    assert response(labelled, bad_dataset())["allowed"]


def test_what_was_wrong_before_is_no_excuse_for_another_change() -> None:
    assert not response(bad_dataset(nodeName="edge-2"), bad_dataset())["allowed"]


def test_a_status_of_another_release_is_no_reason_to_refuse_a_spec() -> None:
    dataset = a("Dataset") | {"status": {"numberOfSamples": "unknown", "tomorrow": 1}}
    assert response(dataset)["allowed"]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"apiVersion": "sedna.io/v2", "kind": "Dataset", "spec": {}}, id="a version of a newer release"),
        pytest.param({"apiVersion": "orbitloop.io/v1alpha1", "kind": "Rover", "spec": {}}, id="a kind of a newer one"),
        pytest.param(None, id="a deletion"),
    ],
)
def test_what_is_not_ours_to_judge_passes(document: Any) -> None:
    assert response(document)["allowed"]


def test_a_rivals_kinds_are_left_alone() -> None:
    said = answer(review(bad_dataset()), lambda version: version.startswith("sedna.io/"))
    assert said["response"]["allowed"]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({}, id="nothing"),
        pytest.param(review(None) | {"apiVersion": "admission.k8s.io/v1beta1"}, id="an old version"),
        pytest.param(review(None) | {"request": "?"}, id="no request"),
        pytest.param(review(None) | {"request": {"object": {}}}, id="no uid"),
    ],
)
def test_what_is_no_review_is_refused_as_such(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        answer(wrong, nobody)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(KINDS), JSON, JSON)
def test_whatever_is_written_gets_an_answer(kind: Any, metadata: Any, spec: Any) -> None:
    written = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
    said = response(written)
    assert said["allowed"] or said["status"]["message"]


# The registration


@dataclass
class Moment:
    """A clock that stands still until it is set."""

    time: datetime = START

    def now(self) -> datetime:
        return self.time


@dataclass
class Configuration:
    """A registration in memory; each write makes another version, and may be refused."""

    registered: Registered = Registered(
        names=("operators.system.svc",), bundles={"rules.orbitloop.io": b""}, version="1"
    )
    there: bool = True
    changed_by_another: int = 0
    writes: int = 0
    versions: Any = field(default_factory=lambda: itertools.count(2))

    async def read(self) -> Registered:
        if not self.there:
            raise Refused("nothing is registered; apply the manifests")
        return self.registered

    async def announce(self, registered: Registered, bundle: bytes) -> None:
        if self.changed_by_another:
            self.changed_by_another -= 1
            raise Stale("changed meanwhile")
        assert registered.version == self.registered.version
        bundles = dict.fromkeys(registered.bundles, bundle)
        self.registered = replace(registered, bundles=bundles, version=str(next(self.versions)))
        self.writes += 1

    @property
    def trusted(self) -> list[x509.Certificate]:
        [bundle] = self.registered.bundles.values()
        return x509.load_pem_x509_certificates(bundle)


@dataclass
class Shown:
    """A server that only remembers what it shows."""

    chain: bytes = b""

    def start(self, chain: bytes, key: bytes) -> None:
        assert not self.chain
        self.chain = chain

    def renew(self, chain: bytes, key: bytes) -> None:
        assert self.chain
        self.chain = chain

    def stop(self) -> None:
        self.chain = b""


@dataclass
class Scene:
    clock: Moment = field(default_factory=Moment)
    configuration: Configuration = field(default_factory=Configuration)
    server: Shown = field(default_factory=Shown)

    def operator(self) -> Admission:
        return Admission(self.configuration, self.server, Authority(), self.clock)

    def is_trusted(self) -> bool:
        shown = x509.load_pem_x509_certificate(self.server.chain)
        return any(vouches(authority, shown) for authority in self.configuration.trusted)


def vouches(authority: x509.Certificate, shown: x509.Certificate) -> bool:
    ours = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    if ours != shown.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier:
        return False
    shown.verify_directly_issued_by(authority)
    return True


def keep(admission: Admission) -> None:
    asyncio.run(admission.keep())


def test_what_is_served_is_trusted_and_nothing_is_written_twice() -> None:
    scene = Scene()
    operator = scene.operator()
    keep(operator)
    assert scene.is_trusted()
    shown = scene.server.chain
    keep(operator)
    assert (scene.configuration.writes, scene.server.chain) == (1, shown)


def test_a_certificate_is_renewed_after_two_thirds_of_its_life_and_trusted_at_once() -> None:
    scene = Scene()
    operator = scene.operator()
    keep(operator)
    shown = scene.server.chain
    scene.clock.time = START + LIFE * 2 / 3 - timedelta(seconds=1)
    keep(operator)
    assert scene.server.chain == shown
    scene.clock.time += timedelta(seconds=1)
    keep(operator)
    assert scene.server.chain != shown
    assert scene.is_trusted()
    assert len(scene.configuration.trusted) == 2


def test_the_operator_before_stays_trusted_and_those_that_expired_do_not() -> None:
    scene = Scene()
    for _ in range(5):
        scene.server.stop()
        keep(scene.operator())
        assert scene.is_trusted()
    assert len(scene.configuration.trusted) == 3
    scene.clock.time = START + LIFE
    scene.server.stop()
    keep(scene.operator())
    assert len(scene.configuration.trusted) == 1
    assert scene.is_trusted()


def test_a_registration_that_lost_the_authority_gets_it_again() -> None:
    scene = Scene()
    operator = scene.operator()
    keep(operator)
    bare = dict.fromkeys(scene.configuration.registered.bundles, b"no certificate at all")
    scene.configuration.registered = replace(scene.configuration.registered, bundles=bare)
    keep(operator)
    assert scene.is_trusted()


def test_another_name_needs_another_certificate() -> None:
    scene = Scene()
    operator = scene.operator()
    keep(operator)
    scene.configuration.registered = replace(scene.configuration.registered, names=("127.0.0.1", "elsewhere"))
    keep(operator)
    names = x509.load_pem_x509_certificate(scene.server.chain).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(name.value) for name in names.value] == ["127.0.0.1", "elsewhere"]
    assert scene.is_trusted()


def test_a_change_by_another_is_looked_at_again() -> None:
    scene = Scene(configuration=Configuration(changed_by_another=2))
    keep(scene.operator())
    assert scene.is_trusted()


def test_without_a_registration_nothing_is_served_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(configuration=Configuration(there=False))
    operator = scene.operator()
    for _ in range(3):
        keep(operator)
    assert scene.server.chain == b""
    assert [record.message for record in caplog.records] == ["admission_not_registered"]
    scene.configuration.there = True
    keep(operator)
    assert scene.is_trusted()


def test_it_ends_with_its_task() -> None:
    scene = Scene()

    async def for_a_moment() -> None:
        task = asyncio.create_task(scene.operator().run())
        while not scene.server.chain:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(for_a_moment())
    assert scene.server.chain == b""


@given(st.lists(st.from_regex(r"\A[a-z0-9]{1,20}(\.[a-z0-9]{1,20}){0,4}\Z"), min_size=1, max_size=3, unique=True))
def test_a_certificate_is_for_its_names_and_for_its_time(names: Sequence[str]) -> None:
    made: Serving = Authority().make(names, START)
    chain = x509.load_pem_x509_certificate(made.chain)
    assert chain.not_valid_before_utc < START < chain.not_valid_after_utc == made.expires
    assert Authority().still_good(made.authority, START) == [made.authority]
    assert Authority().still_good(made.authority, made.expires) == []
