"""What a Containerfile says of one target: the stages it stands on, the files they copy, the packages they install."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

WHEELS = "images/wheels"
"""The folder of the context that holds wheels, where the builder reaches no package index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Containerfile:
    """Stages in their order, each with its instructions, a line each; what stands before the first is for all."""

    before: tuple[str, ...]
    stages: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Every stage is expected to have a name. Raises OSError."""
        before: list[str] = []
        stages: dict[str, list[str]] = {}
        lines = before
        for line in path.read_text().replace("\\\n", " ").splitlines():
            if begins := re.fullmatch(r"FROM \S+ AS (\S+)", line):
                lines = stages.setdefault(begins[1], [])
            if line and not line.startswith("#"):
                lines.append(line)
        return cls(before=tuple(before), stages={name: tuple(lines) for name, lines in stages.items()})

    def needed(self, target: str) -> Self:
        """The target and the stages that it stands on or copies from: the classic builder would build all."""
        wanted: set[str] = set()
        waiting = [target]
        while waiting:
            name = waiting.pop()
            if name in self.stages and name not in wanted:
                wanted.add(name)
                waiting += re.findall(r"^(?:FROM |COPY --from=)(\S+)", "\n".join(self.stages[name]), re.MULTILINE)
        return type(self)(
            before=self.before, stages={name: self.stages[name] for name in self.stages if name in wanted}
        )

    def base(self) -> str:
        """What it stands on unless it is told otherwise."""
        [name] = re.findall(r"^ARG BASE_IMAGE=(\S+)", "\n".join(self.before), re.MULTILINE)
        return str(name)

    def sources(self) -> list[str]:
        """Paths that are copied from the context, in order, each once; not the wheels."""
        copies = [line.split()[1:-1] for line in self.lines() if line.startswith("COPY ") and "--from=" not in line]
        return list(dict.fromkeys(path for paths in copies for path in paths if path != WHEELS))

    def requirements(self) -> list[str]:
        """What pip is asked to install with all it needs, as folders of the context with their extras, each once."""
        installs = [line for line in self.lines() if "pip install" in line and "--no-deps" not in line]
        return list(dict.fromkeys(re.findall(r"(?<=[\s'])\./[\w-]+(?:\[[\w,-]+\])?(?=['\s]|$)", "\n".join(installs))))

    def lines(self) -> list[str]:
        """All instructions, a line each."""
        return [*self.before, *(line for lines in self.stages.values() for line in lines)]
