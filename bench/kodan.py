"""Value per pass: what an application fitted to a computer brings down, beside bent pipe, direct deploy and an oracle.

For each application, seed and hardware target: contexts, networks and selection logic are made of the frames to learn
from and to choose by, then judged on frames of other ground (for ships of other scenes with each seed), on a link that
carries half of what is of high value (and, beside it, a quarter and all of it). Every peer sends its products before
raw frames. ``alone`` is the same with one technique only: order (the reference at its own tiles, the surest cells
first), tiling (at other numbers of tiles), specialisation (small networks, at the reference's tiles), elision (the
reference at its own tiles, or none).

    python -m bench.kodan [--seeds 2] [--only ships,airplanes,clouds] [--for MINUTES]

Clouds need ``../shared/data/planet_amazon`` beside the checkout and are left out, and this said, where it is missing.
Times are the targets' profiles; ``orbitloop_mission/transformation/targets`` says which were measured. Figures are kept
in ``build/bench/kodan`` as they are found; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from bench.cells import Cells, Figure, Figures
from bench.intervals import interval
from rich import box
from rich.console import Console
from rich.table import Table

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.density import Downlink, processed
from orbitloop.domain.detection import Floats
from orbitloop.domain.hardware import HardwareTarget
from orbitloop.domain.resampling import Pixels
from orbitloop.domain.selection import REFERENCE, Action, Run
from orbitloop_edge.adapters.imagery import resampled
from orbitloop_edge.adapters.onnx_networks import OnnxNetwork
from orbitloop_ground.adapters.transformation.applications import (
    Application,
    Frame,
    Frames,
    Reference,
    network_reference,
)
from orbitloop_ground.adapters.transformation.choosing import Chosen, Verdict, half_of_the_value, judge, search
from orbitloop_ground.adapters.transformation.evidence import Evidence
from orbitloop_ground.adapters.transformation.fitting import Effort, Fitted, Fitting
from orbitloop_ground.adapters.transformation.frames import coco_frames
from orbitloop_ground.adapters.transformation.holding_out import choose
from orbitloop_mission.transformation.catalogue import (
    CLOUDS_DATA,
    SHIP_MARGIN,
    SHIPS,
    SHIPS_DATA,
    Applications,
    application,
    held_out,
)
from orbitloop_mission.transformation.profiles import read_target

OUT = Path("build/bench")
TARGETS = ("one-core", "raspberry-pi-4", "jetson-15w")
LINKS = {"half": 1.0, "quarter": 0.5, "all": 2.0}
"""Capacity by that of the first link, which carries half of what is of high value."""
PEERS = ("ours", "bent_pipe", "direct_deploy", "oracle")
ALONE = ("order", "tiling", "specialisation", "elision")
AIM, BENT, NEAR, ENGINE = 0.91, 0.48, 0.02, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique:
    """One technique alone: the numbers of tiles and the actions that it may choose from; ``None``: every number."""

    tilings: tuple[int, ...] | None
    allowed: Callable[[Action], bool]


def techniques(given: Application) -> dict[str, Technique]:
    """The techniques one by one, for an application."""
    is_a_network = given.reference is None or given.reference.graph is not None
    own = (given.reference_tiles if is_a_network else given.geometry.tilings[-2],)
    return {
        "tiling": Technique(tilings=None, allowed=lambda action: isinstance(action, Run) and _is_reference(action)),
        "specialisation": Technique(tilings=own, allowed=lambda action: isinstance(action, Run)),
        "order": Technique(tilings=own, allowed=lambda action: isinstance(action, Run) and _is_reference(action)),
        "elision": Technique(tilings=own, allowed=lambda action: not isinstance(action, Run) or _is_reference(action)),
    }


def _is_reference(action: Run) -> bool:
    return action.model == REFERENCE


class Bench:
    """Measures cell by cell until the time is over."""

    def __init__(self, minutes: float, console: Console) -> None:
        self._until = time.monotonic() + 60 * minutes
        self._console = console
        self._cells = Cells(OUT / "kodan")
        self._looked: dict[str, Floats] = {}
        self._references: dict[str, Reference] = {}

    def run(self, name: Applications, seed: int) -> list[Figures] | None:
        """The figures of one application and seed, a target each; ``None`` where the time is over."""
        effort = Effort(seed=seed)
        digest = hashlib.sha256(json.dumps(asdict(effort), sort_keys=True).encode()).hexdigest()[:12]
        profiles = hashlib.sha256(repr([read_target(target) for target in TARGETS]).encode()).hexdigest()[:12]
        key: dict[str, Figure] = {
            "application": name.value,
            "seed": seed,
            "effort": digest,
            "profiles": profiles,
            "peers": "direct at 0.5 too",
        }
        keys = {target: {**key, "target": target} for target in TARGETS}
        if not all(self._cells.has(each) for each in keys.values()):
            if time.monotonic() > self._until:
                return None
            self._measure(name, effort, keys)
        return [self._cells.get(each, _missing) for each in keys.values()]

    def _measure(self, name: Applications, effort: Effort, keys: Mapping[str, Mapping[str, Figure]]) -> None:
        given = application(name, seed=effort.seed)
        if name is Applications.SHIPS:
            scenes = coco_frames(SHIPS_DATA, SHIPS, margin=SHIP_MARGIN)
            given = replace(given, frames=held_out(turned(scenes, effort.seed)))
        reference = self._reference(f"{name}-{effort.seed}" if name is Applications.SHIPS else name, given)
        fitting = Fitting(replace(given, reference=reference), effort, OnnxNetwork, resampled, told=self._told)
        fitted = fitting.run()
        test = fitting.evidence(fitted, given.frames.test)
        for target, key in keys.items():
            self._cells.get(key, partial(figures_of, fitted, test, read_target(target)))

    def _reference(self, name: str, given: Application) -> Reference | None:
        """The application as it comes, the same for all seeds of the same ground: trained once, and kept."""
        if given.reference is not None:
            return replace(given.reference, look=lambda pixels: self._look(given, pixels))
        path = OUT / "kodan" / f"{name}-reference.onnx"
        if not path.exists():
            self._told(f"training the reference of {name}")
            trained = Fitting(given, Effort(), OnnxNetwork, resampled).trained_reference()
            write_durably(path, trained)
        graph = path.read_bytes()
        return network_reference(graph, OnnxNetwork(graph), given.geometry, given.reference_tiles, resampled)

    def _look(self, given: Application, pixels: Pixels) -> Floats:
        """What a slow reference says of a frame, asked once for all seeds."""
        assert given.reference is not None
        name = hashlib.sha256(pixels.tobytes()).hexdigest()
        if name not in self._looked:
            self._looked[name] = given.reference.look(pixels)
        return self._looked[name]

    def _told(self, line: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {line}", highlight=False)


def turned(frames: Frames, seed: int) -> Frames:
    """Other scenes to learn from, to choose by and to judge by, each seed; as the set is divided for seed 0.

    One division of twelve scenes has a port and a half in it that decide.
    """
    scenes: dict[str, list[Frame]] = {}
    for frame in [*frames.test, *frames.train, *frames.val]:
        scenes.setdefault(scene_of(frame), []).append(frame)
    tests, vals = (len({scene_of(frame) for frame in part}) for part in (frames.test, frames.val))
    at = tests * seed % len(scenes)
    order = [*scenes.values()][at:] + [*scenes.values()][:at]
    parts = order[:tests], order[tests : len(order) - vals], order[len(order) - vals :]
    test, train, val = ([frame for scene in part for frame in scene] for part in parts)
    return Frames(train=train, val=val, test=test)


def scene_of(frame: Frame) -> str:
    """The scene that a frame was cut from."""
    return frame.name.partition("@")[0]


def _missing() -> Figures:
    raise AssertionError("measured before it is asked for")


def figures_of(fitted: Fitted, test: Evidence, target: HardwareTarget) -> Figures:
    """One target: ours, the peers, each technique alone, and other links."""
    main = half_of_the_value(fitted)
    chosen = choose(fitted, target, main)
    verdict = judge(fitted, chosen, test)
    found: Figures = {
        "ours": verdict.density,
        "bent_pipe": verdict.peers.bent_pipe,
        "direct_deploy": verdict.peers.direct_deploy,
        "direct_at_half": verdict.peers.direct_at_half,
        "oracle": verdict.peers.oracle,
        "frame_seconds": verdict.seconds,
        "direct_seconds": verdict.peers.direct_seconds,
        "deadline_seconds": main.deadline,
        "processed": processed(verdict.seconds, main.deadline),
        "meets": chosen.point.meets and verdict.seconds <= main.deadline,
        "says_it_cannot": not chosen.point.meets,
        "engine_share": verdict.engine_seconds / verdict.seconds,
        "engine_of_deadline": verdict.engine_seconds / main.deadline,
        "expected": chosen.point.density,
        "tiles": chosen.logic.tiles,
        "contexts": len(fitted.contexts),
        "capacity": main.capacity,
        "logic": logic_text(chosen),
    }
    for name, technique in techniques(fitted.application).items():
        only = search(fitted, target, main, allowed=technique.allowed, tilings=technique.tilings)
        found[f"alone_{name}"] = judge(fitted, only, test).density
    for name, factor in LINKS.items():
        link = Downlink(capacity=min(1.0, main.capacity * factor), deadline=main.deadline)
        there = verdict if factor == 1 else judge(fitted, choose(fitted, target, link), test)
        found |= {f"{name}_{key}": value for key, value in densities(there).items()}
    return found


def densities(verdict: Verdict) -> dict[str, float]:
    """Ours and the peers'."""
    peers = verdict.peers
    return {
        "ours": verdict.density,
        "bent_pipe": peers.bent_pipe,
        "direct_deploy": peers.direct_deploy,
        "oracle": peers.oracle,
    }


