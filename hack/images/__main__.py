"""``python -m hack.images build|sbom``."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hack.images import docker as engine
from hack.images.build import Built, build, make_base
from hack.images.definitions import BASE, ROOT, Image, images
from hack.images.docker import Failed
from rich.console import Console
from rich.table import Table

_OUT = Console(soft_wrap=True, highlight=False)


def main() -> None:
    """Run one command; exit status 1 with one sentence if it cannot be done."""
    every = images()
    told = _parser().parse_args()
    if unknown := [target for target in told.targets if target not in every]:
        sys.exit(f"images: there is no target {unknown[0]!r}; there are {', '.join(every)}")
    chosen = [every[target] for target in told.targets]
    try:
        match told.command:
            case "sbom":
                _bills(chosen, list(every.values()))
            case _:
                ours = [image for image in every.values() if told.offline or not image.debian]
                docker = engine.client()
                with _alone(docker):
                    _build(docker, chosen or ours, offline=told.offline, base=told.base)
    except Failed as failed:
        sys.exit(f"images: {failed}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hack.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="build what changed, and weigh it")
    building.add_argument("--offline", action="store_true", help="of packages alone, with no registry of images")
    building.add_argument("--base", help="the base image; by default the Containerfile's, or with --offline Debian's")
    billing = commands.add_parser("sbom", help="list what is in each image: build/sbom/*.cdx.json")
    for command, default in ((building, "our own, with --offline all"), (billing, "those that were built")):
        command.add_argument("targets", nargs="*", metavar="TARGET", help=f"by default {default}")
    return parser


@contextmanager
def _alone(docker: str) -> Iterator[None]:
    """One run at a time builds in an engine; the others wait, and then find it done."""
    engines = hashlib.sha256(engine.identity(docker).encode()).hexdigest()[:16]
    path = ROOT / "build" / "images" / f"lock-{engines}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(docker: str, chosen: list[Image], *, offline: bool, base: str | None) -> None:
    if base is None and (offline or any(image.debian for image in chosen)):
        make_base(docker)
    table = Table("image", "", "s", "MB", "limit")
    results: list[Built] = []
    for image in chosen:
        began = time.monotonic()
        stands_on = base or (BASE if offline or image.debian else None)
        results.append(built := build(docker, image, base=stands_on, offline=offline))
        words = "built" if built.anew else "unchanged"
        table.add_row(image.name, words, f"{time.monotonic() - began:.0f}", f"{built.size / 1e6:.0f}", f"{image.limit}")
    _OUT.print(table)
    if heavy := [built.image.name for built in results if not built.fits]:
        raise Failed(f"{', '.join(heavy)}: over the limit")


def _bills(chosen: list[Image], every: list[Image]) -> None:
    from hack.images.sbom import write

    docker = engine.client()
    named = chosen or [image for image in every if engine.inspect(docker, image.name) is not None]
    if not named:
        raise Failed("none is built yet: make images")
    for image in named:
        path, listed = write(docker, image, ROOT / "build" / "sbom")
        _OUT.print(f"{path.relative_to(ROOT)}: {listed} parts of {image.name}")


if __name__ == "__main__":
    main()
