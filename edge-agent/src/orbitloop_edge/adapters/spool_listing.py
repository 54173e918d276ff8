"""What waits in a spool, listed for whoever plans passes, without disturbing the process that has it open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orbitloop.domain.errors import BadInput
from orbitloop.domain.traffic import Direction, TrafficClass
from orbitloop_edge.adapters.damage import FAULTS

_WAITING = "SELECT id, cost, value, captured, reason FROM samples ORDER BY captured, id"


def waiting_samples(folder: Path) -> list[dict[str, Any]]:
    """The samples of the spool in ``folder``, oldest first, as entries of a queue (``docs/reference/planner.md``).

    Raises:
        BadInput: there is no spool, or its index cannot be read.
    """
    path = folder / "spool.db"
    if not path.exists():
        raise BadInput(f"{path}: there is no spool; start orbitloop-edge run first")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as index:
            rows = index.execute(_WAITING).fetchall()
    except FAULTS as error:
        raise BadInput(f"{path}: cannot be read ({error}); restart orbitloop-edge run, which mends it") from error
    return [
        {
            "id": name,
            "bytes": cost,
            "value": value,
            "traffic": str(TrafficClass.SAMPLES),
            "direction": str(Direction.DOWN),
            "created": datetime.fromtimestamp(captured, UTC).isoformat(),
            "reason": reason,
        }
        for name, cost, value, captured, reason in rows
    ]
