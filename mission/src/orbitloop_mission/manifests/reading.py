"""Manifests as the API server would store them: lists taken apart, namespaces filled in, everything checked."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbitloop.api.kinds import KINDS, BadField
from orbitloop.api.rules import checked
from orbitloop.domain.errors import BadInput
from orbitloop_mission.manifests.documents import Located, documents
from orbitloop_operators.adapters.admission import admit
from orbitloop_operators.handlers.changes import Key

LARGEST = 4 * 2**20
"""Bytes of a file; the API server takes 1.5 MB an object."""
BUILT_IN = {("v1", kind) for kind in ("ConfigMap", "Namespace", "Pod", "Secret")}
_KNOWN = BUILT_IN | {(kind.api_version, kind.name) for kind in KINDS}
_BY_SERVER = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An object that a user wants.

    Args:
        document: as the API server would store it, without what only the server knows.
        place: file and line.
    """

    document: Mapping[str, Any]
    place: str


def read_manifests(paths: Sequence[Path], variables: Mapping[str, str], namespace: str = "default") -> list[Manifest]:
    """The objects of files.

    Args:
        paths: of YAML or JSON.
        variables: what ``$NAME`` stands for.
        namespace: of objects that name none.

    Raises:
        BadInput: a file is no manifest, an object is refused, or one stands twice; says in which file, at which line.
        OSError: a file cannot be read.
    """
    found: dict[Key, Manifest] = {}
    for path in paths:
        text = path.read_bytes()
        if len(text) > LARGEST:
            raise BadInput(f"{path}: {len(text):,} bytes; no manifest is larger than {LARGEST:,}")
        for manifest in objects(text, str(path), variables, namespace):
            key = Key.of(manifest.document)
            if key in found:
                raise BadInput(f"{manifest.place}: {key.kind} {key.name} stands at {found[key].place} already")
            found[key] = manifest
    if not found:
        raise BadInput(f"{', '.join(map(str, paths))}: no object in it")
    return list(found.values())


def objects(text: str | bytes, source: str, variables: Mapping[str, str], namespace: str) -> Iterator[Manifest]:
    """The objects of one text, checked.

    Raises:
        BadInput: as :func:`read_manifests`.
    """
    for located in documents(text, source, variables):
        for one in _each(located):
            yield _stored(one, namespace)


def _each(located: Located) -> Iterator[Located]:
    """A document, or those of a list."""
    document = located.document
    kind = document.get("kind")
    if not isinstance(kind, str) or not isinstance(document.get("apiVersion"), str):
        raise BadInput(f"{located.at()}: a manifest has apiVersion and kind")
    if not kind.endswith("List"):
        yield located
        return
    items = document.get("items") or []
    if not isinstance(items, list):
        raise BadInput(f"{located.at(('items',))}: items of a {kind} are a list")
    named = {} if kind == "List" else {"apiVersion": document["apiVersion"], "kind": kind.removesuffix("List")}
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise BadInput(f"{located.at(('items', index))}: an item of a {kind} is an object")
        root = ("items", index)
        lines = {path[2:]: line for path, line in located.lines.items() if path[:2] == root}
        yield from _each(Located(document=named | item, source=located.source, lines=lines))


def _stored(located: Located, namespace: str) -> Manifest:
    document = located.document
    if (document["apiVersion"], document["kind"]) not in _KNOWN:
        known = ", ".join(sorted(kind for _, kind in _KNOWN))
        what = f"{document['kind']!r} of {document['apiVersion']!r}"
        raise BadInput(f"{located.at(('kind',))}: nothing here knows {what}; leave it out. There are {known}")
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        kept = {name: value for name, value in metadata.items() if name not in _BY_SERVER and value is not None}
        inside = {} if document["kind"] == "Namespace" else {"namespace": namespace}
        document = {**document, "metadata": inside | kept}
    document = {name: value for name, value in document.items() if name != "status"}
    try:
        admit(document)
        if (document["apiVersion"], document["kind"]) not in BUILT_IN:
            checked(document)
        return Manifest(document=_encoded(document), place=located.at())
    except BadField as error:
        raise BadInput(f"{located.at(error.path)}: {error}") from error


def _encoded(document: dict[str, Any]) -> dict[str, Any]:
    """A Secret with all its data in base64, as the API server keeps it; other kinds as they are."""
    if document["kind"] != "Secret":
        return document
    data = dict(document.get("data") or {})
    for key, value in data.items():
        _check_base64(document["metadata"]["name"], key, value)
    written = document.get("stringData") or {}
    data |= {key: base64.b64encode(value.encode()).decode() for key, value in written.items()}
    return {name: value for name, value in document.items() if name != "stringData"} | {"data": data}


def _check_base64(secret: str, key: str, value: str) -> None:
    try:
        base64.b64decode(value, validate=True)
    except ValueError as error:
        remedy = "write it under stringData as it is, or encode it"
        raise BadField(f"Secret {secret}: data.{key} is no base64 ({error}); {remedy}", ("data", key)) from error
