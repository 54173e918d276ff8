"""Single figures of a long bench, kept as they are found: a bench that was stopped goes on where it was.

A cell is one measurement and is named by all that decides it: encoder, seed, steps, digests of what went in. Change
one of them and it is measured anew; what else changes (the code above all) does not, so delete the folder for that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from orbitloop.adapters.durable import write_durably

Figure = float | int | str | bool | None
Figures = dict[str, Figure]


class Cells:
    """The cells of one bench.

    Args:
        folder: where they are kept, one JSON file each; made if missing.
        on_cell: told of each cell once it is there, and whether it was measured now.
    """

    def __init__(self, folder: Path, on_cell: Callable[[Mapping[str, Figure], bool], None] | None = None) -> None:
        self._folder = folder
        self._on_cell = on_cell or (lambda key, measured: None)
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: Mapping[str, Figure], measure: Callable[[], Figures]) -> Figures:
        """The figures of the cell ``key``: those that are kept, else what ``measure`` finds, kept from now on."""
        path = self._path(key)
        if path.exists():
            found: Figures = json.loads(path.read_bytes())["figures"]
            self._on_cell(key, False)
            return found
        figures = measure()
        text = json.dumps({"key": dict(key), "figures": figures}, indent=2) + "\n"
        write_durably(path, text.encode())
        self._on_cell(key, True)
        return figures

    def has(self, key: Mapping[str, Figure]) -> bool:
        """Whether a cell is kept."""
        return self._path(key).exists()

    def _path(self, key: Mapping[str, Figure]) -> Path:
        named = json.dumps(dict(key), sort_keys=True)
        return self._folder / f"{hashlib.sha256(named.encode()).hexdigest()[:24]}.json"
