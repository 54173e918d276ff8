"""The learning rounds of one satellite in one JSON file, replaced whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from orbitloop.adapters.durable import discard_unfinished, write_durably
from orbitloop.domain.errors import BadInput
from orbitloop.ports.rounds import Round
from orbitloop.wire.complaints import first_complaint

_ROUNDS = TypeAdapter(list[Round])


class FileRoundBook:
    """A :class:`~orbitloop.ports.rounds.RoundBook` for one machine.

    Args:
        path: the file; its folder is made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        discard_unfinished(path.parent)

    def current(self) -> Round:
        """The open round."""
        rounds = self._read()
        if rounds and rounds[-1].closed is None:
            return rounds[-1]
        return Round(number=len(rounds) + 1)

    def save(self, state: Round) -> None:
        """Replace the open round."""
        rounds = self._read()
        if rounds and rounds[-1].closed is None:
            rounds.pop()
        if state.number != len(rounds) + 1:
            raise BadInput(f"{self._path}: round {state.number} cannot follow {len(rounds)} closed ones")
        write_durably(self._path, _ROUNDS.dump_json([*rounds, state], indent=2))

    def closed(self) -> list[Round]:
        """The rounds that are over."""
        return [state for state in self._read() if state.closed is not None]

    def _read(self) -> list[Round]:
        if not self._path.exists():
            return []
        try:
            return _ROUNDS.validate_json(self._path.read_bytes())
        except ValidationError as error:
            raise BadInput(f"{self._path}: unreadable ({first_complaint(error)}); restore it from a copy") from error
