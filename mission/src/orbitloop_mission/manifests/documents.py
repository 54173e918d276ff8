"""Documents of manifests, each part of which knows its line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from orbitloop.domain.errors import BadInput
from orbitloop_mission.manifests.nodes import Node, Row, Table, Word, trees
from orbitloop_mission.manifests.scalars import Value, plain, tagged
from orbitloop_mission.manifests.variables import Variables

MOST_NODES = 100_000
"""Values of a document, with what its aliases repeat; a few lines of aliases can stand for billions."""
Path = tuple[str | int, ...]
_COMMAND = re.compile(r"(?:^|\.)(?:containers|initContainers|ephemeralContainers)\.\d+\.(?:command|args)\.\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A document, and where it stands.

    Args:
        source: file, or what else it came from.
        lines: of each part, by its path; from 1.
    """

    document: dict[str, Any]
    source: str
    lines: Mapping[Path, int]

    def at(self, path: Path = ()) -> str:
        """``file:line`` of a part, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.source}:{self.lines[path]}"


def documents(text: str | bytes, source: str, variables: Mapping[str, str]) -> Sequence[Located]:
    """The documents of ``text``, read as Kubernetes reads them, and with the values of variables.

    A variable is replaced in values, never in keys, nor in the command and arguments of a container: those belong to
    the container's own shell. A value that is not quoted is what it is once its variables are replaced: ``$SHARE`` may
    be a number.

    Raises:
        BadInput: it is no YAML, a key stands twice, a document is no mapping, it is too large, or a variable is not
            set; says at which line.
    """
    replaced = Variables(variables)
    found = [_located(tree, source, replaced) for tree in trees(text, source)]
    if unset := replaced.unset():
        told = ", ".join(f"${name} (line {line})" for name, line in unset.items())
        raise BadInput(f"{source}: not set: {told}; export a value, or write $$NAME for $NAME itself")
    return found


def _located(tree: Node, source: str, variables: Variables) -> Located:
    builder = _Builder(source, variables)
    document = builder.value(tree, ())
    if not isinstance(document, dict):
        raise BadInput(f"{source}:{tree.line}: a manifest is a mapping with apiVersion and kind")
    return Located(document=document, source=source, lines=builder.lines)


class _Builder:
    """Makes values of nodes."""

    def __init__(self, source: str, variables: Variables) -> None:
        self._source = source
        self._variables = variables
        self._left = MOST_NODES
        self.lines: dict[Path, int] = {}

    def value(self, node: Node, path: Path) -> Any:
        """What a node stands for at a path."""
        self._left -= 1
        if self._left < 0:
            raise BadInput(f"{self._source}:{node.line}: more than {MOST_NODES} values, aliases counted; split it up")
        self.lines[path] = node.line
        match node:
            case Word():
                return self._word(node, path)
            case Row():
                return [self.value(item, (*path, index)) for index, item in enumerate(node.items)]
            case Table():
                return self._table(node, path)
            case _:
                assert_never(node)

    def _word(self, node: Word, path: Path) -> Value:
        text = node.text
        if "$" in text and not _COMMAND.search(".".join(map(str, path))):
            text = self._variables.fill(text, node.line)
        if node.is_plain:
            return "" if node.text and not text else self._resolved(node, text)
        return self._resolved(node, text) if node.tag else text

    def _resolved(self, node: Word, text: str) -> Value:
        try:
            return tagged(node.tag, text) if node.tag else plain(text)
        except ValueError as error:
            raise BadInput(f"{self._source}:{node.line}: {error}") from error

    def _table(self, node: Table, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for name_node, value_node in node.entries:
            if isinstance(name_node, Word) and name_node.is_plain and name_node.text == "<<":
                merged = self._merged(value_node, path, first) | merged
                continue
            name = self._name(name_node)
            if name in first:
                raise BadInput(
                    f"{self._source}:{name_node.line}: {name} stands twice, first at line {first[name]}; one must go"
                )
            first[name] = name_node.line
            made[name] = self.value(value_node, (*path, name))
            self.lines[*path, name] = name_node.line
        return merged | made

    def _merged(self, node: Node, path: Path, before: Mapping[str, int]) -> dict[str, Any]:
        """What ``<<`` brings in: mappings, of which the first that has a key counts."""
        found: dict[str, Any] = {}
        for part in reversed(node.items if isinstance(node, Row) else (node,)):
            value = self.value(part, path)
            if not isinstance(value, dict):
                raise BadInput(f"{self._source}:{part.line}: << takes a mapping, or a list of mappings")
            found |= value
        self.lines[path] = min(self.lines[path], node.line)
        if twice := before.keys() & found.keys():
            raise BadInput(f"{self._source}:{node.line}: << brings {min(twice)} in after it was set; put << first")
        return found

    def _name(self, node: Node) -> str:
        """A key as JSON has it: go's word for a number or a truth value."""
        value = self._resolved(node, node.text) if isinstance(node, Word) and (node.is_plain or node.tag) else None
        match node, value:
            case Word(is_plain=False, tag=""), _:
                return node.text
            case Word(), bool():
                return "true" if value else "false"
            case Word(), int() | float() | str():
                return str(value)
        raise BadInput(f"{self._source}:{node.line}: a key is text")
