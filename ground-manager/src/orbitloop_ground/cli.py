"""``orbitloop-ground``: the gateway, its keys and its ledger, from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.updates import PublishedUpdate
from orbitloop_ground.app import (
    dataset_folder,
    exported_datasets,
    offer_selection,
    open_authority,
    open_blobs,
    opened_ledger,
    register_model,
    serve,
)
from orbitloop_ground.review_cli import add_reviews
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.agreement import agreements
from orbitloop_ground.usecases.products import export_products

Command = Callable[[argparse.Namespace], None]

_ACTIONS = ("list", "renew", "revoke")
_LONGEST_PAUSE_S = 86_400
_DIGEST_SHOWN = len("sha256:") + 12
"""Enough of a digest to tell models apart; ``--json`` has all of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 1 with a line on standard error that says why."""
    told = _parser().parse_args(_spelled(list(sys.argv[1:] if arguments is None else arguments)))
    command: Command = told.command
    try:
        command(told)
    except OrbitloopError as error:
        sys.stderr.write(f"orbitloop-ground: {error}\n")
        return 1
    return 0


def _spelled(arguments: list[str]) -> list[str]:
    """``keys FOLDER`` is short for ``keys make FOLDER``."""
    if len(arguments) > 1 and arguments[0] == "keys" and arguments[1] not in (*_ACTIONS, "make", "-h", "--help"):
        return ["keys", "make", *arguments[1:]]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orbitloop-ground", description="The ground of orbitloop.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_keys(commands)
    add_reviews(commands, _add_settings, _settings)
    for name, says, command in (
        ("priorities", "say what is wanted most of a satellite: hard=2 miss=1", _priorities),
        ("readmit", "let a satellite count its sessions from the start again", _readmit),
        ("publish", "offer an update to a satellite", _publish),
        ("offer-selection", "offer a selection logic (orbitloop transform) to a satellite", _offer_selection),
        ("status", "what the ledger knows of each satellite", _status),
        ("agreement", "how far labels by a teacher can be believed, round by round", _agreement),
        ("export-dataset", "append what came down from a satellite to a dataset that training reads", _export),
        ("export-products", "write out what came down from a satellite because its selection logic sent it", _products),
        ("register", "let the ground know the model that was installed on board", _register),
    ):
        made = commands.add_parser(name, help=says, description=says)
        _add_settings(made)
        made.set_defaults(command=command)
        if name in ("priorities", "readmit", "publish", "offer-selection"):
            made.add_argument("satellite")
        if name in ("export-dataset", "export-products"):
            made.add_argument("--satellite", required=True, metavar="NAME")
            made.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="made if it is not there")
            made.add_argument("--index", default="index.txt", metavar="FILE", help="in that folder (index.txt)")
        if name == "export-dataset":
            made.add_argument("--every", type=float, metavar="SECONDS", help="go on until SIGTERM; without it, once")
        if name == "offer-selection":
            made.add_argument("file", type=Path, metavar="FILE")
        if name == "register":
            made.add_argument("model", type=Path, metavar="FOLDER")
        if name == "priorities":
            made.add_argument("factors", nargs="+", metavar="REASON=FACTOR")
        if name == "publish":
            made.add_argument("--file", type=Path, required=True, help="the signed update")
            made.add_argument("--base", required=True, help="digest of the weights that must fly")
            made.add_argument("--result", required=True, help="digest of the weights that fly afterwards")
        if name in ("status", "agreement"):
            made.add_argument("--json", action="store_true")
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="settings as TOML")
    for name, field in GroundSettings.model_fields.items():
        option = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            parser.add_argument(option, action="store_true", default=None)
        elif "tuple" in str(field.annotation):
            parser.add_argument(option, nargs="*", default=None)
        else:
            parser.add_argument(option, default=None)


def _add_serve(commands: Any) -> None:
    says = "run the gateway until SIGTERM; its ports are one line of JSON on standard output"
    made = commands.add_parser("serve", help=says, description=says)
    _add_settings(made)
    made.set_defaults(command=_serve)


def _add_keys(commands: Any) -> None:
    keys = commands.add_parser("keys", help="make, list, renew and revoke keys", description="keys FOLDER makes them.")
    actions = keys.add_subparsers(required=True, metavar="FOLDER|list|renew|revoke")
    for name, command in (("make", _keys), ("list", _keys_list), ("renew", _keys_renew), ("revoke", _keys_revoke)):
        made = actions.add_parser(name)
        made.add_argument("folder", type=Path)
        made.add_argument("--days", type=int, default=5 * 365, help="how long new certificates hold")
        made.add_argument("--satellite", action="append", default=[], metavar="NAME")
        made.add_argument("--gateway-name", action="append", default=[], metavar="NAME")
        made.add_argument("--gateway", action="store_true", help="renew the gateways' certificate")
        made.add_argument("--json", action="store_true")
        made.set_defaults(command=command)


def _settings(told: argparse.Namespace) -> GroundSettings:
    given = {name: getattr(told, name) for name in GroundSettings.model_fields}
    return GroundSettings.read(told.config, {name: value for name, value in given.items() if value is not None})


def _serve(told: argparse.Namespace) -> None:
    serve(_settings(told))


def _keys(told: argparse.Namespace) -> None:
    authority = open_authority(told.folder, timedelta(days=told.days))
    authority.equip_ground(told.gateway_name)
    for name in told.satellite:
        authority.equip(name)


def _keys_renew(told: argparse.Namespace) -> None:
    if not (told.gateway or told.satellite):
        raise BadInput("renew what? name --satellite or --gateway")
    authority = open_authority(told.folder, timedelta(days=told.days))
    if told.gateway:
        authority.renew_gateway(told.gateway_name)
    for name in told.satellite:
        authority.renew(name)


def _keys_revoke(told: argparse.Namespace) -> None:
    if not told.satellite:
        raise BadInput("revoke whose keys? name --satellite")
    authority = open_authority(told.folder, timedelta(days=told.days))
    for name in told.satellite:
        authority.revoke(name)


def _keys_list(told: argparse.Namespace) -> None:
    identities = open_authority(told.folder, timedelta(days=told.days)).identities()
    rows = [
        {
            "name": identity.name,
            "role": identity.role.value,
            "serial": f"{identity.serial:x}",
            "expires": identity.expires.isoformat(),
            "revoked": identity.revoked,
        }
        for identity in identities
    ]
    _say(rows, as_json=told.json)


def _priorities(told: argparse.Namespace) -> None:
    factors = dict(_factor(text) for text in told.factors)
    with opened_ledger(_settings(told)) as ledger:
        ledger.set_priorities(told.satellite, factors)


def _offer_selection(told: argparse.Namespace) -> None:
    sys.stdout.write(f"{offer_selection(_settings(told), told.satellite, told.file)}\n")


def _factor(text: str) -> tuple[str, float]:
    reason, _, factor = text.partition("=")
    try:
        return reason, float(factor)
    except ValueError:
        raise BadInput(f"{text!r} is no priority; write a reason and a number, as hard=2") from None


def _readmit(told: argparse.Namespace) -> None:
    with opened_ledger(_settings(told)) as ledger:
        if not ledger.readmit(told.satellite):
            raise BadInput(f"{told.satellite} has counted no session yet; there is nothing to readmit it to")


def _publish(told: argparse.Namespace) -> None:
    try:
        data = told.file.read_bytes()
    except OSError as error:
        raise BadInput(f"{told.file}: cannot be read ({error.strerror})") from error
    update = PublishedUpdate(
        satellite=told.satellite,
        digest=digest_of(data),
        size=Bytes(len(data)),
        base=Digest(told.base),
        result=Digest(told.result),
        path=told.file,
    )
    with opened_ledger(_settings(told)) as ledger:
        ledger.publish_update(update)
    sys.stdout.write(json.dumps({"digest": update.digest, "size": update.size}) + "\n")


def _export(told: argparse.Namespace) -> None:
    if told.every is not None and not 0 < told.every <= _LONGEST_PAUSE_S:
        raise BadInput(f"--every {told.every:g}: write seconds, more than 0 and at most {_LONGEST_PAUSE_S}")
    every = None if told.every is None else timedelta(seconds=told.every)
    lines = -1
    for export in exported_datasets(_settings(told), told.satellite, dataset_folder(told.to, told.index), every):
        if export.lines != lines:
            lines = export.lines
            sys.stdout.write(json.dumps({"index": export.path, "lines": lines}) + "\n")
            sys.stdout.flush()


def _products(told: argparse.Namespace) -> None:
    settings, folder = _settings(told), dataset_folder(told.to, told.index)
    with opened_ledger(settings) as ledger:
        lines = export_products(ledger, open_blobs(settings), told.satellite, folder)
    sys.stdout.write(json.dumps({"index": folder.index, "lines": lines}) + "\n")


def _register(told: argparse.Namespace) -> None:
    sys.stdout.write(json.dumps({"digest": register_model(_settings(told), told.model)}) + "\n")


def _status(told: argparse.Namespace) -> None:
    with opened_ledger(_settings(told)) as ledger:
        rows = [asdict(summary) for summary in ledger.summaries()]
    _say(rows, as_json=told.json)


def _agreement(told: argparse.Namespace) -> None:
    with opened_ledger(_settings(told)) as ledger:
        rows = [asdict(agreement) for agreement in agreements(ledger.labelled())]
    _say(rows, as_json=told.json)


def _say(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(rows, default=str) + "\n")
        return
    if not rows:
        return
    shown = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[place]) for line in shown) for place in range(len(shown[0]))]
    for line in shown:
        sys.stdout.write("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={count}" for name, count in value.items()) or "-"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[:_DIGEST_SHOWN]
    return "-" if value is None else str(value)
