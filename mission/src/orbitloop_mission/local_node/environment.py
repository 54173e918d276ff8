"""What a container's environment, command and arguments are, by the rules of Kubernetes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orbitloop.domain.errors import NotYet
from orbitloop_operators.handlers.changes import Document

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\((?P<name>[^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(?P<part>labels|annotations)\['(?P<key>[^']+)'\]")
_FIELDS: Mapping[str, Callable[[Document], str]] = {
    "metadata.name": lambda pod: str(pod["metadata"]["name"]),
    "metadata.namespace": lambda pod: str(pod["metadata"].get("namespace", "")),
    "metadata.uid": lambda pod: str(pod["metadata"]["uid"]),
    "spec.nodeName": lambda pod: str(pod["spec"].get("nodeName", "")),
    "spec.serviceAccountName": lambda pod: str(pod["spec"].get("serviceAccountName", "default")),
    "status.hostIP": lambda pod: "127.0.0.1",
    "status.podIP": lambda pod: "127.0.0.1",
    "status.podIPs": lambda pod: "127.0.0.1",
}


class Incomplete(NotYet):
    """A container cannot be made as things are; the kubelet says ``CreateContainerConfigError``, and tries again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where values come from.

    Args:
        pod: the container's pod.
        find: a Secret or ConfigMap of the pod's namespace, by kind and name.
        base: what every container has, as an image would give it.
    """

    pod: Document
    find: Callable[[str, str], Document | None]
    base: Mapping[str, str]


def environment(container: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    """A container's whole environment.

    Raises:
        Incomplete: a Secret, a ConfigMap, or a key of one is not there.
    """
    made = dict(sources.base)
    for source in container.get("envFrom") or ():
        made |= _all_of(source, sources)
    for variable in container.get("env") or ():
        name, origin = variable["name"], variable.get("valueFrom")
        value = expanded(variable.get("value") or "", made) if origin is None else _value(name, origin, sources)
        if value is not None:
            made[name] = value
    return made


def expanded(text: str, values: Mapping[str, str]) -> str:
    """``text`` with ``$(NAME)`` replaced; names without a value stay, and ``$$`` is one dollar."""

    def replaced(found: re.Match[str]) -> str:
        return "$" if found["dollar"] else values.get(found["name"], found[0])

    return _REFERENCE.sub(replaced, text)


def contents(document: Document) -> Iterator[tuple[str, bytes]]:
    """Keys and values of a Secret or a ConfigMap."""
    encoded = document["kind"] == "Secret"
    for key, value in (document.get("data") or {}).items():
        yield key, base64.b64decode(value) if encoded else value.encode()
    for key, value in (document.get("binaryData") or {}).items():
        yield key, base64.b64decode(value)


def referred(kind: str, reference: Mapping[str, Any], sources: Sources) -> Document | None:
    """The object that ``reference`` names; ``None`` for an optional one that is not there.

    Raises:
        Incomplete: it is not there.
    """
    name = str(reference.get("name") or reference.get("secretName") or "")
    found = sources.find(kind, name)
    if found is None and not reference.get("optional"):
        namespace = sources.pod["metadata"].get("namespace", "")
        raise Incomplete(f"{kind} {namespace}/{name} is not there; add it to the manifest")
    return found


def _all_of(source: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    made: dict[str, str] = {}
    for part, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        if part in source and (document := referred(kind, source[part], sources)) is not None:
            made |= {f"{source.get('prefix', '')}{key}": _text(key, value) for key, value in contents(document)}
    return made


def _value(name: str, origin: Mapping[str, Any], sources: Sources) -> str | None:
    for part, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if part in origin:
            return _of_key(kind, origin[part], sources)
    if "fieldRef" in origin:
        return _of_field(name, str(origin["fieldRef"].get("fieldPath", "")), sources.pod)
    raise Incomplete(
        f"env {name}: valueFrom is {', '.join(origin)}; here there are secretKeyRef, configMapKeyRef, fieldRef"
    )


def _of_key(kind: str, reference: Mapping[str, Any], sources: Sources) -> str | None:
    document = referred(kind, reference, sources)
    if document is None:
        return None
    key = str(reference.get("key", ""))
    values = dict(contents(document))
    if key in values:
        return _text(key, values[key])
    if reference.get("optional"):
        return None
    has = ", ".join(values) or "none"
    raise Incomplete(f"{kind} {document['metadata']['name']} has no key {key!r}; it has {has}")


def _of_field(name: str, path: str, pod: Document) -> str:
    if path in _FIELDS:
        return _FIELDS[path](pod)
    if found := _SUBSCRIPT.fullmatch(path):
        return str((pod["metadata"].get(found["part"]) or {}).get(found["key"], ""))
    raise Incomplete(f"env {name}: there is no field {path!r}; there are {', '.join(_FIELDS)}")


def _text(key: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Incomplete(f"the value of {key} is no text, and an environment holds text; mount it as a file") from error
