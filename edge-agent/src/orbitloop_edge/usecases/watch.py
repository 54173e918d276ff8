"""Frames that arrive in a folder: each is looked at once, when it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_UNFINISHED = (".part", ".tmp", ".partial")


@dataclass(slots=True, kw_only=True)
class FrameWatch:
    """Finds new frames. A file counts as whole when it is the same in two looks in a row.

    Whoever writes slowly names a file with a dot in front, or ``.part``, ``.partial`` or ``.tmp`` behind, and
    renames it when it is whole.

    Args:
        folder: where the camera puts frames; other folders in it are not looked at.
        done: names of the frames that were looked at.
    """

    folder: Path
    done: Callable[[], set[str]]
    _before: dict[str, tuple[int, int]] = field(default_factory=dict)

    def whole(self) -> Iterator[Path]:
        """New frames that are whole, by name; empty files wait until they are not."""
        done = self.done()
        now = {
            path.name: _state(path)
            for path in self.folder.iterdir()
            if path.name not in done and not path.name.startswith(".") and path.suffix not in _UNFINISHED
        }
        before, self._before = self._before, {name: state for name, state in now.items() if state is not None}
        for name in sorted(now):
            state = now[name]
            if state is not None and state[0] > 0 and before.get(name) == state:
                yield self.folder / name


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change, if it is a file and still there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_size, found.st_mtime_ns) if path.is_file() else None
