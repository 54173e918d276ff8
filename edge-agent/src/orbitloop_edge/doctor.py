"""The composition root of the doctor on board: looks at the satellite and its node, and has it judged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from orbitloop.adapters.plans import read_plan
from orbitloop.adapters.wall_clock import WallClock
from orbitloop.domain.errors import BadInput
from orbitloop.domain.findings import Finding, well
from orbitloop.ports.clock import Clock
from orbitloop_edge.adapters.facts_of_kubeedge import Places, edge_node
from orbitloop_edge.adapters.facts_on_board import call, certificate, folder, key_files, port_holder, trust_said
from orbitloop_edge.adapters.slot_state import read_state
from orbitloop_edge.controller import RESERVE
from orbitloop_edge.satellite_file import INFERENCE, SatelliteFile, read_satellite_file
from orbitloop_edge.usecases import checks_of_kubeedge, checks_on_board
from orbitloop_edge.usecases.checks_on_board import OnBoard
from orbitloop_edge.usecases.passes import Itinerary

__all__ = ["Asked", "Places", "examined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is looked at.

    Args:
        config: ``satellite.toml``; ``None``: only the node.
        places: where things are on the node.
        kubeedge: whether there has to be a KubeEdge; else it is looked at where ``edgecore.yaml`` is.
        image: what the Local Controller runs from; any registry will do.
    """

    config: Path | None = None
    places: Places = Places()
    kubeedge: bool = False
    image: str = ""


def examined(asked: Asked) -> tuple[Finding, ...]:
    """All findings on this node."""
    satellite = ""
    findings: tuple[Finding, ...] = ()
    if asked.config is not None:
        seen = on_board(asked.config, WallClock())
        satellite, findings = seen.satellite, checks_on_board.examined(seen)
    edgecore = asked.places.seen(asked.places.edgecore)
    if not asked.kubeedge and not edgecore.exists():
        return (*findings, well("KubeEdge", f"none on this node: there is no {edgecore}"))
    image = asked.image or f"orbitloop-edge:{version('orbitloop-edge')}"
    return (*findings, *checks_of_kubeedge.examined(edge_node(asked.places, image, satellite)))


def on_board(config: Path, clock: Clock) -> OnBoard:
    """What is seen of the satellite of ``config``."""
    now, user = clock.now(), os.geteuid()
    try:
        file = read_satellite_file(config)
    except BadInput as error:
        return OnBoard(now=now, user=user, config=str(config), config_problem=str(error))
    itinerary, plan_problem = _itinerary(file)
    model, model_problem = _model(file)
    keys = key_files(file.keys)
    usable = all(key.mode is not None and key.readable for key in keys)
    controller = file.local_controller
    return OnBoard(
        now=now,
        user=user,
        config=str(config),
        satellite=file.satellite,
        keys_folder=str(file.keys),
        keys=keys,
        certificate=certificate(file.keys) if usable else None,
        folder=folder(file.folder),
        spool_budget=file.spool_budget_bytes,
        reserve=RESERVE,
        model=model,
        model_problem=model_problem,
        trust=trust_said(file.folder),
        frames=folder(file.worker.frames) if file.worker.command == INFERENCE else None,
        planned=file.contacts.plan is not None,
        itinerary=itinerary,
        plan_problem=plan_problem,
        calls=tuple(call(name, table.gateway, file.keys, clock.now) for name, table in file.stations.items())
        if usable
        else (),
        port=None if controller is None else (controller.port, port_holder(controller.listen, controller.port)),
    )


def _itinerary(file: SatelliteFile) -> tuple[Itinerary | None, str]:
    plan = file.contacts.plan
    if plan is None:
        return None, ""
    try:
        return Itinerary.of(read_plan(plan), file.satellite, tuple(file.stations)), ""
    except BadInput as error:
        return None, str(error)


def _model(file: SatelliteFile) -> tuple[str | None, str]:
    if file.worker.command != INFERENCE:
        return None, ""
    try:
        return read_state(file.folder / "slots").flying, ""
    except (BadInput, OSError) as error:
        return None, str(error)
