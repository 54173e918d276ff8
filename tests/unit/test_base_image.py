"""The script that makes the base image of Debian's packages, with docker and mmdebstrap played by others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "hack" / "kind-offline" / "build-base-image.sh"
DOCKER = """
case $1 in
  info) exit 0 ;;
  image) cat "$HOME/label" ;;
  import)
    for word; do
      case $word in
        LABEL*) echo "${word#*=}" >"$HOME/label" ;;
        *.tar) cp "$word" "$HOME/imported" ;;
      esac
    done
    eval "echo \\${$#}" >"$HOME/tag" ;;
esac
"""
MMDEBSTRAP = """
for word; do case $word in *.tar) tar=$word ;; esac; done
echo "$@" >>"$HOME/asked"
echo files >"$tar"
"""
ROOT = {"id": "echo 0", "dpkg-query": "echo install ok installed", "apt-get": "exit 0"}


def run(tmp_path: Path, *arguments: str, **programs: str) -> subprocess.CompletedProcess[str]:
    folder = tmp_path / "programs"
    folder.mkdir(exist_ok=True)
    for name, does in ({"docker": DOCKER, "mmdebstrap": MMDEBSTRAP} | ROOT | programs).items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "DOCKER": "docker"}
    env |= {"DEBIAN_MIRROR": "http://mirror.example/debian"}
    return subprocess.run([SCRIPT, *arguments], env=env, capture_output=True, text=True, check=False)


def test_what_mmdebstrap_makes_becomes_the_image(tmp_path: Path) -> None:
    ran = run(tmp_path, "some:base")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "imported").read_text() == "files\n"
    assert (tmp_path / "tag").read_text() == "some:base\n"
    assert "deb http://mirror.example/debian bookworm main" in (tmp_path / "asked").read_text()
    assert not list((tmp_path / "cache").rglob("root.tar"))


def test_an_image_that_this_script_made_is_left_alone(tmp_path: Path) -> None:
    for _ in range(2):
        assert run(tmp_path).returncode == 0
    assert len((tmp_path / "asked").read_text().splitlines()) == 1
    (tmp_path / "label").write_text("of an older script\n")
    assert run(tmp_path).returncode == 0
    assert len((tmp_path / "asked").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("programs", "says"),
    [
        ({"docker": "exit 1"}, "docker does not answer; start it, or name a client of it: DOCKER=/usr/bin/docker"),
        ({"dpkg-query": "exit 1", "id": "echo 1000"}, "needs mmdebstrap; as root: apt-get install mmdebstrap"),
        ({"mmdebstrap": "echo 'E: no such mirror' >&2; exit 25"}, "mmdebstrap failed, as said above"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(tmp_path: Path, programs: dict[str, str], says: str) -> None:
    ran = run(tmp_path, **programs)
    assert ran.returncode == 1
    assert says in ran.stderr
    assert not (tmp_path / "imported").exists()
