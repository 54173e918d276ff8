"""The gateway as people run it: a process of its own, killed, restarted, and two of them on one folder."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import LinkClosed
from orbitloop.domain.units import Bytes
from orbitloop.ports.gateway import Transfer
from orbitloop.testing.samples import LAUNCH, a_sample
from orbitloop.wire.bundle import pack
from orbitloop.wire.messages import Hello
from orbitloop_edge.adapters.credentials import read_credentials
from orbitloop_edge.adapters.gateway import GatewayClient

BUNDLE = pack("sat-1", LAUNCH, [a_sample(number, size=10_000) for number in range(60)])
DIGEST = digest_of(BUNDLE)
FLYING, NEXT = digest_of(b"weights"), digest_of(b"next weights")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from orbitloop_ground.cli import main; raise SystemExit(main())", *arguments]


def ran(*arguments: str) -> str:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*arguments: str) -> str:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@dataclass(kw_only=True)
class Station:
    """A gateway's process."""

    process: subprocess.Popen[str]
    ports: dict[str, int | None]
    keys: Path

    def client(self) -> GatewayClient:
        credentials = read_credentials(self.keys / "satellites" / "sat-1")
        return GatewayClient(f"https://127.0.0.1:{self.ports['gateway']}", credentials, patience=timedelta(seconds=30))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def station(folder: Path, keys: Path, **further: object) -> Iterator[Station]:
    options = {"folder": folder, "keys": keys / "ground", "port": 0, "admin-port": 0, "datagram-port": 0, **further}
    spelled = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with subprocess.Popen(
        command("serve", *spelled), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            yield Station(process=child, ports=json.loads(child.stdout.readline()), keys=keys)
        finally:
            child.kill()


def ledger_options(folder: Path, keys: Path) -> tuple[str, ...]:
    return ("--folder", str(folder), "--keys", str(keys / "ground"))


def status(folder: Path, keys: Path) -> dict[str, Any]:
    (only,) = json.loads(ran("status", "--json", *ledger_options(folder, keys)))
    assert isinstance(only, dict)
    return only


def hello(client: GatewayClient, sequence: int = 0) -> Any:
    session = f"{sequence:032x}" if sequence else ""
    return client.hello(
        Hello(
            satellite="sat-1",
            flying=FLYING,
            clock=LAUNCH,
            queued_samples=0,
            queued_bytes=Bytes(0),
            sequence=sequence,
            session=session,
        )
    )


def send(client: GatewayClient, transfer: Transfer, most: int, sent: list[int]) -> Transfer:
    return client.send(transfer, memoryview(BUNDLE), Bytes(most), sent.append)


def test_a_gateway_says_its_ports_and_ends_cleanly_when_it_is_told_to(tmp_path: Path, keys: Path) -> None:
    with station(tmp_path, keys) as running:
        assert set(running.ports) == {"gateway", "datagrams", "cfdp", "admin"}
        assert running.ports["cfdp"] is None
        assert len({*running.ports.values()}) >= 3
        url = f"http://127.0.0.1:{running.ports['admin']}/healthz"
        assert httpx.get(url, trust_env=False).json() == {"status": "ok"}
        with running.client() as client:
            hello(client)
            running.process.terminate()
            _, logged = running.process.communicate(timeout=60)
        assert running.process.returncode == 0
        events = [json.loads(line) for line in logged.splitlines()]
        assert "contact" in {event["event"] for event in events}


def a_free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def test_a_bundle_sent_as_a_cfdp_file_is_in_the_ledger(tmp_path: Path, keys: Path) -> None:
    file, ours = tmp_path / "bundle", a_free_udp_port()
    file.write_bytes(BUNDLE)
    remotes = {"cfdp-port": 0, "cfdp-remotes": f"2=sat-1@127.0.0.1:{ours}"}
    with station(tmp_path / "ground", keys, **remotes) as running:
        send = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", "cfdp", "send", str(file)]
        send += ["--to", f"1=127.0.0.1:{running.ports['cfdp']}", "--listen", f"127.0.0.1:{ours}", "--entity", "2"]
        sent = subprocess.run([*send, "--rate", "50Mbit", "--json"], capture_output=True, text=True, check=False)
        assert sent.returncode == 0, sent.stderr
        assert json.loads(sent.stdout)["outcome"] == "delivered"
        told = status(tmp_path / "ground", keys)
        metrics = httpx.get(f"http://127.0.0.1:{running.ports['admin']}/metrics", trust_env=False).text
    assert (told["bundles"], told["samples"]) == (1, 60)
    assert f'orbitloop_payload_bytes_total{{direction="in",satellite="sat-1"}} {float(len(BUNDLE))}' in metrics


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "nobody would be heard"),
        (("--cfdp-remotes", "sat-1"), "write ENTITY=SATELLITE@HOST:PORT"),
        (("--cfdp-remotes", "1=sat-1@127.0.0.1:7002"), "not all different"),
    ],
    ids=["no remote", "no address", "our own entity"],
)
def test_cfdp_settings_that_cannot_work_are_one_line(
    tmp_path: Path, keys: Path, options: tuple[str, ...], words: str
) -> None:
    ports = ("--port", "0", "--admin-port", "0", "--cfdp-port", "0")
    assert words in refused("serve", *ledger_options(tmp_path, keys), *ports, *options)