def logic_text(chosen: Chosen) -> str:
    """The table in a line."""
    return "; ".join(f"{context}: {_action_text(action)}" for context, action in chosen.logic.table.items())


def _action_text(action: Action) -> str:
    return f"{action.model}>{action.threshold:g}" if isinstance(action, Run) else type(action).__name__.lower()


def document_of(measured: dict[str, list[list[Figures]]]) -> dict[str, object]:
    """``kodan.json``: a case an application and target, means over seeds."""
    cases = []
    for name, seeds in measured.items():
        for place, target in enumerate(TARGETS):
            cases.append(case_of(name, target, [figures[place] for figures in seeds]))
    return {"cases": cases, "link": "carries half of what is of high value", "targets": list(TARGETS)}


def case_of(name: str, target: str, found: Sequence[Figures]) -> dict[str, object]:
    """One case, over its seeds."""

    def mean(key: str) -> float:
        return round(interval([float(figures[key] or 0) for figures in found])[0], 6)

    profile = read_target(target)
    return {
        "application": name,
        "target": target,
        "provenance": profile.provenance.value,
        "density": {key: mean(key) for key in PEERS},
        "half_interval": round(interval([float(figures["ours"] or 0) for figures in found])[1], 6),
        "frame_seconds": mean("frame_seconds"),
        "deadline_seconds": mean("deadline_seconds"),
        "direct_seconds": mean("direct_seconds"),
        "direct_at_half": mean("direct_at_half"),
        "processed": mean("processed"),
        "meets": all(figures["meets"] for figures in found),
        "says_it_cannot": any(figures["says_it_cannot"] for figures in found),
        "seeds": len(found),
        "alone": {each: mean(f"alone_{each}") for each in ALONE},
        "engine_share": mean("engine_share"),
        "engine_of_deadline": mean("engine_of_deadline"),
        "links": {link: {key: mean(f"{link}_{key}") for key in PEERS} for link in LINKS},
        "logics": [figures["logic"] for figures in found],
        "tiles": [figures["tiles"] for figures in found],
    }


