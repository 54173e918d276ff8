"""``python -m hack.control_plane build|up|down``."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from hack.control_plane.binaries import Missing, build, find
from hack.control_plane.cluster import ControlPlane, Failed

_FOLDER = Path("build/control-plane")


def _up(folder: Path, *, controller_manager: bool) -> None:
    build()
    found = ControlPlane.started(folder, find())
    if found is None or not found.whole:
        if found is not None:
            found.stop()
        shutil.rmtree(folder, ignore_errors=True)
        found = ControlPlane.make(folder, find())
        try:
            found.start(controller_manager=controller_manager)
        except Failed:
            found.stop()
            raise
    print(f"kube-apiserver answers at {found.url}. Try:")
    print(f"  export KUBECONFIG={found.kubeconfig}")
    print("  kubectl version")
    print("  make control-plane-down")


def _down(folder: Path) -> None:
    found = ControlPlane.started(folder, find())
    if found is None:
        print("it does not run")
        return
    found.stop()
    print("stopped")


def main() -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hack.control_plane", description=__doc__)
    parser.add_argument("command", choices=("build", "up", "down"))
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="where it keeps everything (%(default)s)")
    parser.add_argument(
        "--controller-manager", action="store_true", help="also Deployments, owners, namespaces and accounts"
    )
    told = parser.parse_args()
    try:
        match told.command:
            case "build":
                build()
            case "up":
                _up(told.folder, controller_manager=told.controller_manager)
            case _:
                _down(told.folder)
    except (Missing, Failed) as error:
        print(f"control-plane: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
