"""The images themselves, built as for a cluster, and run as it runs them: nobody's user, and nothing to write to."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hack.images.definitions import images
from hack.images.docker import client, inspect

ROOT = Path(__file__).parents[2]
ONCE = 1800.0
"""Seconds that building all of them may take where nothing is kept."""

pytestmark = pytest.mark.timeout(ONCE + 120)


def hack(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hack.images", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=ONCE)


@pytest.fixture(scope="module")
def docker() -> str:
    """A client of an engine that has every image."""
    built = hack("build", "--offline")
    assert built.returncode == 0, built.stdout + built.stderr
    return client()


def ask(docker: str, *arguments: str) -> str:
    ran = subprocess.run([docker, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def confined(docker: str, target: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """What a program says in its image: as user 65532, without a network, with no file to write but in /tmp."""
    fixed = ("--rm", "--network", "none", "--read-only", "--user", "65532", "--cap-drop", "ALL", "--tmpfs", "/tmp")
    return ask(docker, "run", *fixed, *options, images()[target].name, *command)


@pytest.mark.parametrize("target", ["edge", "operators", "ground", "trainer", "transformer"])
def test_an_image_runs_its_program(docker: str, target: str) -> None:
    assert confined(docker, target, "--help").startswith(f"usage: orbitloop-{target} ")


_IMPORT_ALL = """
import importlib, pkgutil, sys
extra, names = sys.argv[1], sys.argv[2:]
for name in names:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name != extra:
                    raise
