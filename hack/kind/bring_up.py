"""From nothing, or from whatever is there, to a ground and satellites with everything installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack import helm
from hack.images.definitions import images
from hack.images.docker import Failed
from hack.kind import cluster, link, site, sky
from hack.kind.footprint import settled_footprint
from hack.kind.programs import CLUSTER, CONTEXT, GROUND, Programs, check_docker
from hack.kind.site import NAMESPACE, Folder, Rhythm
from rich.console import Console

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "orbitloop"
_OFFLINE = ROOT / "hack" / "kind-offline"
_KUBEEDGE = ROOT / "hack" / "kubeedge" / "up.sh"
_GROUND_IMAGES = ("ground", "trainer", "transformer", "operators", "edge")
_EDGE_IMAGES = ("edge",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What should be there in the end.

    Args:
        satellites: how many.
        offline: everything is made here, of Debian's packages.
        node_image: of the nodes, where it is not kind's own or the one made here.
        kubeedge: satellites run edgecore in place of a kubelet.
        rhythm: of contacts.
        camera: arguments of the sky.
        settings: more of the satellites' satellite.toml.
    """

    satellites: int
    offline: bool
    node_image: str | None
    kubeedge: bool
    rhythm: Rhythm
    camera: tuple[str, ...]
    settings: str = ""


class Steps:
    """Says what is being done, and how long it took."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._began = time.monotonic()

    def do(self, what: str, act: Callable[[], Any], *, aloud: bool = False) -> Any:
        """Do one step. On a terminal a line turns while it lasts, unless the step says ``aloud`` how it gets on."""
        begun = time.monotonic()
        if aloud:
            self._console.print(f"  {what}:")
            done = act()
        else:
            with self._console.status(f"{what} …"):
                done = act()
        self._console.print(f"  [green]✓[/] {what}  [dim]{time.monotonic() - begun:.0f} s[/]")
        return done

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began


def programs_for(*, offline: bool, folder: Folder) -> Programs:
    """The programs that this cluster was made with, or those that are found. Raises :class:`Failed`."""
    told = folder.path / "programs.json"
    known: dict[str, str] = json.loads(told.read_text()) if told.exists() else {}
    if offline and not known:
        raise Failed("there is no cluster of this folder yet; make one by `make kind-up OFFLINE=1`")
    return Programs.found({name: place for name, place in known.items() if Path(place).exists()})


def bring_up(wanted: Wanted, folder: Folder) -> None:
    """Do what is left to do. Idempotent. Raises :class:`Failed`."""
    if not 1 <= wanted.satellites <= 9:
        raise Failed(f"{wanted.satellites} satellites: give 1 to 9; each is a container of its own")
    folder.path.mkdir(parents=True, exist_ok=True)
    steps = Steps()
    programs, image = _prepared(wanted, folder, steps)
    satellites = _nodes(programs, wanted, folder, image, steps)
    known = images()
    ours, flown = ([known[name].name for name in names] for names in (_GROUND_IMAGES, _EDGE_IMAGES))
    renewed = [
        steps.do("images on the ground", lambda: cluster.load(programs, ours, [GROUND])),
        steps.do("images on board", lambda: cluster.load(programs, flown, satellites)),
        steps.do("keys, contact plan, first model", lambda: _furnish(programs, wanted, folder, satellites)),
    ]
    steps.do("chart", lambda: _install(programs, folder, renewed=any(renewed)))
    steps.do("ground ready", lambda: _wait(programs, "deployment/orbitloop-operators", "statefulset/orbitloop-gateway"))
    steps.do("first satellite ready", lambda: _wait(programs, "daemonset/orbitloop-local-controller"))
    steps.do("first model known to the ground", lambda: _register(programs))
    programs.kube("apply", "-f", "-", given=site.contact_plan(folder))
    steps.do("space link", lambda: link.shape(programs, satellites))
    arguments = ["--folder", str(folder.path), "sky", *satellites, *wanted.camera]
    sky.start(folder, arguments)
    _say(programs, satellites, steps.seconds)


def take_down(programs: Programs, folder: Folder) -> None:
    """Take away sky and cluster; keys stay in the folder."""
    sky.stop(folder)
    for satellite in folder.path.glob("cut-*"):
        satellite.unlink()
    cluster.delete(programs)
    print(f"cluster {CLUSTER} is gone; images and {folder.path} stay")


def _prepared(wanted: Wanted, folder: Folder, steps: Steps) -> tuple[Programs, str | None]:
    """The programs, and the nodes' image."""
    image = wanted.node_image
    told: dict[str, str] = {}
    if wanted.offline:
        told = steps.do("node image, of Debian's packages", _built_offline, aloud=True)
        steps.do("helm, of npm's", helm.fill)
        image = image or told.pop("node_image")
    programs = Programs.found(told)
    check_docker(programs.docker)
    chosen = {"docker": programs.docker, "kind": programs.kind, "kubectl": programs.kubectl}
    (folder.path / "programs.json").write_text(json.dumps(chosen, indent=1))
    command = [sys.executable, "-m", "hack.images", "build", *(["--offline"] if wanted.offline else [])]
    steps.do("images of ours", lambda: _aloud([*command, *_GROUND_IMAGES], {"DOCKER": programs.docker}), aloud=True)
    return programs, image


