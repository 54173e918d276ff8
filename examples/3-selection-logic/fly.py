"""Fly a selection logic: ground, space link and satellite as processes, two passes, and what they brought of value."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bent_pipe import BentPipe
from scenes import Frame, frames, products, value_of_products, value_of_stream

from orbitloop.adapters.wall_clock import WallClock

BIN = Path(sys.executable).parent
MODEL = Path(__file__).parents[1] / "models" / "airplane-1m"
RATE = 100_000
"""Of the downlink, bit/s."""
SHARE = 0.1
"""Of the captured bytes, that the passes carry together."""
PASSES, APART_S = 2, 3.0
"""So many, with so long a pause in between: what one cuts, the next goes on with."""
GENEROUS_S = 300.0
LEAD_S = 12.0
"""From the opening of the link to the first pass: the satellite looks at its plan every five seconds."""
LAUNCH = datetime(2026, 1, 1, tzinfo=UTC)

SATELLITE = """\
satellite = "sat-1"
folder = "satellite"
keys = "{keys}"
layer = "http"

[stations.Tongchuan]
gateway = "https://127.0.0.1:{link}"

[contacts]
plan = "passes.csv"
senders = 1

[link]
downlink_bits_per_second = {rate}
downlink_share = 1e-9               # nothing to learn from: the passes are for what is of value
reserve_percent = 12
codec = "png"                       # lossless, as the frames are

[worker]
threads = 1
selection_alone = true
"""


class Flight:
    """The processes of a flight in a folder, and what they say.

    Args:
        work: folder of the logic and the keys; the flight's own is made anew in it.
        stack: ends the processes.
    """

    def __init__(self, work: Path, stack: ExitStack) -> None:
        self.work, self.folder, self._stack = work.resolve(), work.resolve() / "flight", stack
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "frames").mkdir(parents=True)

    def start(self, name: str, *command: object) -> subprocess.Popen[str]:
        """Start a process whose words go to files named after it; it ends with the flight."""
        out, err = ((self.folder / f"{name}.{kind}").open("w") for kind in ("out", "log"))
        with out, err:
            process = subprocess.Popen(  # noqa: S603 - the project's own programs
                [str(word) for word in command], cwd=self.folder, stdout=out, stderr=err, text=True
            )
        self._stack.callback(stop, process)
        return process

    def said(self, name: str) -> list[dict[str, Any]]:
        """The JSON lines that a process has said on standard output and in its log."""
        lines = [(self.folder / f"{name}.{kind}").read_text().splitlines() for kind in ("out", "log")]
        return [json.loads(line) for kind in lines for line in kind if line.startswith("{") and line.endswith("}")]

    def wait(self, name: str, what: str, count: int = 1) -> list[dict[str, Any]]:
        """Until a process has said ``what`` so often; what it said then."""
        until(lambda: len(self.heard(name, what)) >= count, f"{what} of {name} (see {self.folder / name}.log)")
        return self.heard(name, what)

    def wait_past(self, link: str, over: str) -> None:
        """Until the clock of a link has passed ``over``."""
        until(lambda: str(self.said(link)[-1].get("time", "")) > over, f"the end of the passes of {link}")

    def heard(self, name: str, *what: str) -> list[dict[str, Any]]:
        """What a process has said of ``what``, so far."""
        return [line for line in self.said(name) if any(word in (line.get("event"), *line) for word in what)]

    def plan(self, aos: datetime, lasts: timedelta, *, passes: int = 1, name: str = "passes.csv") -> Path:
        """Let the contact plan say that passes begin at ``aos``."""
        path, lines = self.folder / name, ["station,aos,los"]
        for number in range(passes):
            begins = aos + number * (lasts + timedelta(seconds=APART_S))
            lines.append(f"Tongchuan,{begins.isoformat()},{(begins + lasts).isoformat()}")
        path.with_suffix(".new").write_text("\n".join([*lines, ""]))
        path.with_suffix(".new").replace(path)
        return path

    def link(self, name: str, ground: int, port: int = 0, *more: object) -> tuple[subprocess.Popen[str], int]:
        """Open a space link to the ``ground``'s port; returns the port that satellites call."""
        places = ("--listen", f"127.0.0.1:{port}", "--ground", f"127.0.0.1:{ground}")
        rates = ("--down", f"{RATE // 1000}kbit", "--up", "4Mbit", "--json")
        process = self.start(name, BIN / "orbitloop", "link", *places, *rates, *more)
        return process, int(self.wait(name, "open")[0]["port"])


