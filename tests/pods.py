"""Containers as a kubelet starts them: a user that is nobody's, no capabilities, a root that is read only.

What stands in for images are this machine's programs and this checkout.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helm import Document

ROOT = Path(__file__).parents[1]
USER = 65532
CONFINED = ("setpriv", "--no-new-privs", "--inh-caps=-all")
SECRET_MODE = "0440"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
NEW_ROOT = r"""
set -eu
mount -t tmpfs -o mode=0755 tmpfs "$NODE"
for path in /*; do
  case $path in /tmp|/var|/run|/keys|/secret|/token|/data|/output|/config|/from|/model|/node) continue;; esac
  if [ -L "$path" ]; then cp -P "$path" "$NODE$path"; continue; fi
  [ -d "$path" ] || continue
  mkdir "$NODE$path"
  mount --rbind "$path" "$NODE$path"
  case $path in /proc|/sys|/dev) ;; *) mount -o remount,bind,ro "$NODE$path";; esac
done
mkdir "$NODE/programs"
for name in ground edge operators; do
  printf '#!%s\nfrom orbitloop_%s.cli import main\nraise SystemExit(main())\n' "$PYTHON" "$name" \
    >"$NODE/programs/orbitloop-$name"
done
chmod 0755 "$NODE"/programs/*
"""
CHECKOUT = """
[ -e "$NODE$CHECKOUT/constraints.txt" ] || { mkdir -p "$NODE$CHECKOUT"; mount --bind "$CHECKOUT" "$NODE$CHECKOUT"; }
"""
"""It may lie below a folder that is a volume of the pod, as /tmp is."""


@functools.cache
def python() -> str:
    """An interpreter that everybody may run, with all that we need."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("needs root, unshare and setpriv")
    for candidate in (sys.executable, "/usr/bin/python3"):  # the first may lie in the home of root
        tried = [*CONFINED, "--bounding-set=-all", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        imports = "import orbitloop_ground.app, orbitloop_edge.live, orbitloop_operators.app, onnxruntime"
        # by a shell: setpriv itself still reaches what only root may
        asked = [*tried, "sh", "-c", shlex.join([candidate, "-c", imports])]
        ran = subprocess.run(asked, env=environment(), check=False, capture_output=True)
        if ran.returncode == 0:
            return candidate
    pytest.skip("no Python here that another user than root may run")


def environment() -> dict[str, str]:
    packages = [place for place in sys.path if place and not place.startswith(sys.base_prefix)]
    return {
        "PATH": f"/programs:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(packages),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/tmp",
        "CHECKOUT": str(ROOT),
    }


class Pod:
    """A pod of the chart, as a script that a shell runs in a mount namespace of its own.

    Args:
        spec: of the pod.
        node: a folder that is made, where its root will be.
        account: whether it is shown a token of its account.
    """

    def __init__(self, spec: Document, node: Path, *, account: bool = False) -> None:
        python()
        node.mkdir()
        self._spec = spec
        self._node = node
        self._lines = [NEW_ROOT]
        self._user = spec["securityContext"]["runAsUser"]
        mounted = {
            mount["name"]: mount["mountPath"]
            for one in (*spec.get("initContainers", ()), *spec["containers"])
            for mount in one["volumeMounts"]
        }
        paths = [*mounted.values(), *([ACCOUNT] if account else ())]
        for path in sorted(paths):
            self._lines += [f"mkdir -p {node}{path}", f"mount -t tmpfs tmpfs {node}{path}", f"chmod 0777 {node}{path}"]

    def folder_of(self, path: str, mode: str, *files: Path) -> None:
        """What the volume at ``path`` is like: root's, its mode, and files that only root and the group may read."""
        place = f"{self._node}{path}"
        for file in files:
            self._lines.append(f"install -m {SECRET_MODE} -g {self._user} {shlex.quote(str(file))} {place}/")
        self._lines.append(f"chown 0:{self._user} {place}; chmod {mode} {place}")

    def begins(self) -> None:
        """From here on its root is read only."""
        self._lines += [CHECKOUT, f"mount -o remount,bind,ro {self._node}"]

    def runs(self, name: str, *, told: dict[str, str] | None = None, further: str = "") -> None:
        """A container, with the environment that the chart gives it and ``told``."""
        [one] = [
            each for each in (*self._spec.get("initContainers", ()), *self._spec["containers"]) if each["name"] == name
        ]
        words = [*one["command"], *one.get("args", ())]
        for variable, value in (told or {}).items():
            words = [word.replace(f"$({variable})", value) for word in words]
        self.does(shlex.join(words) + further, one, told or {})

    def does(self, command: str, one: Document, told: dict[str, str]) -> None:
        """Any command, as the container ``one`` would."""
        context = one["securityContext"]
        given = {entry["name"]: entry["value"] for entry in one.get("env", ()) if "value" in entry} | told
        kept = ",".join(["-all", *(f"+{each.lower()}" for each in context["capabilities"].get("add", ()))])
        user = context.get("runAsUser", self._user)
        who = [f"--reuid={user}", f"--regid={user}", f"--groups={self._user}"]
        alone = [*CONFINED, f"--bounding-set={kept}", *who]
        said = [f"{name}={value}" for name, value in given.items()]
        self._lines.append(f"chroot {self._node} {shlex.join([*alone, 'env', *said])} {command}")

    def says(self, line: str) -> None:
        """A line of the script as it is."""
        self._lines.append(line.replace("@", str(self._node)))

    def ends(self) -> str:
        """Runs it all; what it printed."""
        ran = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", "\n".join(self._lines)],
            env=environment() | {"NODE": str(self._node), "PYTHON": python()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port


def asks(port: int, path: str) -> str:
    """A shell command that prints what is answered on this machine, once it is."""
    url = f"http://127.0.0.1:{port}{path}"
    program = (
        "import time, urllib.request\n"
        "for _ in range(600):\n"
        "    try:\n"
        f"        print(urllib.request.urlopen({url!r}, timeout=5).read().decode())\n"
        "        break\n"
        "    except OSError:\n"
        "        time.sleep(0.1)\n"
    )
    return f"{shlex.quote(python())} -c {shlex.quote(program)}"
