"""Keys as they are made, given out, renewed and revoked, on disk."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orbitloop.adapters.signatures import SigningKey, VerifyingKey
from orbitloop.domain.errors import BadInput
from orbitloop.testing.clocks import VirtualClock
from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_ground.adapters.authority import Authority
from orbitloop_ground.adapters.certificates import Role
from orbitloop_ground.adapters.revocations import LinkKeys, RevocationList

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRIVATE = {"authority.key", "gateway.key", "signing.key", "satellite.key", "link.key", "sat-1.key"}


def authority(folder: Path) -> Authority:
    return Authority(folder, VirtualClock(NOW))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_satellites_folder_is_all_that_it_needs_on_board(tmp_path: Path) -> None:
    made = authority(tmp_path)
    made.equip_ground()
    aboard = read_credentials(made.equip("sat-1"))
    assert aboard.satellite == "sat-1"
    assert aboard.link_key == LinkKeys(made.ground / "links")("sat-1")
    ground = SigningKey(made.ground / "signing.key")
    VerifyingKey(aboard.ground_key).verify(ground.sign(b"update"), b"update")
    assert "link_key" not in repr(aboard)


def test_private_files_are_their_owners_alone_and_lie_where_they_belong(tmp_path: Path) -> None:
    made = authority(tmp_path)
    made.equip_ground()
    made.equip("sat-1")
    for path in tmp_path.rglob("*"):
        if path.name in PRIVATE:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert {path.name for path in made.satellite("sat-1").iterdir()} == {
        "satellite.key",
        "satellite.pem",
        "authority.pem",
        "link.key",
        "ground.pub",
    }
    (tmp_path / "satellites" / "sat-1" / "satellite.key").chmod(0o640)
    with pytest.raises(BadInput, match="chmod 600"):
        read_credentials(made.satellite("sat-1"))


def test_making_keys_again_adds_what_is_missing_and_changes_nothing(tmp_path: Path) -> None:
    authority(tmp_path).equip_ground()
    authority(tmp_path).equip("sat-1")
    before = everything(tmp_path)
    authority(tmp_path).equip_ground()
    authority(tmp_path).equip("sat-1")
    assert everything(tmp_path) == before
    authority(tmp_path).equip("sat-2")
    after = everything(tmp_path)
    assert before.items() <= after.items()
    assert "satellites/sat-2/satellite.pem" in after


def test_renewing_gives_a_new_certificate_and_keeps_the_link_key(tmp_path: Path) -> None:
    made = authority(tmp_path)
    link = (made.equip("sat-1") / "link.key").read_bytes()
    old = (made.satellite("sat-1") / "satellite.pem").read_bytes()
    made.renew("sat-1")
    assert (made.satellite("sat-1") / "satellite.pem").read_bytes() != old
    assert (made.satellite("sat-1") / "link.key").read_bytes() == link
    assert [identity.revoked for identity in made.identities()] == [False, False]


def test_revoking_ends_every_certificate_and_the_link_key_until_they_are_renewed(tmp_path: Path) -> None:
    made = authority(tmp_path)
    made.equip("sat-1")
    old = made.renew("sat-1") / "link.key"
    old_link = old.read_bytes()
    made.equip("sat-2")
    assert made.revoke("sat-1") == 2
    assert made.revoke("sat-1") == 0
    assert {identity.name for identity in made.identities() if identity.revoked} == {"sat-1"}
    assert LinkKeys(made.ground / "links")("sat-1") is None
    assert LinkKeys(made.ground / "links")("sat-2") is not None
    with pytest.raises(BadInput, match="renew them"):
        made.equip("sat-1")
    made.renew("sat-1")
    assert [identity.revoked for identity in made.identities() if identity.name == "sat-1"].count(False) == 1
    assert LinkKeys(made.ground / "links")("sat-1") not in (None, old_link)


def test_a_list_that_somebody_else_changes_is_read_again(tmp_path: Path) -> None:
    watching = RevocationList(tmp_path / "revoked.json")
    assert 255 not in watching
    RevocationList(tmp_path / "revoked.json").add("sat-1", [255], NOW)
    assert 255 in watching
    (tmp_path / "revoked.json").write_text("{damaged")
    with pytest.raises(BadInput, match=r"revoked\.json"):
        255 in watching  # noqa: B015  # asking is what fails


@pytest.mark.parametrize("name", ["", "../sat", "sat/1", "a" * 129, "-x"])
def test_a_name_that_is_none_gets_no_keys(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        authority(tmp_path).equip(name)
    assert LinkKeys(tmp_path)(name) is None


def test_a_link_key_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "sat-1.key").mkdir()
    with pytest.raises(BadInput, match="let the gateway read it"):
        LinkKeys(tmp_path)("sat-1")


def test_a_gateway_is_known_by_every_name_that_was_asked_for(tmp_path: Path) -> None:
    made = authority(tmp_path)
    made.equip_ground(["ground.example", "192.0.2.7"])
    made.equip_ground(["ground.example"])
    with pytest.raises(BadInput, match=r"other\.example.*renew"):
        made.equip_ground(["other.example"])
    made.renew_gateway(["other.example"])
    made.equip_ground(["other.example"])
    assert {identity.role for identity in made.identities()} == {Role.GATEWAY}


def test_certificates_expire_when_they_were_said_to_and_never_after_the_authority(tmp_path: Path) -> None:
    made = Authority(tmp_path, VirtualClock(NOW), lifetime=timedelta(days=30))
    made.equip("sat-1")
    late = Authority(tmp_path, VirtualClock(NOW + timedelta(days=45)), lifetime=timedelta(days=30))
    late.renew("sat-1")
    assert [identity.expires for identity in made.identities()] == [NOW + timedelta(days=30), NOW + timedelta(days=60)]


@pytest.mark.parametrize("name", ["satellite.pem", "satellite.key", "authority.pem", "ground.pub", "link.key"])
def test_a_folder_of_keys_that_lacks_one_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = authority(tmp_path).equip("sat-1")
    (folder / name).unlink()
    with pytest.raises(BadInput, match="copy"):
        read_credentials(folder)
