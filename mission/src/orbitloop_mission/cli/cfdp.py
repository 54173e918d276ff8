"""``orbitloop cfdp``: send and receive files by CCSDS File Delivery."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from orbitloop.domain.errors import BadInput, NotYet, Refused
from orbitloop.domain.units import BitsPerSecond
from orbitloop_mission.cli.commands import app
from orbitloop_mission.rates import read_rate

if TYPE_CHECKING:
    from orbitloop.adapters.cfdp.entity import CfdpEntity
    from orbitloop.adapters.cfdp.values import ReceivedFile, RemoteEntity, SendResult, TransactionKey

cfdp = typer.Typer(
    help="Send and receive files by CCSDS File Delivery (CFDP). It authenticates nobody: see docs/howto/cfdp.md.",
    no_args_is_help=True,
)
app.add_typer(cfdp, name="cfdp")

_STEP = 0.02


class _Heard:
    """What a command's entity reports."""

    def __init__(self, say: Any) -> None:
        self.over = threading.Event()
        self.files = 0
        self.result: SendResult | None = None
        self._say = say

    def received(self, file: ReceivedFile) -> None:
        self.files += 1
        self._say(
            {
                "transaction": str(file.key),
                "bytes": file.size,
                "digest": file.digest,
                "announced": file.announced,
                "path": str(file.path),
                "outcome": "received",
            }
        )

    def sent(self, result: SendResult) -> None:
        self.result = result
        self.over.set()

    def failed(self, key: TransactionKey, reason: str) -> None:
        self._say({"transaction": str(key), "outcome": "failed", "reason": reason})


@cfdp.command()
def send(
    file: Annotated[Path, typer.Argument(help="The file.")],
    to: Annotated[str, typer.Option(help="The receiver: ID=HOST:PORT.")],
    transfer_class: Annotated[int, typer.Option("--class", help="1 sends once, 2 repeats what is missing.")] = 2,
    closure: Annotated[bool, typer.Option("--closure", help="Class 1: ask how it ended.")] = False,
    rate: Annotated[str, typer.Option(help="Most that is sent, headers included: 1Mbit, 9600bit.")] = "1Mbit",
    entity: Annotated[int, typer.Option(help="Our entity id.")] = 2,
    listen: Annotated[str, typer.Option(help="Where we hear answers: HOST:PORT.")] = "0.0.0.0:0",  # peers are elsewhere
    state: Annotated[Path | None, typer.Option(help="Folder that keeps our sequence numbers.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send a file; exits 0 once the receiver holds it (class 1 without closure: once it is sent)."""
    from orbitloop.adapters.cfdp.values import Outcome, TransferClass
    from orbitloop.adapters.threads import ending_with_any_thread

    if transfer_class not in (1, 2):
        raise BadInput(f"--class {transfer_class}: CFDP has class 1 and 2")
    peer = _remote(to, read_rate("--rate", rate))
    heard = _Heard(lambda _: None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = state or Path(scratch)
        if state is None:
            # Numbers that follow the clock: no two runs of this command share one.
            folder.joinpath(".sequence").write_text(f"{int(time.time() * 16) % 2**32}\n")
        opened = _open(entity, listen, folder, (peer,), heard)
        key = opened.send(file, peer.id, transfer_class=TransferClass(transfer_class), closure=closure)
        with ending_with_any_thread(heard.over.set), opened:
            _show(opened, key, file, heard, Console(stderr=as_json))
    assert heard.result is not None
    result = heard.result
    told = {**asdict(result), "key": None, "transaction": str(result.key)}
    del told["key"]
    if as_json:
        typer.echo(json.dumps(told))
    else:
        typer.echo(f"{file}: {result.outcome}, {result.size} bytes, {result.resent} sent again; {result.reason}")
    if result.outcome is Outcome.REFUSED:
        raise Refused(f"{file} was not taken: {result.reason}")
    if result.outcome is Outcome.ABANDONED:
        raise NotYet(f"{file} did not arrive: {result.reason}; try again when the receiver can be heard")


@cfdp.command()
def receive(
    listen: Annotated[str, typer.Option(help="Where we listen: HOST:PORT.")],
    inbox: Annotated[Path, typer.Option(help="Folder of received files, each named by its SHA-256.")],
    entity: Annotated[int, typer.Option(help="Our entity id.")] = 1,
    remote: Annotated[
        list[str] | None, typer.Option(help="A sender, and where its answers go: ID=HOST:PORT; may be repeated.")
    ] = None,
    rate: Annotated[str, typer.Option(help="Most that is sent to each, headers included.")] = "1Mbit",
    files: Annotated[int, typer.Option(help="End after so many files; 0 never ends.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each file.")] = False,
) -> None:
    """Receive files until stopped."""
    peers = tuple(_remote(text, read_rate("--rate", rate)) for text in remote or ())
    if not peers:
        raise BadInput("nobody to receive from; give --remote ID=HOST:PORT")

    def say(told: dict[str, object]) -> None:
        typer.echo(json.dumps(told) if as_json else "  ".join(f"{name}={value}" for name, value in told.items()))

    heard = _Heard(say)
    opened = _open(entity, listen, inbox, peers, heard)
    host, port = opened.address
    typer.echo(f"listening on {host}:{port} as entity {entity}", err=True)
    try:
        while not (files and heard.files >= files and not opened.busy):
            opened.step(_STEP)
    finally:
        opened.close()


def _remote(text: str, rate: BitsPerSecond) -> RemoteEntity:
    from orbitloop.adapters.cfdp.values import remote_at

    id, equals, address = text.partition("=")
    if not equals or not id.isdecimal():
        raise BadInput(f"{text!r} names no CFDP entity; write ID=HOST:PORT, for instance 2=127.0.0.1:7002")
    return remote_at(int(id), address, rate)


def _open(entity: int, listen: str, folder: Path, remotes: Sequence[RemoteEntity], heard: _Heard) -> CfdpEntity:
    from orbitloop.adapters.cfdp.entity import CfdpEntity
    from orbitloop.adapters.cfdp.values import EntityId, EntitySettings, host_and_port

    host, port = host_and_port(listen)
    settings = EntitySettings(id=EntityId(entity), host=host, port=port, inbox=folder, remotes=tuple(remotes))
    return CfdpEntity(settings, heard)


def _show(opened: CfdpEntity, key: TransactionKey, file: Path, heard: _Heard, console: Console) -> None:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task(file.name, total=file.stat().st_size)
        while not heard.over.wait(0.1):
            done = opened.progress(key)
            if done is not None:
                progress.update(bar, completed=done)
