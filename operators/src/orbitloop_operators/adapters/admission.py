"""What the API server itself refuses, for clusters that are none: names, labels, and pods that could not run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from orbitloop.api.kinds import BadField, parse
from orbitloop_operators.handlers.changes import Document

Path = tuple[str | int, ...]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_LONGEST_NAME, _LONGEST_LABEL = 253, 63
_RESTARTS = {"Always", "OnFailure", "Never"}


def admit(document: Document) -> None:
    """Refuse what the API server would.

    Raises:
        BadField: a field is missing or of the wrong type; says which.
        BadInput: the kind is unknown.
    """
    _check_metadata(document)
    if "." in document["apiVersion"].partition("/")[0]:
        parse(document)
    for path, spec in pod_specs(document):
        check_pod_spec(spec, path, _named(document))
    if document["kind"] in {"Secret", "ConfigMap"}:
        _check_data(document)


def pod_specs(document: Document) -> Iterator[tuple[Path, Any]]:
    """The pod specs of a document: its own, if it is a Pod, and those of its templates; with their paths.

    The template of an ApplicationTransformation is none: what it leaves out is filled in.
    """
    if document["kind"] == "ApplicationTransformation":
        return
    if document["kind"] == "Pod":
        yield ("spec",), document.get("spec")
    else:
        yield from _templates(document.get("spec"), ("spec",))


def _templates(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _templates(entry, (*path, index))
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            if name == "template" and isinstance(entry, Mapping):
                yield (*path, name, "spec"), entry.get("spec")
            else:
                yield from _templates(entry, (*path, name))


def check_pod_spec(spec: Any, path: Path, named: str) -> None:
    """Refuse a pod that the API server would refuse.

    Args:
        path: of the spec in its document.
        named: what the document is called in errors.

    Raises:
        BadField: says which field, and what it should be.
    """
    check = _Check(named)
    check.that(isinstance(spec, Mapping), path, "a pod has a spec with containers")
    check.that(spec.get("restartPolicy", "Always") in _RESTARTS, (*path, "restartPolicy"), "Always, OnFailure or Never")
    volumes = check.named(spec, path, "volumes")
    check.that(bool(spec.get("containers")), (*path, "containers"), "at least one container")
    seen: set[str] = set()
    for part in ("initContainers", "containers"):
        for name, (where, container) in check.named(spec, path, part).items():
            check.that(name not in seen, (*where, "name"), f"{name} stands twice; each container has its own")
            seen.add(name)
            _check_container(check, container, where, set(volumes))


def _check_container(check: _Check, container: Mapping[str, Any], path: Path, volumes: set[str]) -> None:
    check.that(bool(container.get("image")), (*path, "image"), "the image that the container is made of")
    for part in ("command", "args"):
        for index, word in enumerate(check.rows(container, path, part)):
            check.that(isinstance(word, str), (*path, part, index), f"text, so {word!r} needs quotes")
    for index, variable in enumerate(check.rows(container, path, "env")):
        where = (*path, "env", index)
        check.that(isinstance(variable, Mapping) and bool(variable.get("name")), where, "name, and value or valueFrom")
        value = variable.get("value")
        check.that(value is None or isinstance(value, str), (*where, "value"), f"text, so {value!r} needs quotes")
        check.that(not (value and variable.get("valueFrom")), where, "value or valueFrom, not both")
    for index, mount in enumerate(check.rows(container, path, "volumeMounts")):
        where = (*path, "volumeMounts", index)
        check.that(isinstance(mount, Mapping) and bool(mount.get("mountPath")), where, "name and mountPath")
        check.that(mount.get("name") in volumes, (*where, "name"), f"there is no volume {mount.get('name')!r}")


class _Check:
    """Says what a field should be.

    Args:
        named: what the document is called.
    """

    def __init__(self, named: str) -> None:
        self._named = named

    def that(self, holds: bool, path: Path, wanted: str) -> None:
        if not holds:
            raise BadField(f"{self._named}: {'.'.join(map(str, path))}: {wanted}", path)

    def rows(self, holder: Mapping[str, Any], path: Path, part: str) -> list[Any]:
        """A list; one that is left out is empty."""
        found = holder.get(part) or []
        self.that(isinstance(found, list), (*path, part), "a list")
        return list(found)

    def named(self, holder: Mapping[str, Any], path: Path, part: str) -> dict[str, tuple[Path, Mapping[str, Any]]]:
        """Entries of a list by their names, each of which is there once."""
        found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
        for index, entry in enumerate(self.rows(holder, path, part)):
            where = (*path, part, index)
            self.that(isinstance(entry, Mapping), where, "a mapping with a name")
            name = entry.get("name")
            fits = isinstance(name, str) and len(name) <= _LONGEST_LABEL and bool(_LABEL.fullmatch(name))
            self.that(fits, (*where, "name"), f"{name!r} is no name: lower-case letters, digits and -, at most 63")
            self.that(name not in found, (*where, "name"), f"{name} stands twice")
            found[str(name)] = (where, entry)
        return found


def _named(document: Document) -> str:
    return f"{document['kind']} {document['metadata'].get('name', 'without a name')}"


def _check_metadata(document: Document) -> None:
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        raise BadField(f"{document['kind']}: metadata: a mapping with a name", ("metadata",))
    check, name, namespace = _Check(_named(document)), metadata.get("name"), metadata.get("namespace", "")
    fits = isinstance(name, str) and len(name) <= _LONGEST_NAME and bool(_SUBDOMAIN.fullmatch(name))
    check.that(fits, ("metadata", "name"), f"{name!r} is no name: lower-case letters, digits, - and ., at most 253")
    fits = isinstance(namespace, str) and (not namespace or bool(_LABEL.fullmatch(namespace)))
    check.that(fits, ("metadata", "namespace"), f"{namespace!r} is no name: lower-case letters, digits and -")
    for part in ("labels", "annotations"):
        entries = metadata.get(part) or {}
        check.that(isinstance(entries, Mapping), ("metadata", part), "a mapping")
        for key, value in entries.items():
            check.that(isinstance(value, str), ("metadata", part, key), f"text, so {value!r} needs quotes")
            fits = part != "labels" or (len(value) <= _LONGEST_LABEL and bool(_LABEL_VALUE.fullmatch(value)))
            check.that(fits, ("metadata", part, key), f"{value!r} is no label: letters, digits, -, _ and ., at most 63")


def _check_data(document: Document) -> None:
    check = _Check(_named(document))
    for part in ("data", "stringData"):
        entries = document.get(part) or {}
        check.that(isinstance(entries, Mapping), (part,), "a mapping")
        for key, value in entries.items():
            check.that(bool(_SECRET_KEY.fullmatch(key)), (part, key), "a key of letters, digits, -, _ and .")
            check.that(isinstance(value, str), (part, key), "text; numbers and truth values need quotes")
