"""YAML text as trees of nodes that know their lines; bounded, so that no text grows without end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from orbitloop.domain.errors import BadInput

DEEPEST = 64
"""Levels of a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A scalar.

    Args:
        text: without quotes.
        tag: as written; empty: none.
        is_plain: not quoted, and no block.
        line: from 1.
    """

    text: str
    tag: str
    is_plain: bool
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping, in the order of the text."""

    entries: tuple[tuple[Node, Node], ...]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A sequence."""

    items: tuple[Node, ...]
    line: int


Node = Word | Table | Row


def trees(text: str | bytes, source: str) -> Iterator[Node]:
    """Each document of ``text`` that is not empty.

    Args:
        text: bytes are UTF-8, or UTF-16 with a byte order mark.
        source: what errors call it.

    Raises:
        BadInput: it is no YAML, is too deep, or has an anchor that contains itself or does not exist; says where.
    """
    try:
        yield from _Composer(yaml.parse(_as_yaml(text), Loader=yaml.SafeLoader), source).documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadInput(f"{source}:{mark.line + 1 if mark else 1}: no YAML: {told}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{source}: no YAML: {' '.join(str(error).split())}") from error


def _as_yaml(text: str | bytes) -> str | bytes:
    """JSON without tabs, which are the one thing between its tokens that YAML does not take; other text as it is."""
    opening = text.lstrip()[:1]
    if opening not in {"{", b"{"}:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text  # what is wrong is said with its line
    return text.replace("\t", " ") if isinstance(text, str) else text.replace(b"\t", b" ")


class _Composer:
    """Puts nodes together from events; an alias is the very node that its anchor is on."""

    def __init__(self, events: Iterator[yaml.Event], source: str) -> None:
        self._events = events
        self._source = source
        self._anchors: dict[str, Node | None] = {}

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                node = self._node(next(self._events), DEEPEST)
                if not (isinstance(node, Word) and node.is_plain and not node.text and not node.tag):
                    yield node

    def _node(self, event: yaml.Event, levels: int) -> Node:
        line = _line_of(event)
        if levels == 0:
            raise BadInput(f"{self._source}:{line}: deeper than {DEEPEST} levels; nothing that is deployed is")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        anchor: str | None = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None
        node = self._new(event, line, levels)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _new(self, event: yaml.Event, line: int, levels: int) -> Node:
        match event:
            case yaml.ScalarEvent():
                tag = event.tag or ""
                return Word(
                    text=self._whole(event.value, line), tag=tag, is_plain=event.style is None and not tag, line=line
                )
            case yaml.SequenceStartEvent():
                self._check_tag(event, "seq", line)
                items = tuple(self._node(inner, levels - 1) for inner in self._until(yaml.SequenceEndEvent))
                return Row(items=items, line=line)
            case yaml.MappingStartEvent():
                self._check_tag(event, "map", line)
                entries = tuple(
                    (self._node(key, levels - 1), self._node(next(self._events), levels - 1))
                    for key in self._until(yaml.MappingEndEvent)
                )
                return Table(entries=entries, line=line)
        raise AssertionError(f"{event} begins no node")

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _whole(self, text: str, line: int) -> str:
        """``text`` with the pairs of escapes by which JSON writes a character beyond the first 65,536 put together."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise BadInput(f"{self._source}:{line}: half a character: \\ud800 to \\udfff come in pairs") from error

    def _check_tag(self, event: yaml.CollectionStartEvent, kind: str, line: int) -> None:
        if event.tag not in {None, "!", f"tag:yaml.org,2002:{kind}"}:
            raise BadInput(f"{self._source}:{line}: the tag {event.tag!r} is unknown; leave it out")

    def _alias(self, anchor: str, line: int) -> Node:
        if anchor not in self._anchors:
            raise BadInput(f"{self._source}:{line}: *{anchor} stands for nothing; there is no &{anchor} before it")
        node = self._anchors[anchor]
        if node is None:
            raise BadInput(f"{self._source}:{line}: *{anchor} is inside of what &{anchor} stands for: it has no end")
        return node


def _line_of(event: yaml.Event) -> int:
    return 1 + (event.start_mark.line if event.start_mark is not None else 0)