def test_what_a_killed_gateway_acknowledged_is_never_sent_again(tmp_path: Path, keys: Path) -> None:
    sent: list[int] = []
    with station(tmp_path, keys) as first, first.client() as client:
        transfer = send(client, client.begin(DIGEST, Bytes(len(BUNDLE))), 200_000, sent)
        first.kill()
        with pytest.raises(LinkClosed):
            client.receipt(DIGEST)
    with station(tmp_path, keys) as second, second.client() as client:
        transfer = client.begin(DIGEST, Bytes(len(BUNDLE)))
        assert transfer.held.prefix == 200_000
        send(client, transfer, len(BUNDLE), sent)
        second.kill()
    with station(tmp_path, keys) as third, third.client() as client:
        receipt = client.receipt(DIGEST)
        assert receipt is not None
        assert receipt.samples == 60
    assert sum(sent) == len(BUNDLE)
    assert (status(tmp_path, keys)["bundles"], status(tmp_path, keys)["samples"]) == (1, 60)


def test_a_bundle_begun_at_one_station_goes_on_at_another(tmp_path: Path, keys: Path) -> None:
    sent: list[int] = []
    with station(tmp_path, keys) as here, station(tmp_path, keys) as there:
        with here.client() as client:
            hello(client, 1)
            transfer = send(client, client.begin(DIGEST, Bytes(len(BUNDLE))), 150_000, sent)
            assert transfer.held.prefix == 150_000
            here.kill()
        with there.client() as client:
            hello(client, 2)
            transfer = client.begin(DIGEST, Bytes(len(BUNDLE)))
            assert transfer.held.prefix == 150_000
            assert send(client, transfer, len(BUNDLE), sent).complete
            assert client.receipt(DIGEST) is not None
    assert sum(sent) == len(BUNDLE)
    assert status(tmp_path, keys)["samples"] == 60


def test_what_the_operator_says_reaches_the_satellite_with_its_next_hello(tmp_path: Path, keys: Path) -> None:
    update = tmp_path / "update"
    update.write_bytes(b"delta" * 1_000)
    options = ledger_options(tmp_path / "ground", keys)
    with station(tmp_path / "ground", keys) as running, running.client() as client:
        assert hello(client, 5).offer is None
        ran("priorities", "sat-1", "hard=2", "miss=1", *options)
        told = ran("publish", "sat-1", "--file", str(update), "--base", FLYING, "--result", NEXT, *options)
        ran("readmit", "sat-1", *options)
        welcome = hello(client, 1)
    assert welcome.offer.digest == json.loads(told)["digest"] == digest_of(update.read_bytes())
    assert welcome.priorities.factors == {"hard": 2, "miss": 1}
    assert status(tmp_path / "ground", keys)["sessions"] == 2


def test_keys_are_made_listed_renewed_and_revoked_by_one_command(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    ran("keys", folder, "--satellite", "sat-1", "--satellite", "sat-2", "--gateway-name", "127.0.0.1", "--days", "9")
    ran("keys", "renew", folder, "--satellite", "sat-2")
    ran("keys", "revoke", folder, "--satellite", "sat-1")
    listed = json.loads(ran("keys", "list", folder, "--json"))
    assert [(row["name"], row["revoked"]) for row in listed] == [
        ("gateway.orbitloop", False),
        ("sat-1", True),
        ("sat-2", False),
        ("sat-2", False),
    ]
    assert "sat-1" in ran("keys", "list", folder)
    assert "renew them" in refused("keys", folder, "--satellite", "sat-1")


def test_status_for_people_fits_a_screen_and_names_what_flies(tmp_path: Path, keys: Path) -> None:
    with station(tmp_path / "ground", keys) as running, running.client() as client:
        hello(client, 1)
        head, row = ran("status", *ledger_options(tmp_path / "ground", keys)).splitlines()
    shown = dict(zip(head.split(), row.split(), strict=True))
    assert FLYING.startswith(shown["flying"])
    assert datetime.fromisoformat(shown["last_contact"]).microsecond == 0
    assert len(row) < 160


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('folder = "x"\nkeys = "y"\nprot = 1\n', "no setting prot"),
        ('folder = "x"\nkeys = "y"\nport = "many"\n', "port"),
        ("folder = \n", "TOML"),
        ('folder = "x"\n', "keys"),
        ('folder = "x"\nkeys = "nowhere"\n', "orbitloop-ground keys"),
    ],
    ids=["unknown", "no number", "no TOML", "missing", "no keys"],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, config: str, says: str) -> None:
    path = tmp_path / "ground.toml"
    path.write_text(config.replace('"x"', f'"{tmp_path / "ground"}"'))
    said = refused("serve", "--config", str(path), "--admin-port", "0")
    (line,) = [line for line in said.splitlines() if not line.startswith("{")]
    assert says in line


@pytest.mark.parametrize("factor", ["hard", "hard=much", "hard=-1"])
def test_a_priority_that_is_none_is_refused(tmp_path: Path, keys: Path, factor: str) -> None:
    assert "hard" in refused("priorities", "sat-1", factor, *ledger_options(tmp_path, keys))
