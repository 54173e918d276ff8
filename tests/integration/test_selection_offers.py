"""Selection logics at an operator's behest: signed by the gateway, counted up, offered, and withdrawn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.density import Downlink
from orbitloop.domain.digests import digest_of
from orbitloop.domain.selection import Grade, Raw, SelectionLogic
from orbitloop.testing.builders import a_digest
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import MOST_SELECTION, Hello, LogicOnBoard
from orbitloop.wire.selection_file import SIGNATURE, SelectionPackage, pack_selection, unpack_selection
from orbitloop_ground.app import Dependencies, admin_thread, compose, offer_selection
from orbitloop_ground.settings import GroundSettings

TOKEN = "a token of more than sixteen characters"
PATH = "/v1/operator/nodes/sat-1/selection"


def unsigned(_message: bytes) -> bytes:
    return bytes(SIGNATURE)


def a_package(application: str = "ships", version: int = 1) -> SelectionPackage:
    return SelectionPackage(
        version=version,
        application=application,
        target="one-core",
        side=8,
        highest=True,
        prevalence=0.05,
        link=Downlink(capacity=0.1, deadline=0.04),
        contexts=(),
        reach=1.0,
        logic=SelectionLogic(
            tiles=1, cells=1, table={"unknown": Raw()}, grades={"unknown": (Grade(threshold=0.0, worth=0.5),)}
        ),
        parts={"engine": b"an engine"},
    )


@dataclass(kw_only=True)
class Station:
    folder: Path
    parts: Dependencies
    client: httpx.Client

    def file(self, package: SelectionPackage, name: str = "selection.ols") -> Path:
        path = self.folder / name
        path.write_bytes(pack_selection(package, unsigned))
        return path

    def put(self, path: Path, **changes: Any) -> httpx.Response:
        data = path.read_bytes() if path.is_file() else b""
        return self.client.put(PATH, json={"path": str(path), "digest": digest_of(data)} | changes)

    def offers(self, package: SelectionPackage) -> dict[str, Any]:
        answer = self.put(self.file(package))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def flown(self) -> SelectionPackage:
        """What sat-1 makes of the file that it is offered, with the ground's key that it was launched with."""
        content = self.parts.selections.content("sat-1")
        assert content is not None
        public = (self.parts.settings.keys.parent / "satellites" / "sat-1" / "ground.pub").read_text()
        return unpack_selection(content, VerifyingKey(public).verify)

    def says(self, **logic: Any) -> None:
        hello = Hello(satellite="sat-1", clock=LAUNCH, queued_samples=0, queued_bytes=0, logic=LogicOnBoard(**logic))  # type: ignore[arg-type]
        self.parts.ledger.record_hello(hello, LAUNCH)

    def told(self) -> dict[str, Any]:
        (node,) = self.client.get("/v1/operator/nodes").json()["nodes"]
        return dict(node["selection"])


@contextmanager
def station(folder: Path, keys: Path) -> Iterator[Station]:
    token = folder / "token"
    token.write_text(TOKEN)
    told = {"folder": folder / "ground", "keys": keys / "ground", "admin_port": 0, "operator_token": token}
    parts = compose(GroundSettings.model_validate(told), VirtualClock(LAUNCH))
    shown = {"Authorization": f"Bearer {TOKEN}"}
    with admin_thread(parts) as server, httpx.Client(base_url=server.url, headers=shown, trust_env=False) as client:
        yield Station(folder=folder, parts=parts, client=client)
    parts.ledger.close()


@pytest.fixture
def ground(tmp_path: Path, keys: Path) -> Iterator[Station]:
    with station(tmp_path, keys) as made:
        yield made


def test_a_logic_that_nobody_signed_is_offered_with_the_grounds_signature(ground: Station) -> None:
    file = ground.file(a_package())
    answer = ground.put(file).json()
    offered = ground.parts.selections.offered("sat-1")
    assert offered is not None
    assert answer == {
        "source": digest_of(file.read_bytes()),
        "digest": offered.digest,
        "version": 1,
        "application": "ships",
        "target": "one-core",
    }
    assert ground.flown().application == "ships"


