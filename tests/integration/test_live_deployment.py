"""A model file that was trained elsewhere flies on a live satellite, by way of the operators' API of a live gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from tests.processes import EDGE, GROUND, a_free_port, until

from orbitloop.adapters.model_files import write_model
from orbitloop.domain.digests import digest_of
from orbitloop.domain.units import Digest
from orbitloop.testing.builders import a_spec
from orbitloop.wire.model_folder import Model, decode_weights, encode_weights
from orbitloop.wire.onnx_file import with_weights
from orbitloop_ground.adapters.yolo.export import export_graph
from orbitloop_ground.adapters.yolo.network import YoloTiny, weights_of

TOKEN = "a token of more than sixteen characters"


@contextmanager
def running(command: list[object], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file, subprocess.Popen([str(word) for word in command], stdout=file, stderr=file) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(kw_only=True)
class Mission:
    folder: Path
    keys: Path
    port: int
    admin: int

    @property
    def config(self) -> Path:
        return self.folder / "satellite.toml"

    def launch(self, model: Model, more: str = "") -> None:
        """The model is installed on board, and known on the ground; updates need no tiles to be proved on."""
        write_model(self.folder / "model", model)
        self.config.write_text(
            f'satellite = "sat-1"\nfolder = "{self.folder / "sat"}"\nkeys = "{self.keys / "satellites" / "sat-1"}"\n'
            f'layer = "http"\n[stations.here]\ngateway = "https://127.0.0.1:{self.port}"\n'
            f"[contacts]\ninterval_seconds = 1\n[canary]\nleast = 0\n{more}"
        )
        install = [*EDGE, "install", "--config", self.config, "--model", self.folder / "model"]
        register = [*GROUND, "register", *self._ground, self.folder / "model"]
        for command in (install, register):
            subprocess.run([str(word) for word in command], check=True, capture_output=True)

    @property
    def _ground(self) -> list[object]:
        return ["--folder", self.folder / "ground", "--keys", self.keys / "ground"]

    def gateway(self) -> Any:
        (self.folder / "token").write_text(TOKEN)
        command: list[object] = [*GROUND, "serve", *self._ground, "--port", self.port, "--admin-port", self.admin]
        return running([*command, "--operator-token", self.folder / "token"], self.folder / "gateway.log")

    def satellite(self) -> Any:
        return running([*EDGE, "run", "--config", self.config], self.folder / "satellite.log")

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.admin}/v1/operator/nodes{path}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.request(method, url, headers=headers, trust_env=False, timeout=60, **options)

    def known(self) -> dict[str, Any]:
        try:
            nodes = self.ask("GET", "").json()["nodes"]
        except httpx.TransportError:  # the gateway is starting
            return {}
        return dict(nodes[0]) if nodes else {}

    def event(self, subject: str) -> dict[str, Any]:
        events = {event["subject"]: event["value"] for event in self.known().get("events", ())}
        return dict(events.get(subject, {}))

    def outcome(self, file: bytes) -> object:
        return self.known().get("outcomes", {}).get(digest_of(file))

    def deploy(self, file: bytes) -> dict[str, Any]:
        path = self.folder / "trained.safetensors"
        path.write_bytes(file)
        answer = self.ask("PUT", f"/sat-1/updates/{digest_of(file)}", json={"path": str(path)})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def fine_tuned(weights: Any, seed: int) -> bytes:
    """A few hundred weights, and all biases, moved in whole steps, as training inside a budget moves them."""
    chance = np.random.default_rng(seed)
    made = {name: value.copy() for name, value in weights.items()}
    for value in made.values():
        flat = value.reshape(-1)
        where = chance.choice(flat.size, min(flat.size, 200), replace=False)
        flat[where] += chance.integers(-9, 10, len(where)).astype(np.float32) * np.float32(2.0**-9)
    return encode_weights(made)


@pytest.fixture
def mission(tmp_path: Path, keys: Path) -> Mission:
    return Mission(folder=tmp_path, keys=keys, port=a_free_port(), admin=a_free_port())


@pytest.mark.slow
def test_a_trained_model_flies_as_a_small_delta_and_the_next_one_builds_on_it(mission: Mission) -> None:
    torch.manual_seed(3)
    spec = a_spec(tile=320)
    weights = weights_of(YoloTiny(spec, normalised=False))
    mission.launch(Model(spec=spec, weights=weights, graph=export_graph(spec)))
    first, second = fine_tuned(weights, 1), fine_tuned(weights, 2)
    with mission.satellite():
        with mission.gateway():
            until(lambda: "flying" in mission.known(), "the satellite is heard")
            launched: Digest = mission.known()["flying"]
            made = mission.deploy(first)
            assert made["base"] == launched
            assert made["size"] < 20_000 < len(first) / 100
        with mission.gateway():  # killed in between: the offer stands
            until(lambda: mission.outcome(first) == "applied", "the first model flies")
            assert mission.known()["flying"] == made["result"]
            assert mission.known()["model"] == digest_of(first)
    with mission.gateway():
        until(lambda: bool(mission.known()), "the gateway listens")
        chained = mission.deploy(second)
        assert chained["base"] == made["result"]
        with mission.satellite():
            until(lambda: mission.outcome(second) == "applied", "the second one flies")
    status = [*EDGE, "status", "--json", "--config", str(mission.config)]
    said = json.loads(subprocess.run(status, capture_output=True, text=True, check=True).stdout)
    assert said["flying"] == chained["result"]


USER_CODE = """
import sys
import numpy as np
import onnxruntime
from sedna.core.incremental_learning import IncrementalLearning

