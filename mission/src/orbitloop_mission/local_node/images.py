"""What stands in for images, which are not pulled here: a Python, and the folder that its programs are in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orbitloop.domain.errors import BadInput

_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
"""Variables of this process that containers have as well; no others, they may hold what is not for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a container is made of.

    Args:
        python: what it runs where it names no command, as Sedna's images do.
        folder: where it starts, if its pod does not say.
    """

    python: Path
    folder: Path

    def base(self, given: Mapping[str, str]) -> dict[str, str]:
        """The environment of every container of it; ``python`` is its Python.

        Args:
            given: the environment of this process.
        """
        path = os.pathsep.join([str(self.python.parent), given.get("PATH", os.defpath)])
        return {name: given[name] for name in _PASSED_ON if name in given} | {"PATH": path}


class Images:
    """Images by name.

    Args:
        folder: where programs are that no option says otherwise of.
        options: ``NAME=PATH``: PATH is a Python, or a folder, with one in ``bin`` or none.

    Raises:
        BadInput: an option is no such pair, or its path is not there.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self._default = Image(python=Path(sys.executable), folder=folder)
        self._named = dict(self._read(option) for option in options)

    def of(self, name: str) -> Image:
        """What stands in for the image of this name, with its tag or without."""
        bare = name.split("@", 1)[0]
        head, _, tail = bare.rpartition("/")
        untagged = f"{head}/{tail.split(':', 1)[0]}" if head else tail.split(":", 1)[0]
        return self._named.get(name) or self._named.get(untagged) or self._default

    def told(self, name: str) -> str:
        """What stands in for it, for people."""
        image = self.of(name)
        return f"image {name} is not pulled: {image.python} in {image.folder} stands in for it"

    def _read(self, option: str) -> tuple[str, Image]:
        name, _, given = option.partition("=")
        path = Path(given).expanduser()
        if not name or not given:
            raise BadInput(f"--image {option!r} is no NAME=PATH of a Python or a folder")
        if path.is_dir():
            own = path / "bin" / "python"
            python = own if own.exists() else self._default.python
            return name, Image(python=python.absolute(), folder=path.absolute())
        if not os.access(path, os.X_OK):
            raise BadInput(f"--image {option}: {path} is neither a folder nor a program")
        return name, Image(python=path.absolute(), folder=self._default.folder)