def test_the_same_again_is_the_same_offer_whoever_was_restarted(tmp_path: Path, keys: Path) -> None:
    with station(tmp_path, keys) as before:
        first = [before.offers(a_package()) for _ in range(2)]
    with station(tmp_path, keys) as after:
        assert [*first, after.offers(a_package())] == [first[0]] * 3
        assert after.offers(a_package(version=7)) == first[0] | {
            "source": digest_of(pack_selection(a_package(version=7), unsigned))
        }, "nothing but its version is another"


def test_each_other_logic_gets_the_next_version_so_that_an_older_one_rolls_back(ground: Station) -> None:
    told = [ground.offers(a_package(name))["version"] for name in ("ships", "clouds", "ships", "ships")]
    assert told == [1, 2, 3, 3]
    assert ground.offers(a_package("airplanes", version=9))["version"] == 9
    assert ground.flown().application == "airplanes"


def test_what_flies_already_is_counted_on_from(ground: Station) -> None:
    ground.says(flying=a_digest("by hand"), flying_version=41)
    offered = ground.offers(a_package())
    assert offered["version"] == 42
    ground.says(flying=offered["digest"], flying_version=42)
    assert ground.offers(a_package()) == offered, "it flies"
    ground.says(flying=a_digest("by hand again"), flying_version=42)
    assert ground.offers(a_package())["version"] == 43, "the satellite would not take 42 any more"


def test_withdrawn_it_is_offered_no_more_and_its_version_is_remembered(ground: Station) -> None:
    first = ground.offers(a_package())
    assert [ground.client.delete(PATH).json() for _ in range(2)] == [{"withdrawn": True}, {"withdrawn": False}]
    assert ground.parts.selections.offered("sat-1") is None
    assert ground.parts.selections.commissioned("sat-1") is None
    assert ground.offers(a_package()) == first, "what was fetched is not fetched again"
    ground.client.delete(PATH)
    assert ground.offers(a_package("clouds"))["version"] == 2


def test_what_a_person_offered_is_not_withdrawn(ground: Station, keys: Path) -> None:
    file = ground.folder / "signed.ols"
    file.write_bytes(pack_selection(a_package(version=4), SigningKey(keys / "ground" / "signing.key").sign))
    ground.offers(a_package("clouds"))
    offer_selection(ground.parts.settings, "sat-1", file)
    ground.says()
    assert ground.told()["offered"] is None
    assert ground.client.delete(PATH).json() == {"withdrawn": False}
    assert ground.flown().version == 4
    assert ground.put(file).json()["digest"] == digest_of(file.read_bytes()), "the same, now the operators'"
    assert ground.client.delete(PATH).json() == {"withdrawn": True}


def test_a_note_that_speaks_of_a_file_that_never_came_harms_nothing(ground: Station) -> None:
    """As a gateway leaves it that is killed between the two."""
    first = ground.offers(a_package())
    (ground.folder / "ground" / "selections" / "sat-1.ols").unlink()
    assert ground.parts.selections.commissioned("sat-1") is None
    assert ground.offers(a_package()) == first
    (ground.folder / "ground" / "selections" / "sat-1.json").write_bytes(b"{")
    assert ground.offers(a_package("clouds"))["version"] == 2


def test_operators_are_told_what_is_offered_fetched_flown_and_refused(ground: Station) -> None:
    offered = ground.offers(a_package())
    hello = Hello(satellite="sat-1", clock=LAUNCH, queued_samples=0, queued_bytes=0, selection=offered["digest"])  # type: ignore[arg-type]
    ground.parts.ledger.record_hello(hello, LAUNCH)
    assert ground.told() == {"fetched": offered["digest"], "onBoard": None, "offered": offered}
    refused = a_digest("another")
    ground.says(flying=offered["digest"], flying_version=1, application="ships", refused=refused, reason="too old")
    assert ground.told()["onBoard"] == {
        "flying": offered["digest"],
        "version": 1,
        "application": "ships",
        "refused": refused,
        "reason": "too old",
    }


