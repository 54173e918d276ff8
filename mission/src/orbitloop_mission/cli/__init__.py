"""The ``orbitloop`` command.

What belongs here: reading arguments, showing progress, printing results, and turning errors into one line and an exit
status. What does not: anything that another program might want to call.
"""

from __future__ import annotations

import logging
import sys

from orbitloop.domain.errors import OrbitloopError, Refused
from orbitloop_mission.cli import cfdp, doctor, link, models, passes, plan, run, transform, watch  # noqa: F401 - each registers its command
from orbitloop_mission.cli.commands import app

REFUSED, NOT_YET = 2, 75
"""Exit statuses: wrong input, and (as ``EX_TEMPFAIL`` of sysexits) what may succeed later."""
STOPPED = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT."""


def main() -> None:
    """Run the command line; what goes wrong is one line on standard error and a non-zero exit status."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except OrbitloopError as error:
        sys.stderr.write(f"orbitloop: {error}\n")
        sys.exit(REFUSED if isinstance(error, Refused) else NOT_YET)
    except OSError as error:
        sys.stderr.write(f"orbitloop: {_told(error)}\n")
        sys.exit(REFUSED)
    except SystemExit as end:  # typer turns Ctrl-C into a status and says nothing
        if end.code == STOPPED:
            sys.stderr.write("orbitloop: stopped\n")
        raise


def _told(error: OSError) -> str:
    """What the system refused and, where it says so, which file."""
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"