def main() -> None:
    """Fly once, and tell what arrived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder with keys/ and logic/selection.ols")
    given = parser.parse_args()
    captured = frames()
    size, valuable = sum(len(frame.png) for frame in captured), sum(frame.valuable for frame in captured)
    say("captured", f"{len(captured)} frames, {size:,} bytes, {valuable / size:.1%} of them of value")
    with ExitStack() as stack:
        result = fly(Flight(given.work, stack), captured)
    result["share_of_value"] = valuable / size
    (given.work / "flight" / "result.json").write_text(json.dumps(result, indent=2))
    for name in ("fitted", "bent_pipe"):
        told = result[name]
        words = f"{told['crossed']:,} bytes, {told['valuable']:,.0f} of them of value: density {told['density']:.3f}"
        say(name.replace("_", " "), words)


def fly(flight: Flight, captured: list[Frame]) -> dict[str, Any]:
    """Launch, offer the logic, look at frames, and hold the passes; beside it a bent pipe over a link of its own."""
    ground, (first, port) = launch(flight)
    stop(first)
    looked = look(flight, captured)
    lasts = timedelta(seconds=sum(len(frame.png) for frame in captured) * SHARE * 8 / RATE / PASSES)
    begins = LAUNCH + timedelta(seconds=LEAD_S)
    plan = flight.plan(begins, lasts, passes=PASSES, name="passes-of-the-link.csv")
    window = ("--plan", plan, "--start", LAUNCH.isoformat())
    link, _ = flight.link("link", ground, port, *window)
    flight.plan(WallClock().now() + timedelta(seconds=LEAD_S), lasts, passes=PASSES)
    pipe = BentPipe([frame.png for frame in captured])
    other, other_port = flight.link("other-link", pipe.port, 0, *window)
    pipe.begin(other_port)
    over = (begins + PASSES * (lasts + timedelta(seconds=APART_S))).isoformat()
    for process in (link, other):
        name = "link" if process is link else "other-link"
        flight.wait_past(name, over)
        stop(process)
    down = flight.folder / "down"
    run(flight, "orbitloop-ground", "export-products", "--config", "ground.toml", "--satellite", "sat-1", "--to", down)
    say(
        "passes",
        f"{PASSES} of {lasts.total_seconds():.1f} s at {RATE:,} bit/s; {len(products(down))} pictures in {down}",
    )
    return {
        "looked": looked,
        "fitted": told(flight.said("link")[-1]["down"], value_of_products(down, captured)),
        "bent_pipe": told(flight.said("other-link")[-1]["down"], value_of_stream(captured, pipe.end())),
        "products": [entry for _, entry in products(down)],
    }


def launch(flight: Flight) -> tuple[int, tuple[subprocess.Popen[str], int]]:
    """Start ground, link and satellite, and let the logic go up; returns the ground's port and the link."""
    keys = flight.work / "keys"
    (flight.folder / "ground.toml").write_text(
        f'folder = "ground"\nkeys = "{keys / "ground"}"\nport = 0\nadmin_port = 0\n'
    )
    flight.start("ground", BIN / "orbitloop-ground", "serve", "--config", "ground.toml")
    port = int(flight.wait("ground", "gateway")[0]["gateway"])
    link = flight.link("first-link", port)
    config = SATELLITE.format(keys=keys / "satellites" / "sat-1", link=link[1], rate=RATE)
    (flight.folder / "satellite.toml").write_text(config)
    flight.plan(WallClock().now(), timedelta(hours=1))
    run(flight, "orbitloop-edge", "install", "--config", "satellite.toml", "--model", MODEL)
    logic = flight.work / "logic" / "selection.ols"
    run(flight, "orbitloop-ground", "offer-selection", "--config", "ground.toml", "sat-1", logic)
    say("offered", f"{logic}, {logic.stat().st_size:,} bytes")
    flight.start("satellite", BIN / "orbitloop-edge", "run", "--config", "satellite.toml")
    for event in ("selection_arrived", "session_ended"):
        flight.wait("satellite", event)
    flight.plan(WallClock().now() + timedelta(days=1), timedelta(hours=1))  # nobody is heard now
    say("fetched", "in a contact")
    return port, link


def look(flight: Flight, captured: list[Frame]) -> int:
    """Let the camera put its frames on board until the satellite is done with all; returns at how many it looked."""
    for frame in captured:
        (flight.folder / "frames" / f"{frame.name}.part").write_bytes(frame.png)
        (flight.folder / "frames" / f"{frame.name}.part").rename(flight.folder / "frames" / frame.name)
    until(
        lambda: bool(flight.heard("satellite", "selection_flies", "selection_refused")),
        "the satellite to try the logic",
    )
    if refused := flight.heard("satellite", "selection_refused"):
        raise SystemExit(f"the satellite does not fly this logic: {refused[0]['why']}")
    (flies,) = flight.heard("satellite", "selection_flies")
    say("flies", f"{flies['application']}, version {flies['version']}, {flies['selection'][:19]}…")
    done = flight.wait("satellite", "frame_selected", len(captured))
    seconds = sum(each["seconds"] for each in done) / len(done)
    samples, processed = sum(each["samples"] for each in done), sum(bool(each["processed"]) for each in done)
    say("looked", f"at {processed} of {len(done)} frames, {seconds:.3f} s each, and kept {samples} pictures of them")
    return processed


def run(flight: Flight, program: str, *arguments: object) -> None:
    """Run a command to its end."""
    subprocess.run(  # noqa: S603 - the project's own programs
        [str(word) for word in (BIN / program, *arguments)], cwd=flight.folder, check=True, stdout=subprocess.DEVNULL
    )


def told(crossed: int, valuable: float) -> dict[str, float]:
    """Of the bytes that crossed the link, those of value."""
    return {"crossed": crossed, "valuable": round(valuable), "density": round(valuable / max(1, crossed), 4)}


def stop(process: subprocess.Popen[str]) -> None:
    """End a process in good order."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    ends, rest = time.monotonic() + GENEROUS_S, threading.Event()
    while not true():
        if time.monotonic() > ends:
            raise SystemExit(f"waited {GENEROUS_S:.0f} s for {what}")
        rest.wait(0.1)


def say(what: str, words: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(f"{what:9}  {words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