def nonsense(folder: Path) -> Path:
    (folder / "nonsense.ols").write_bytes(random.Random(3).randbytes(4_000))
    return folder / "nonsense.ols"


def cut(folder: Path) -> Path:
    (folder / "cut.ols").write_bytes(pack_selection(a_package(), unsigned)[:-1])
    return folder / "cut.ols"


def enormous(folder: Path) -> Path:
    with (folder / "enormous.ols").open("wb") as file:
        file.truncate(MOST_SELECTION + 1)
    return folder / "enormous.ols"


@pytest.mark.parametrize(
    ("made", "status", "why"),
    [
        (lambda folder: folder / "missing.ols", 422, "there is no such file here"),
        (lambda folder: folder, 422, "there is no such file here"),
        (lambda _: Path("selection.ols"), 422, "no absolute path"),
        (nonsense, 422, "nonsense.ols: this is no selection logic"),
        (cut, 422, "cut.ols: part 'engine'"),
        (enormous, 413, "more than the 67108864 that a satellite fetches"),
    ],
    ids=["missing", "a folder", "a relative path", "nonsense", "cut", "enormous"],
)
def test_a_file_that_cannot_fly_is_refused_and_what_was_offered_stays(
    ground: Station, made: Any, status: int, why: str
) -> None:
    before = ground.offers(a_package())
    answer = ground.put(made(ground.folder))
    assert (answer.status_code, why in answer.json()["detail"]) == (status, True), answer.text
    assert ground.parts.selections.commissioned("sat-1") is not None
    assert ground.offers(a_package()) == before


def test_one_that_a_digit_of_its_version_makes_too_large_is_refused(ground: Station) -> None:
    ground.says(flying=a_digest("by hand"), flying_version=9)
    small = len(pack_selection(a_package(), unsigned)) - len(b"an engine")
    whole = pack_selection(replace(a_package(), parts={"engine": bytes(MOST_SELECTION - small - 8)}), unsigned)
    longer = MOST_SELECTION - len(whole)  # its size is written in it
    package = replace(a_package(), parts={"engine": bytes(MOST_SELECTION - small - 8 + longer)})
    file = ground.file(package)
    assert file.stat().st_size == MOST_SELECTION
    answer = ground.put(file)
    assert (answer.status_code, "67108865 bytes are more than" in answer.json()["detail"]) == (413, True)
    assert ground.parts.selections.offered("sat-1") is None


def test_another_file_than_was_said_is_refused(ground: Station) -> None:
    answer = ground.put(ground.file(a_package()), digest=a_digest("another"))
    assert (answer.status_code, "replaced or damaged" in answer.json()["detail"]) == (422, True)
    assert ground.parts.selections.offered("sat-1") is None


@pytest.mark.parametrize("body", [{}, {"path": "/x"}, {"path": "/x", "digest": "x"}, {"path": 1, "digest": "x"}, []])
def test_what_is_no_request_says_what_to_write(ground: Station, body: Any) -> None:
    answer = ground.client.put(PATH, json=body)
    assert (answer.status_code, "write its path and its digest" in answer.json()["detail"]) == (422, True)


def test_a_node_without_keys_is_offered_nothing_and_may_be_withdrawn_from(ground: Station) -> None:
    file = ground.file(a_package())
    other = PATH.replace("sat-1", "sat-99")
    told = {"path": str(file), "digest": digest_of(file.read_bytes())}
    assert ground.client.put(other, json=told).status_code == 404
    assert ground.client.delete(other).json() == {"withdrawn": False}
    assert ground.client.delete(PATH.replace("sat-1", "%20")).json() == {"withdrawn": False}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_who_does_not_show_the_token_is_not_let_in(ground: Station, method: str) -> None:
    ground.offers(a_package())
    assert ground.client.request(method, PATH, json={}, headers={"Authorization": "Bearer x"}).status_code == 401
    assert ground.parts.selections.offered("sat-1") is not None
