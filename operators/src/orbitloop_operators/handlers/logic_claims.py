"""Which selection logic a satellite is to fly: where several name one, the oldest keeps it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from orbitloop.api.orbitloop_v1alpha1.selection_logic import SelectionLogic
from orbitloop.api.rules import checked
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop_operators.handlers.changes import Document, Key, View
from orbitloop_operators.handlers.nodes import SATELLITE

LOGIC = ("orbitloop.io/v1alpha1", "SelectionLogic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A logic that is to fly on a node.

    Args:
        logic: the object that says so.
        digest: sha256 of its file as it lies on the ground's storage.
        url: of that file.
    """

    logic: Key
    node: str
    digest: Digest
    url: str


def claimed(view: View, nodes: Collection[str] | None = None) -> Mapping[str, Claim]:
    """What is to fly, by node; of these nodes only, where some are named. One that is malformed claims nothing."""
    found: dict[str, Claim] = {}
    for document in sorted(view.all(*LOGIC), key=_age):
        wanted = set(nodes_of(document, view))
        if (wanted if nodes is None else wanted.intersection(nodes)) and "deletionTimestamp" not in document[
            "metadata"
        ]:
            for claim in _claims(document, view):
                found.setdefault(claim.node, claim)
    return found


def nodes_of(document: Document, view: View) -> Iterator[str]:
    """The nodes of the satellites that a logic names, as far as they are there."""
    for name in names_of(document):
        satellite = view.get(satellite_key(document, name))
        if satellite is not None and (node := node_of_satellite(satellite)):
            yield node


def names_of(document: Document) -> list[str]:
    """The satellites that a logic names; what is malformed is passed over, which its own reconciler says."""
    spec = document.get("spec")
    named = spec.get("satellites") if isinstance(spec, Mapping) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list | tuple) else []


def satellite_key(document: Document, name: str) -> Key:
    """The Satellite of that name in the namespace of a document."""
    return Key(
        api_version=SATELLITE[0], kind=SATELLITE[1], namespace=document["metadata"].get("namespace", ""), name=name
    )


def node_of_satellite(satellite: Document) -> str:
    """Its node; empty where it names none, which its own reconciler says."""
    spec = satellite.get("spec")
    return str(spec.get("nodeName") or "") if isinstance(spec, Mapping) else ""


def _claims(document: Document, view: View) -> Iterator[Claim]:
    try:
        logic = checked(document)
    except BadInput:
        return
    assert isinstance(logic, SelectionLogic)
    for node in nodes_of(document, view):
        yield Claim(logic=Key.of(document), node=node, digest=Digest(logic.spec.digest), url=logic.spec.url)


def _age(document: Document) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return str(metadata.get("creationTimestamp", "")), str(metadata.get("namespace", "")), str(metadata["name"])