print("all")
"""
TRANSFORMATION = "sklearn"
"""Of an extra, which what is not the transformer does without."""


@pytest.mark.parametrize(
    ("target", "packages", "extra"),
    [
        ("edge", ["orbitloop_edge"], ""),
        ("operators", ["orbitloop_operators"], ""),
        ("ground", ["orbitloop_ground"], TRANSFORMATION),
        ("trainer", ["orbitloop_ground", "sedna", "torch.distributed.run"], TRANSFORMATION),
        ("transformer", ["orbitloop_ground", "orbitloop_mission.transformation", "orbitloop_mission.transformer"], ""),
    ],
)
def test_nothing_that_a_program_imports_was_taken_out(
    docker: str, target: str, packages: list[str], extra: str
) -> None:
    named = [name for name in packages if "." not in name]
    wanted = "".join(f"import {name}\n" for name in packages)
    python = ("--entrypoint", "python")
    assert confined(docker, target, "-c", wanted + _IMPORT_ALL, extra, *named, options=python) == "all\n"


def test_the_usual_authorities_are_trusted(docker: str) -> None:
    count = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    assert int(confined(docker, "edge", "-c", count, options=("--entrypoint", "python"))) > 100


_DETECT = """
import pathlib
from orbitloop.adapters.model_files import read_model
from orbitloop_edge.adapters.imagery import encode_picture, read_picture
from orbitloop_edge.adapters.onnx_detector import OnnxDetector
model = read_model(pathlib.Path("/model"))
_, pixels = read_picture(min(pathlib.Path("/images").iterdir()))
found = OnnxDetector(model.graph, model.weights, model.spec).detect(pixels)
print(len(found), len(encode_picture(pixels, "webp", 80)) > 0)
"""


def test_the_detector_runs_in_the_image_that_flies(docker: str) -> None:
    mounts = (
        *("-v", f"{ROOT}/examples/models/airplane-1m:/model:ro"),
        *("-v", f"{ROOT}/examples/data/airbus-aircraft/images:/images:ro"),
    )
    count, encoded = confined(docker, "edge", "-c", _DETECT, options=("--entrypoint", "python", *mounts)).split()
    assert int(count) > 0
    assert encoded == "True"


def test_nothing_is_built_twice(docker: str) -> None:
    began = time.monotonic()
    again = hack("build", "--offline")
    assert again.stdout.count("unchanged") == len(images())
    assert time.monotonic() - began < 30


def test_our_code_is_a_small_layer_on_top(docker: str) -> None:
    history = ask(docker, "history", "--no-trunc", "--format", "{{json .Size}}", images()["edge"].name)
    layers = [json.loads(line) for line in history.splitlines()]
    newest = next(size for size in layers if size != "0B")
    assert newest.endswith(("kB", "MB"))
    assert float(newest.rstrip("kMB")) < 10 or newest.endswith("kB")


def test_the_transformer_fits_the_ships_that_it_brings(docker: str) -> None:
    told = {
        "APPLICATION": "ships",
        "TARGET": "raspberry-pi-4",
        "MODEL_URL": "/tmp/ships",
        "EFFORT": "0.02",
        "ORBITLOOP_TERMINATION_LOG": "/dev/stdout",
    }
    variables = tuple(word for name, value in told.items() for word in ("-e", f"{name}={value}"))
    words = json.loads(confined(docker, "transformer", options=variables))
    [made] = words["results"]
    assert (words["status"], made["url"]) == ("completed", "/tmp/ships/selection.ols")
    assert made["metrics"]["density"] >= made["metrics"]["bent_pipe"]


@pytest.mark.parametrize("target", ["trainer", "transformer"])
def test_what_workers_run_shares_the_grounds_layers(docker: str, target: str) -> None:
    below, above = (inspect(docker, images()[name].name) for name in ("ground", target))
    assert below is not None
    assert above is not None
    shared = below["RootFS"]["Layers"]
    assert above["RootFS"]["Layers"][: len(shared)] == shared


def test_a_bill_lists_what_is_in_an_image_and_nothing_else(docker: str) -> None:
    written = hack("sbom", "edge", "postgresql")
    assert written.returncode == 0, written.stderr
    text = (ROOT / "build" / "sbom" / "edge.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    said = json.loads(text)
    names = {component["name"] for component in said["components"]}
    assert {"orbitloop", "orbitloop-edge", "numpy", "onnxruntime", "cryptography", "libc6"} <= names
    assert not {"pip", "setuptools", "torch", "apt", "perl-base"} & names
    listed = confined(docker, "edge", "-W", "-f=${Package} ${Version}\n", options=("--entrypoint", "dpkg-query"))
    debian = {(c["name"], c["version"]) for c in said["components"] if c["purl"].startswith("pkg:deb/")}
    assert debian == {tuple(line.split()) for line in listed.splitlines()}


@pytest.fixture
def started(docker: str) -> Iterator[list[str]]:
    """Containers to remove, with what they kept."""
    containers: list[str] = []
    yield containers
    for container in containers:
        subprocess.run([docker, "rm", "--force", "--volumes", container], capture_output=True, check=False)


def within(seconds: float, docker: str, *command: str) -> str:
    """What a command says once it succeeds."""
    deadline = time.monotonic() + seconds
    while True:
        ran = subprocess.run([docker, *command], capture_output=True, text=True, check=False, timeout=60)
        if ran.returncode == 0:
            return ran.stdout
        assert time.monotonic() < deadline, ran.stdout + ran.stderr
        time.sleep(0.5)


def start_database(docker: str, started: list[str], *options: str) -> str:
    written = ("--tmpfs", "/tmp", "--tmpfs", "/var/run/postgresql:mode=1777")
    fixed = ("--detach", "--read-only", "--cap-drop", "ALL", *written)
    settings = (
        "-e",
        "POSTGRES_USER=orbitloop",
        "-e",
        "POSTGRES_DB=ledger",
        "-e",
        "PGDATA=/var/lib/postgresql/data/own",
    )
    container = ask(docker, "run", *fixed, *settings, *options, images()["postgresql"].name).strip()
    started.append(container)
    return container


_QUERY = ("psql", "-h", "127.0.0.1", "-U", "orbitloop", "-d", "ledger", "-Atc")


def test_the_database_is_made_once_and_outlives_a_kill(docker: str, started: list[str]) -> None:
    kept = ("--mount", "type=volume,dst=/var/lib/postgresql/data", "-e", "POSTGRES_PASSWORD=secret")
    container = start_database(docker, started, *kept)
    asked = ("exec", "-e", "PGPASSWORD=secret", container, *_QUERY)
    within(60, docker, *asked, "create table kept as select 42 as answer")
    ask(docker, "kill", "--signal", "KILL", container)
    ask(docker, "start", container)
    assert within(60, docker, *asked, "select answer from kept") == "42\n"


def test_from_elsewhere_the_database_asks_for_the_password(docker: str, started: list[str]) -> None:
    data = ("--tmpfs", "/var/lib/postgresql/data:mode=0700,uid=999")
    container = start_database(docker, started, "-e", "POSTGRES_PASSWORD=secret", *data)
    within(60, docker, "exec", container, "pg_isready", "-q", "-h", "127.0.0.1")
    script = 'psql -h "$(hostname -i)" -U orbitloop -d ledger -Atc "select 1"'
    for password, answers in (("secret", True), ("wrong", False)):
        asked = [docker, "exec", "-e", f"PGPASSWORD={password}", container, "sh", "-c", script]
        assert (subprocess.run(asked, capture_output=True, check=False, timeout=60).returncode == 0) == answers


def test_without_a_password_no_database_is_made(docker: str, started: list[str]) -> None:
    container = start_database(docker, started)
    assert ask(docker, "wait", container) == "1\n"
    logs = subprocess.run([docker, "logs", container], capture_output=True, text=True, check=True)
    assert "set POSTGRES_PASSWORD" in logs.stderr


_CONNECT = """
import socket
with socket.create_connection(("127.0.0.1", 1883), 5) as broker:
    broker.sendall(bytes.fromhex("100d00044d5154540402003c000161"))
    print(broker.recv(4).hex())
"""


def test_the_broker_takes_who_is_on_the_same_node_and_nobody_else(docker: str, started: list[str]) -> None:
    fixed = ("--detach", "--read-only", "--user", "65532", "--cap-drop", "ALL")
    container = ask(docker, "run", *fixed, images()["mosquitto"].name).strip()
    started.append(container)
    beside = ("run", "--rm", "--network", f"container:{container}", "--entrypoint", "python", images()["edge"].name)
    assert within(30, docker, *beside, "-c", _CONNECT) == "20020000\n"
    address = json.loads(ask(docker, "inspect", container))[0]["NetworkSettings"]["IPAddress"]
    elsewhere = [docker, "run", "--rm", "--entrypoint", "python", images()["edge"].name, "-c"]
    connect = _CONNECT.replace("127.0.0.1", address)
    refused = subprocess.run([*elsewhere, connect], capture_output=True, text=True, check=False, timeout=60)
    assert "ConnectionRefusedError" in refused.stderr