def _built_offline() -> dict[str, str]:
    """Paths of programs, and the node image, as the scripts say at their end."""
    said = _aloud([str(_OFFLINE / "all.sh")], {})
    words = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return {name.lower(): words[name] for name in ("DOCKER", "KIND", "KUBECTL", "NODE_IMAGE")}


def _nodes(programs: Programs, wanted: Wanted, folder: Folder, image: str | None, steps: Steps) -> list[str]:
    if steps.do("cluster", lambda: cluster.exists(programs)):
        cluster.name_credentials(programs)
        if not folder.knows(cluster.identity(programs)):
            raise Failed(
                f"there is a cluster {CLUSTER} already, which {folder.path} has no keys of; go on from the folder that "
                "it was made from (--folder), or take it away: make kind-down"
            )
        sky.stop(folder)  # whatever the plan says, all nodes are in contact until everything is installed
        for satellite in cluster.satellites(programs):
            link.restore(programs, satellite)
    else:
        workers = 0 if wanted.kubeedge else wanted.satellites
        steps.do("nodes", lambda: cluster.create(programs, image=image, satellites=workers))
        folder.remember(cluster.identity(programs))
    if wanted.kubeedge:
        names = [f"{CLUSTER}-worker{number if number > 1 else ''}" for number in range(1, wanted.satellites + 1)]
        join = [str(_KUBEEDGE), CLUSTER, *names]
        steps.do("KubeEdge", lambda: _aloud(join, {"DOCKER": programs.docker}), aloud=True)
    found = cluster.satellites(programs)
    if len(found) != wanted.satellites:
        raise Failed(f"the cluster has {len(found)} satellites; for another number `make kind-down` first")
    steps.do("roles", lambda: cluster.give_roles(programs, found))
    steps.do("network and DNS", lambda: cluster.wait_until_ready(programs))
    return found


def _furnish(programs: Programs, wanted: Wanted, folder: Folder, satellites: list[str]) -> bool:
    new = site.make_keys(folder, satellites)
    site.make_plan(folder, wanted.rhythm, satellites)
    site.give_secrets(programs, folder)
    site.furnish_ground(programs)
    for satellite in satellites:
        site.furnish_satellite(programs, folder, satellite)
    site.chart_values(folder, satellites, wanted.settings)
    return new


def _install(programs: Programs, folder: Folder, *, renewed: bool) -> None:
    """The chart; what runs already begins anew if images or keys are ``renewed``, of which its pods do not tell."""
    before = programs.kube("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name").strip()
    running = (
        before and programs.kube("-n", NAMESPACE, "get", "deployments,statefulsets,daemonsets", "-o", "name").split()
    )
    programs.kube("apply", "-f", str(CHART / "crds"))  # helm installs definitions, and never changes them
    programs.run(
        programs.helm,
        *("--kube-context", CONTEXT, "upgrade", "--install", CLUSTER, str(CHART), "-n", NAMESPACE),
        *("-f", str(CHART / "values-kind.yaml"), "-f", str(folder.values)),
        seconds=300,
    )
    if renewed and running:
        programs.kube("-n", NAMESPACE, "rollout", "restart", *running)


def _wait(programs: Programs, *what: str) -> None:
    for one in what:
        try:
            programs.kube("-n", NAMESPACE, "rollout", "status", one, "--timeout=300s", seconds=320)
        except Failed as error:
            pods = programs.kube("-n", NAMESPACE, "get", "pods", "-o", "wide")
            raise Failed(f"{error}\n{pods}look at: kubectl -n {NAMESPACE} describe {one}") from None


def _register(programs: Programs) -> None:
    command = ["exec", "orbitloop-gateway-0", "-c", "gateway", "--", "orbitloop-ground", "register", "/data/model"]
    programs.kube("-n", NAMESPACE, *command)


def _say(programs: Programs, satellites: list[str], seconds: float) -> None:
    console = Console(highlight=False)
    console.print(f"\nready after {seconds:.0f} s: a ground, and {', '.join(satellites)} behind a space link\n")
    for one in settled_footprint(programs, satellites):
        console.print(f"  {one.size / 1e6:6.0f} MB  {one.pod} on {one.node}")
    kubectl = "kubectl" if shutil.which("kubectl") else programs.kubectl
    console.print(
        "\nTry:\n"
        f"  {kubectl} config use-context {CONTEXT}\n"
        f"  {kubectl} apply -f examples/02-incremental-learning/\n"
        "  .venv/bin/orbitloop watch\n"
        f"  {kubectl} apply -f examples/3-selection-logic/transformation.yaml\n"
        f"  {kubectl} get at,sel\n"
        "  make kind-down",
        soft_wrap=True,
    )


def _aloud(command: list[str], environment: dict[str, str]) -> str:
    """Run a program that says itself how it gets on; gives what it prints on standard output."""
    ran = subprocess.run(
        command, stdout=subprocess.PIPE, check=False, cwd=ROOT, env=os.environ | environment, text=True
    )
    if ran.returncode != 0:
        raise Failed(f"{Path(command[0]).name} failed, as said above")
    return ran.stdout
