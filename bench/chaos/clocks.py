"""Wall clocks that can be stepped, one process at a time: a small library that is preloaded."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


@cache
def stepper() -> Path | None:
    """The library, made on first use; ``None`` where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    built = Path("build/chaos/clock.so").resolve()
    built.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(built), str(_SOURCE), "-ldl"], check=True)
    return built


def steppable(offset: Path) -> dict[str, str]:
    """The environment of a process whose clock is off by the seconds that the file ``offset`` holds."""
    library = stepper()
    return {} if library is None else {"LD_PRELOAD": str(library), "ORBITLOOP_CLOCK": str(offset)}
