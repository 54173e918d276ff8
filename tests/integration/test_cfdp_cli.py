"""``orbitloop cfdp`` as a user runs it: two processes and a file."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.domain.errors import BadInput
from orbitloop_mission.rates import read_rate

COMMAND = [sys.executable, "-c", "from orbitloop_mission.cli import main; main()", "cfdp"]


@pytest.mark.slow
@pytest.mark.parametrize("transfer_class", ["1", "2"])
def test_a_file_goes_from_one_process_to_another(tmp_path: Path, transfer_class: str) -> None:
    content = os.urandom(50_000)
    (tmp_path / "file.bin").write_bytes(content)
    sender_port = _free_port()
    receiver = subprocess.Popen(
        [
            *COMMAND,
            "receive",
            "--listen",
            "127.0.0.1:0",
            "--inbox",
            str(tmp_path / "in"),
            "--json",
            "--files",
            "1",
            "--entity",
            "1",
            "--remote",
            f"2=127.0.0.1:{sender_port}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert receiver.stderr is not None
    port = receiver.stderr.readline().split()[2].rpartition(":")[2]
    sender = subprocess.run(
        [
            *COMMAND,
            "send",
            str(tmp_path / "file.bin"),
            "--to",
            f"1=127.0.0.1:{port}",
            "--class",
            transfer_class,
            "--closure",
            "--listen",
            f"127.0.0.1:{sender_port}",
            "--rate",
            "10Mbit",
            "--json",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert sender.returncode == 0, sender.stderr
    told = json.loads(sender.stdout)
    assert (told["outcome"], told["size"], told["resent"]) == ("delivered", 50_000, 0)
    out, _ = receiver.communicate(timeout=60)
    came = json.loads(out)
    assert (came["transaction"], came["digest"], came["bytes"]) == (told["transaction"], digest_of(content), 50_000)
    assert (tmp_path / "in" / hexadecimal(digest_of(content))).read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["send", "missing.bin", "--to", "1=127.0.0.1:9"], "missing.bin"),
        (["send", __file__, "--to", "127.0.0.1:9"], "ID=HOST:PORT"),
        (["send", __file__, "--to", "1=127.0.0.1:9", "--class", "3"], "class 1 and 2"),
        (["send", __file__, "--to", "1=127.0.0.1:9", "--rate", "fast"], "--rate 'fast' is no rate"),
        (["receive", "--listen", "127.0.0.1:0", "--inbox", "in"], "--remote"),
        (["receive", "--listen", "nowhere", "--inbox", "in", "--remote", "2=a:1"], "HOST:PORT"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    run = subprocess.run([*COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith("orbitloop: ")
    assert run.stderr.count("\n") == 1
    assert words in run.stderr


def test_without_the_library_the_extra_is_named() -> None:
    script = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'cfdppy' else find(name, *rest)\n"
        "from orbitloop_mission.cli import main\n"
        "main()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, "cfdp", "send", __file__, "--to", "1=127.0.0.1:9"],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (run.returncode, "pip install 'orbitloop[cfdp]'" in run.stderr) == (2, True)


@pytest.mark.parametrize(("text", "rate"), [("1Mbit", 10**6), ("9.6kbit/s", 9_600), ("9600", 9_600), ("1Gbit", 10**9)])
def test_rates_are_read(text: str, rate: int) -> None:
    assert read_rate("--rate", text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1Mbit", "1Mbyte", "1 T", "nan"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no rate"):
        read_rate("--rate", text)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
