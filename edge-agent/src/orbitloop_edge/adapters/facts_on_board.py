"""What a doctor sees on board: files, ports, and the stations that are called. Nothing is changed by looking."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from orbitloop.domain.errors import BadInput
from orbitloop.ports.workers import WorkerStatus
from orbitloop.wire.messages import Trust
from orbitloop_edge.adapters.credentials import GATEWAY_NAME, read_credentials
from orbitloop_edge.usecases.checks_on_board import KEY_FILES, Call, Certificate, Folder, KeyFile, Port, Step

_PATIENCE_S = 10.0
_AT_HOME_S = 2.0
_HARMLESS = "/v1/bundles/doctor/receipt"
"""Asks who we are before it finds that there is no such bundle."""
_WRITTEN = ("status.json", "worker.json", "sessions/last", "spool/spool.db")
"""Files of the satellite's folder that are written as time goes by."""


def key_files(folder: Path) -> tuple[KeyFile, ...]:
    """The files that a folder of keys should hold."""
    return tuple(_key_file(folder / name) for name in KEY_FILES)


def _key_file(path: Path) -> KeyFile:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return KeyFile(name=path.name, mode=None)
    except PermissionError:  # the folder itself is closed, or one above it
        return KeyFile(name=path.name, mode=0, owner=_owner(path.parent), readable=False)
    readable = os.access(path, os.R_OK)
    return KeyFile(name=path.name, mode=found.st_mode & 0o777, owner=found.st_uid, readable=readable)


def _owner(folder: Path) -> int:
    try:
        return folder.stat().st_uid
    except PermissionError:
        return 0


def certificate(folder: Path) -> Certificate:
    """What the certificate in a folder of keys says, and whether all keys go together."""
    try:
        credentials = read_credentials(folder)
        shown, authority = (
            x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in ("satellite.pem", "authority.pem")
        )
    except (BadInput, OSError, ValueError) as error:
        return Certificate(problem=str(error))
    begins, ends = shown.not_valid_before_utc, shown.not_valid_after_utc
    vouched = True
    try:
        shown.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        vouched = False
    return Certificate(satellite=credentials.satellite, begins=begins, ends=ends, vouched=vouched)


def folder(path: Path) -> Folder:
    """The satellite's folder, or the camera's."""
    there = next((place for place in (path, *path.parents) if _exists(place)), Path("/"))
    disk = os.statvfs(there)
    stamps = [stamp for name in _WRITTEN if (stamp := _written(path / name)) is not None]
    return Folder(
        path=str(path),
        exists=there == path,
        owner=there.stat().st_uid,
        writable=os.access(there, os.W_OK | os.X_OK),
        free=disk.f_bavail * disk.f_frsize,
        spooled=sum(_sizes(path / "spool")),
        last_written=max(stamps, default=None),
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


def _sizes(spool: Path) -> Iterable[int]:
    for place, _, names in os.walk(spool):
        for name in names:
            try:
                yield (Path(place) / name).stat().st_size
            except OSError:  # sent meanwhile
                continue


def trust_said(path: Path) -> Trust | None:
    """What the worker said last of the models on board, as the Local Controller in the folder ``path`` knows it."""
    try:
        return WorkerStatus.model_validate_json((path / "worker.json").read_bytes()).telemetry.trust
    except (OSError, ValueError):
        return None


def call(station: str, url: str, keys: Path, now: Callable[[], datetime]) -> Call:
    """Call a gateway, and ask it something that changes nothing.

    Args:
        station: its name.
        url: ``https://host:port``.
        keys: the satellite's folder of keys.
        now: the time on board.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443

    def failed(step: Step, problem: str) -> Call:
        return Call(station=station, address=f"{host}:{port}", failed=step, problem=problem)

    try:
        context = read_credentials(keys).tls
    except BadInput as error:
        return failed(Step.TRUSTED, str(error))
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return failed(Step.RESOLVES, f"{host} has no address ({error.strerror or error})")
    try:
        with (
            socket.create_connection((host, port), timeout=_PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=GATEWAY_NAME) as sealed,
        ):
            try:
                status, date = _asked(sealed)
            except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):  # a signal that is lost says nothing
                return failed(Step.TRUSTED, "the gateway hangs up: it does not take this satellite's certificate")
    except (OSError, http.client.HTTPException) as error:
        return failed(*_blamed(error))
    if status in {401, 403}:
        return failed(Step.TRUSTED, f"the gateway turns this satellite away ({status}): its certificate was revoked")
    try:
        ground = None if date is None else parsedate_to_datetime(date)
    except ValueError:
        ground = None
    return Call(station=station, address=f"{host}:{port}", ground_time=ground, at=now())


def _blamed(error: Exception) -> tuple[Step, str]:
    """The step that failed, and why."""
    match error:
        case ssl.SSLCertVerificationError():
            return Step.TRUSTED, f"whoever answers is not the ground ({error.verify_message})"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Step.CONNECTS, "it takes the call and hangs up"
        case ssl.SSLError():
            return Step.TRUSTED, f"TLS fails ({error.reason or error})"
        case OSError():
            return Step.CONNECTS, f"nobody answers ({error.strerror or error})"
        case _:
            return Step.CONNECTS, f"it answers, and not in HTTP ({error})"


def _asked(sealed: ssl.SSLSocket) -> tuple[int, str | None]:
    """Status and date of an answer."""
    connection = http.client.HTTPConnection(GATEWAY_NAME)
    connection.sock = sealed
    connection.request("GET", _HARMLESS)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("Date")


def port_holder(listen: str, port: int) -> Port:
    """Who has the Local Controller's port."""
    host = "127.0.0.1" if listen in {"0.0.0.0", "::"} else listen  # noqa: S104  # compared, not bound
    if not is_open(host, port):
        return Port.FREE
    connection = http.client.HTTPConnection(host, port, timeout=_AT_HOME_S)
    try:
        connection.request("GET", "/v1/state")
        said = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return Port.TAKEN
    finally:
        connection.close()
    return Port.OURS if isinstance(said, dict) and "eventsWaiting" in said else Port.TAKEN


def is_open(host: str, port: int) -> bool:
    """Whether somebody listens at a TCP port of this machine."""
    try:
        socket.create_connection((host, port), timeout=_AT_HOME_S).close()
    except OSError:
        return False
    return True