class Estimator:
    def load(self, model_url):
        self.session = onnxruntime.InferenceSession(model_url, providers=["CPUExecutionProvider"])

    def predict(self, data, **kwargs):
        return [float(np.abs(output).sum()) for output in self.session.run(None, {"images": data})]

job = IncrementalLearning(estimator=Estimator)
frame = np.linspace(0, 1, 3 * 320 * 320, dtype=np.float32).reshape(1, 3, 320, 320)
for line in sys.stdin:
    print(job.inference(frame)[0], flush=True)
"""


@contextmanager
def answering(mission: Mission, lc: int, first: Path) -> Iterator[Callable[[], str]]:
    """An inference worker of the user's own beside the satellite's; gives what asks it."""
    (mission.folder / "inference.py").write_text(USER_CODE)
    told = {
        "NAMESPACE": "default",
        "JOB_NAME": "helmets",
        "WORKER_NAME": "helmets-inference-1",
        "LC_SERVER": f"http://127.0.0.1:{lc}",
        "MODEL_URL": str(first),
        "MODEL_HOT_UPDATE": "true",
        "MODEL_POLL_PERIOD_SECONDS": "0.2",
        "MODEL_HOT_UPDATE_CONFIG": str(mission.folder / "hot" / "model_config.json"),
    }
    command = [sys.executable, str(mission.folder / "inference.py")]
    with subprocess.Popen(
        command, env={**os.environ, **told}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def ask() -> str:
            asked.write("frame\n")
            asked.flush()
            return answers.readline().strip()

        try:
            yield ask
        finally:
            process.kill()


@pytest.mark.slow
def test_what_flies_is_taken_over_by_the_users_own_inference_worker(mission: Mission) -> None:
    torch.manual_seed(3)
    spec = a_spec(tile=320)
    weights, graph = weights_of(YoloTiny(spec, normalised=False)), export_graph(spec)
    lc, hot = a_free_port(), mission.folder / "hot"
    mission.launch(
        Model(spec=spec, weights=weights, graph=graph),
        f'[local_controller]\nport = {lc}\nmodel_folders = ["{mission.folder}"]\n',
    )
    served = mission.folder / "served.onnx"
    served.write_bytes(with_weights(graph, weights))
    trained = fine_tuned(weights, 1)
    file = {"url": str(served), "format": "onnx", "hotUpdate": {"folder": str(hot), "seenAt": str(hot)}}
    document = {"version": 1, "node": "sat-1", "datasets": {}, "models": {"default/helmets": file}}
    with mission.gateway(), mission.satellite(), answering(mission, lc, served) as ask:
        launched = ask()
        until(lambda: "flying" in mission.known(), "the satellite is heard")
        mission.ask("PUT", "/sat-1/desired", content=json.dumps(document).encode())
        mission.deploy(trained)
        until(lambda: mission.outcome(trained) == "applied", "the model flies")
        until(lambda: mission.event("worker/default/helmets-inference-1").get("status") == "completed", "taken over")
        assert ask() != launched
        expected = with_weights(graph, decode_weights(trained, "trained"))
        [taken] = mission.event("worker/default/helmets-inference-1")["results"]
        assert (taken["digest"], Path(taken["url"]).parent.parent) == (digest_of(expected), hot)
        assert mission.event("model/default/helmets")["file"] == digest_of(expected)
    assert served.read_bytes() == with_weights(graph, weights)
