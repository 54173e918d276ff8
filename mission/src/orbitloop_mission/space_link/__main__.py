"""``python -m orbitloop_mission.space_link``: what ``orbitloop link`` runs, without loading the rest of the mission.

It starts in a fraction of a second, which matters to whoever kills and restarts it a thousand times.
"""

from __future__ import annotations

import sys

import typer

from orbitloop.domain.errors import OrbitloopError
from orbitloop_mission.space_link.command import link

_REFUSED = 2


def main() -> None:
    """Run the link; what goes wrong is one line on standard error and a non-zero exit status."""
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    command.command()(link)
    try:
        command()
    except OrbitloopError as error:
        sys.stderr.write(f"orbitloop: {error}\n")
        sys.exit(_REFUSED)


if __name__ == "__main__":
    main()
