"""The sky over the cluster: opens and closes the link as the contact plan says, and takes pictures.

A process of its own on this machine, from ``up`` to ``down``. It keeps nothing: killed and started again, it goes on.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hack.images.docker import Failed
from hack.kind import link
from hack.kind.programs import GROUND, Programs
from hack.kind.site import Folder
from hack.kind.views import views

from orbitloop.adapters.plans import WatchedPlan
from orbitloop.domain.contacts import ContactWindow

log = logging.getLogger("sky")

FRAMES = "/var/lib/orbitloop-frames"
_LOOK_EVERY = 0.5
_REST = 5.0
"""Seconds after something went wrong."""
_LOOK_AT_NODES_EVERY = 2.0
"""Seconds; asking Docker takes more than all the rest."""


def cut_file(folder: Folder, satellite: str) -> Path:
    """While it is there, a satellite has no link, whatever the plan says."""
    return folder.path / f"cut-{satellite}"


@dataclass(kw_only=True)
class Sky:
    """Link and camera of some satellites.

    Args:
        picture_every: seconds between two pictures of a satellite; 0: none are taken.
        pictures: most pictures of each satellite.
    """

    programs: Programs
    folder: Folder
    satellites: list[str]
    picture_every: float
    pictures: int
    _open: dict[str, bool] = field(default_factory=dict)
    _started: list[str] = field(default_factory=list)
    _ground: str = ""
    _next_picture: float = 0
    _next_look: float = 0

    def run(self) -> None:
        """Until it is told to end. What goes wrong is logged, and tried again."""
        plan = WatchedPlan(self.folder.plan, lambda windows: windows)
        while True:
            try:
                self._shape_what_started()
                self._follow(plan.current())
                self._take_pictures()
            except Failed as error:
                if self._nodes_are_gone():
                    log.info("the nodes are gone")
                    return
                log.warning("not now: %s", error)
                self._open.clear()
                time.sleep(_REST)
            time.sleep(_LOOK_EVERY)

    def _nodes_are_gone(self) -> bool:
        """Whether there are no such nodes any more, or others of their names: another sky looks after those."""
        told = ["ps", "-a", "--no-trunc", "--filter", f"name=^{GROUND}$", "--format", "{{.ID}}"]
        try:
            return self.programs.run(self.programs.docker, *told).split() != [self._ground]
        except Failed:
            return False  # the engine does not answer

    def _shape_what_started(self) -> None:
        """A node that was restarted has lost its queues, and perhaps its address."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_AT_NODES_EVERY
        nodes = [GROUND, *self.satellites]
        told = "{{.Id}} {{.State.Running}} {{.State.StartedAt}}"
        started = self.programs.run(self.programs.docker, "inspect", "-f", told, *nodes).split("\n")[: len(nodes)]
        ground = started[0].split()[0]
        if ground != (self._ground or ground):
            raise Failed("the nodes are others")
        self._ground = ground
        if started == self._started:
            return
        if all(" true " in one for one in started):
            link.shape(self.programs, self.satellites)
            self._open.clear()
            self._started = started
            log.info("link shaped")

    def _follow(self, windows: tuple[ContactWindow, ...]) -> None:
        now = datetime.now(UTC)
        for name in self.satellites:
            in_contact = any(window.satellite == name and window.aos <= now < window.los for window in windows)
            wanted = in_contact and not cut_file(self.folder, name).exists()
            if self._open.get(name) == wanted:
                continue
            act = link.restore if wanted else link.cut
            act(self.programs, name)
            self._open[name] = wanted
            log.info("%s: %s", name, "contact" if wanted else "out of contact")

    def _take_pictures(self) -> None:
        if not self.picture_every or time.monotonic() < self._next_picture:
            return
        self._next_picture = time.monotonic() + self.picture_every
        for name in self.satellites:
            taken = int(self.programs.inside(name, f"ls {FRAMES} | wc -l"))
            if taken < min(self.pictures, len(views())):
                view = views()[taken]
                place = f"{FRAMES}/{view.name}"
                self.programs.inside(name, f"cat >{place}.part && mv {place}.part {place}", given=view.jpeg())
                log.info("%s: picture %s", name, view.name)


def start(folder: Folder, arguments: list[str]) -> None:
    """Let it run beside this process, in place of one that runs already."""
    stop(folder)
    with (folder.path / "sky.log").open("ab") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "hack.kind", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
    (folder.path / "sky.pid").write_text(f"{process.pid} {_born(process.pid)}\n")


def stop(folder: Folder) -> None:
    """End it, if it runs."""
    running = _running(folder)
    if running is not None:
        os.kill(running, signal.SIGTERM)
        until = time.monotonic() + 10
        while _running(folder) is not None and time.monotonic() < until:
            time.sleep(0.05)
    (folder.path / "sky.pid").unlink(missing_ok=True)


def _running(folder: Folder) -> int | None:
    """Its process id, if it is this very process and not another that came to have the number."""
    try:
        number, _, born = (folder.path / "sky.pid").read_text().strip().partition(" ")
        return int(number) if born and _born(int(number)) == born else None
    except (OSError, ValueError):
        return None


def _born(process: int) -> str:
    """When a process began; empty if there is none."""
    asked = ["ps", "-o", "stat=,lstart=", "-p", str(process)]
    ran = subprocess.run(asked, capture_output=True, text=True, check=False)
    state, _, born = ran.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else born.strip()
