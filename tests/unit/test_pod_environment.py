"""A container's environment, command and volumes, by the rules of Kubernetes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop_mission.local_node.environment import Incomplete, Sources, environment, expanded
from orbitloop_mission.local_node.images import Images
from orbitloop_mission.local_node.processes import Bound, Launch, translated
from orbitloop_mission.local_node.volumes import bound_volumes

SECRET = {
    "kind": "Secret",
    "metadata": {"name": "s"},
    "data": {"KEY": base64.b64encode(b"hidden").decode(), "RAW": base64.b64encode(b"\xff").decode()},
}
SETTINGS = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"A": "1", "B": "2"}}


def sources(**spec: Any) -> Sources:
    metadata = {"name": "p", "namespace": "n", "uid": "u", "labels": {"team": "sea"}}
    known = {("Secret", "s"): SECRET, ("ConfigMap", "c"): SETTINGS}
    return Sources(
        pod={"metadata": metadata, "spec": {"nodeName": "here", **spec}},
        find=lambda kind, name: known.get((kind, name)),
        base={"PATH": "/bin"},
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$(A)/x", "1/x"),
        ("$(A)$(B)", "12"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $(A", "$A ${A} $(A"),
        ("100$", "100$"),
    ],
)
def test_references_are_replaced_as_the_kubelet_does(text: str, said: str) -> None:
    assert expanded(text, {"A": "1", "B": "2"}) == said


@given(st.text(st.characters(exclude_characters="$")))
def test_what_has_no_dollar_is_left_alone(text: str) -> None:
    assert expanded(text, {"A": "1"}) == text


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ({"value": "x"}, "x"),
        ({"value": "$(PATH):/y"}, "/bin:/y"),
        ({}, ""),
        ({"valueFrom": {"secretKeyRef": {"name": "s", "key": "KEY"}}}, "hidden"),
        ({"valueFrom": {"configMapKeyRef": {"name": "c", "key": "A"}}}, "1"),
        ({"valueFrom": {"secretKeyRef": {"name": "none", "key": "KEY", "optional": True}}}, None),
        ({"valueFrom": {"secretKeyRef": {"name": "s", "key": "NONE", "optional": True}}}, None),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, "p"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}, "n"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['team']"}}}, "sea"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}, "here"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}, "127.0.0.1"),
    ],
)
def test_a_variable_has_its_value(variable: dict[str, Any], value: str | None) -> None:
    made = environment({"env": [{"name": "X", **variable}]}, sources())
    assert made == {"PATH": "/bin"} | ({} if value is None else {"X": value})


def test_whole_objects_come_in_under_what_is_named_singly() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "C_"}],
        "env": [{"name": "C_B", "value": "mine"}],
    }
    assert environment(container, sources()) == {"PATH": "/bin", "C_A": "1", "C_B": "mine"}


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ({"valueFrom": {"secretKeyRef": {"name": "none", "key": "K"}}}, "Secret n/none is not there; add it"),
        ({"valueFrom": {"secretKeyRef": {"name": "s", "key": "K"}}}, "Secret s has no key 'K'; it has KEY, RAW"),
        ({"valueFrom": {"secretKeyRef": {"name": "s", "key": "RAW"}}}, "the value of RAW is no text"),
        ({"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}, "valueFrom is resourceFieldRef; here there"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.nothing"}}}, "there is no field 'metadata.nothing'"),
    ],
)
def test_what_is_not_there_is_said(variable: dict[str, Any], said: str) -> None:
    with pytest.raises(Incomplete, match=said):
        environment({"env": [{"name": "X", **variable}]}, sources())


def mounted(tmp_path: Path, volume: dict[str, Any], **mount: Any) -> list[Bound]:
    container = {"volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}
    return bound_volumes(container, tmp_path / "pod", sources(volumes=[{"name": "v", **volume}]))


def test_a_folder_of_the_machine_is_seen_where_it_is_mounted(tmp_path: Path) -> None:
    made = tmp_path / "made"
    volume = {"hostPath": {"path": str(made), "type": "DirectoryOrCreate"}}
    assert mounted(tmp_path, volume) == [Bound(source=str(made), target="/v")]
    assert made.is_dir()
    assert mounted(tmp_path, volume, subPath="a/b", readOnly=True) == [
        Bound(source=str(made / "a" / "b"), target="/v", read_only=True)
    ]


def test_a_secret_is_files_that_others_cannot_read(tmp_path: Path) -> None:
    [bound] = mounted(tmp_path, {"secret": {"secretName": "s", "items": [{"key": "KEY", "path": "deep/key"}]}})
    file = Path(bound.source) / "deep" / "key"
    assert file.read_bytes() == b"hidden"
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"hostPath": {"path": "/nowhere/at/all", "type": "Directory"}}, "/nowhere/at/all is no Directory of this mac"),
        ({"hostPath": {"path": "relative"}}, "must begin at the root"),
        ({"hostPath": {"path": "/a/../b"}}, "must begin at the root, without"),
        ({"hostPath": {"path": "/dev/null/x", "type": "DirectoryOrCreate"}}, "/dev/null/x cannot be made: Not a dir"),
        ({"nfs": {"server": "x"}}, "volume v is nfs; here there are hostPath, emptyDir"),
        ({"secret": {"secretName": "none"}}, "Secret n/none is not there"),
        ({"configMap": {"name": "c", "items": [{"key": "A", "path": "../a"}]}}, "leads out of it"),
    ],
)
def test_a_volume_that_cannot_be_had_is_said(tmp_path: Path, volume: dict[str, Any], said: str) -> None:
    with pytest.raises(Incomplete, match=said):
        mounted(tmp_path, volume)


PLACES = [Bound(source="/here/data", target="/home/data"), Bound(source="/here/deep", target="/home/data/deep/")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/home/data", "/here/data"),
        ("/home/data/x.txt", "/here/data/x.txt"),
        ("/home/data/deep/x", "/here/deep/x"),
        ("/home/database", "/home/database"),
        ("/elsewhere/home/data", "/elsewhere/home/data"),
        ("/home/data/a;/home/data/deep/b", "/here/data/a;/here/deep/b"),
        ("--out=/home/data/a", "--out=/here/data/a"),
        ("file:/home/data/a, /home/data/b", "file:/here/data/a, /here/data/b"),
        ("", ""),
    ],
)
def test_without_a_root_of_its_own_a_container_is_told_where_volumes_are(text: str, said: str) -> None:
    launch = Launch(argv=["run", text], env={"X": text}, folder="/", log="/dev/null", root="/unused")
    moved = translated(launch, PLACES)
    assert (moved.argv, moved.env, moved.root) == (["run", said], {"X": said}, "")


def test_a_working_folder_that_is_not_there_is_said() -> None:
    launch = Launch(argv=["run"], env={}, folder="/home/work-of-an-image", log="/dev/null")
    with pytest.raises(
        Incomplete, match="workingDir /home/work-of-an-image is no folder of this machine; give the imag"
    ):
        translated(launch, PLACES)


def test_an_image_is_what_an_option_says(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    images = Images(tmp_path, [f"example.org/train={tmp_path / 'code'}", "example.org:5000/py:1=/bin/sh"])
    assert images.of("example.org/train:7").folder == tmp_path / "code"
    assert images.of("example.org/train@sha256:0").folder == tmp_path / "code"
    assert str(images.of("example.org:5000/py:1").python) == "/bin/sh"
    assert images.of("example.org:5000/py:2").folder == tmp_path
    assert images.of("other").base({"PATH": "/bin", "HOME": "/h", "TOKEN": "t"}).keys() == {"PATH", "HOME"}


@pytest.mark.parametrize("option", ["train", "=x", "train=", "train=/nowhere"])
def test_an_option_that_names_nothing_is_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(BadInput, match=r"^--image "):
        Images(tmp_path, [option])
