"""Logs that do not fill the disk: as the kubelet does, the old part of a long one is put aside once."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

MOST_BYTES = 10 * 2**20
"""Of one log; as much again of what was before is kept beside it, as ``NAME.log.1``."""
_PERIOD_S = 10.0


async def keep_short(folder: Path, most: int = MOST_BYTES, period_s: float = _PERIOD_S) -> None:
    """Look after the logs below ``folder`` until cancelled."""
    while True:
        await asyncio.to_thread(shorten, folder, most)
        await asyncio.sleep(period_s)


def shorten(folder: Path, most: int) -> None:
    """Put the content of logs of more than ``most`` bytes aside; what is written in that very moment may be lost.

    Who writes to them goes on: they append.
    """
    for path in folder.glob("*/*/*.log"):
        if path.stat().st_size > most:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            with path.open("r+b") as file:
                file.truncate()
