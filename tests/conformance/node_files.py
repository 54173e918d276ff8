"""The files of the node, in a folder of this machine, and the containers that work on them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.global_manager import until

Document = dict[str, Any]
HOT_UPDATE = "/model-hot-update"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles:
    """What is on the node.

    Args:
        root: holds what the node has at /.
        executes: containers of the implementation's own are run here, in place of its Local Controller.
    """

    root: Path
    executes: bool

    def at(self, path: str) -> Path:
        """Where a path of the node is."""
        return self.root / path.lstrip("/")

    def index(self, url: str, samples: int) -> None:
        """A Dataset of so many samples: one line each, and the file that it names."""
        index = self.at(url)
        images = index.parent / "images"
        images.mkdir(parents=True, exist_ok=True)
        for number in range(samples):
            (images / f"{number}.jpg").touch()
        index.write_text("".join(f"{line}\n" for line in lines(samples)))

    def trained(self, path: str) -> None:
        """A worker wrote a model."""
        model = self.at(path)
        model.parent.mkdir(parents=True, exist_ok=True)
        model.write_bytes(weights(path))

    def prepare(self, pod: Document) -> None:
        """What runs before the containers of a pod."""
        for container in pod["spec"].get("initContainers", ()) if self.executes else ():
            with tempfile.TemporaryDirectory() as scratch:
                process = self._start(pod, container, Path(scratch) / "log")
                assert process.wait(60) == 0, f"{container['command']} failed"

    def carry_out(self, pod: Document) -> str:
        """A pod of the implementation's own; its last words. Whoever serves a model takes over what comes."""
        with tempfile.TemporaryDirectory() as scratch:
            log = Path(scratch) / "log"
            process = self._start(pod, pod["spec"]["containers"][0], log)

            def ended() -> bool:
                self._take_over(pod)
                return process.poll() is not None

            until(ended, f"{pod['metadata']['name']} ended")
            assert process.returncode == 0
            return log.read_text()

    def _start(self, pod: Document, container: Document, log: Path) -> subprocess.Popen[bytes]:
        told = {
            entry["name"]: self._here(pod, entry["value"]) for entry in container.get("env", ()) if "value" in entry
        }
        program, *arguments = (self._here(pod, word) for word in container["command"])
        assert program == "python", "only our own containers are run here"
        environment = os.environ | told | {"ORBITLOOP_TERMINATION_LOG": str(log)}
        return subprocess.Popen([sys.executable, *arguments], env=environment)

    def _take_over(self, pod: Document) -> None:
        """Answer as an inference worker does that found a new model."""
        folder = on_node(pod, HOT_UPDATE)
        config = self.at(folder) / "model_config.json"
        if not folder or not config.exists():
            return
        wanted = json.loads(config.read_text())["model_config"]
        answer = {name: wanted[name] for name in ("model_path", "model_update_time", "digest")}
        (config.parent / "loaded.json.part").write_text(json.dumps(answer | {"status": "completed", "message": ""}))
        (config.parent / "loaded.json.part").rename(config.parent / "loaded.json")

    def _here(self, pod: Document, word: str) -> str:
        """A word of a container, where it is a path of a folder of the node."""
        path = on_node(pod, word) if word.startswith("/") else ""
        return str(self.at(path)) if path else word

    def copied(self, to: Path) -> Path:
        """All of it, as it is now."""
        shutil.copytree(self.root, to)
        return to


def lines(samples: int) -> list[str]:
    """The lines of an index."""
    return [f"images/{number}.jpg {number},0,9,9,0" for number in range(samples)]


def weights(path: str) -> bytes:
    """What a worker writes to ``path``; the model of a first round is the largest."""
    return f"weights of {path}\n".encode() * (5000 if "/train/1/" in path else 10)


def on_node(pod: Mapping[str, Any], path: str) -> str:
    """The path on the node for one in a pod's first container; empty if no folder of the node is there."""
    folders = {one["name"]: one["hostPath"]["path"] for one in pod["spec"].get("volumes", ()) if "hostPath" in one}
    mounts = sorted(pod["spec"]["containers"][0].get("volumeMounts", ()), key=lambda one: len(one["mountPath"]))
    for mount in reversed(mounts):
        at = mount["mountPath"].rstrip("/")
        if mount["name"] in folders and f"{path}/".startswith(f"{at}/"):
            return f"{folders[mount['name']].rstrip('/')}{path.removeprefix(at)}"
    return ""