def show(document: dict[str, object], console: Console) -> None:
    """The table, and which aims were met."""
    cases = document["cases"]
    assert isinstance(cases, list)
    densities = Table("", "target", "ours", "bent pipe", "direct", "oracle", "±", "at 0.5", box=box.SIMPLE)
    times = Table("", "target", "order", "tiling", "special.", "elision", "s", "deadline", "engine", box=box.SIMPLE)
    for case in cases:
        named = case["application"], case["target"]
        values = [*case["density"].values(), case["half_interval"], case["direct_at_half"]]
        densities.add_row(*named, *(f"{value:.3f}" for value in values))
        alone = [f"{value:.3f}" for value in case["alone"].values()]
        seconds = (f"{case['frame_seconds']:.4f}", f"{case['deadline_seconds']:.4f}")
        times.add_row(*named, *alone, *seconds, f"{case['engine_share']:.1%}")
    console.print("data value density", densities, "each technique alone, and time", times)
    for aim, met in aims(cases).items():
        console.print(f"{aim}: {'met' if met else 'missed'}", highlight=False)


def aims(cases: Sequence[dict[str, dict[str, float]]]) -> dict[str, bool]:
    """What is wanted, and whether it is so."""

    def ratio(case: dict[str, dict[str, float]]) -> float:
        return case["density"]["ours"] / case["density"]["oracle"]

    clouds = [case for case in cases if str(case["application"]) == Applications.CLOUDS]
    return {
        "never below bent pipe": all(case["density"]["ours"] >= case["density"]["bent_pipe"] for case in cases),
        "never below direct deploy": all(case["density"]["ours"] >= case["density"]["direct_deploy"] for case in cases),
        f"at least {AIM} where a bent pipe has about {BENT} (clouds)": bool(clouds)
        and all(case["density"]["ours"] >= AIM for case in clouds),
        f"within {NEAR:.0%} of the oracle, everywhere": all(ratio(case) >= 1 - NEAR for case in cases),
        "the deadline is met, or it is said that it cannot be": all(
            case["meets"] or case["says_it_cannot"] for case in cases
        ),
        f"the engine takes at most {ENGINE:.0%} of the frame's time": all(
            float(str(case["engine_share"])) <= ENGINE for case in cases
        ),
    }


def main() -> None:
    """Measure, print, write ``build/bench/kodan.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default=",".join(Applications))
    parser.add_argument("--for", dest="minutes", type=float, default=1e9)
    arguments = parser.parse_args()
    console = Console()
    bench = Bench(arguments.minutes, console)
    measured: dict[str, list[list[Figures]]] = {}
    for seed in range(arguments.seeds):
        for name in map(Applications, arguments.only.split(",")):
            if name is Applications.CLOUDS and not CLOUDS_DATA.exists():
                console.print(f"{CLOUDS_DATA} is not there: clouds are left out")
                continue
            figures = bench.run(name, seed)
            if figures is None:
                console.print(f"{name}, seed {seed}: no time left; the same command goes on")
                continue
            measured.setdefault(name.value, []).append(figures)
    document = document_of(measured)
    write_durably(OUT / "kodan.json", (json.dumps(document, indent=2) + "\n").encode())
    show(document, console)


if __name__ == "__main__":
    main()
