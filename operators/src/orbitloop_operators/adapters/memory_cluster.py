"""A cluster in memory: for one machine without Kubernetes, and for tests.

It keeps the promises of the API server that reconcilers build on: versions and uids, optimistic locking, schemas,
graceful deletion of pods, and that what is owned goes with its last owner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from orbitloop.api.kinds import KINDS
from orbitloop.domain.errors import BadInput, NotYet, Refused
from orbitloop.ports.clock import Clock
from orbitloop_operators.adapters.admission import admit
from orbitloop_operators.adapters.written import APPLIED, check_owner, event_on, marked, wanted, words
from orbitloop_operators.handlers.changes import Document, Key, Notice
from orbitloop_operators.usecases.errors import Stale

_POD, _EVENT = ("v1", "Pod"), ("v1", "Event")
_SERVED = {
    *(("v1", kind) for kind in ("ConfigMap", "Event", "Namespace", "Node", "Pod", "Secret", "Service")),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    *((kind.api_version, kind.name) for kind in KINDS),
}
_WITHOUT_STATUS = {("v1", kind) for kind in ("ConfigMap", "Event", "Secret")}
_OF_THE_SERVER = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_OVER = {"Succeeded", "Failed"}
_GRACE_S = 30
_EVENTS_LAST = timedelta(hours=1)


class Archive(Protocol):
    """Where objects outlive the process."""

    def keep(self, document: Document) -> None:
        """Have this be what is kept of an object; durable on return."""
        ...

    def drop(self, key: Key) -> None:
        """Keep nothing of an object any more."""
        ...


class NoArchive:
    """Objects end with the process."""

    def keep(self, document: Document) -> None:
        """Nothing to do."""

    def drop(self, key: Key) -> None:
        """Nothing to do."""


class MemoryCluster:
    """What reconcilers want changed, carried out in memory.

    Args:
        clock: objects and Events carry its time.
        component: who says what Events say.
        new_uid: makes uids; the first five characters of another one make a generated name unique.
        archive: where objects outlive the process; what it raises, the write raises, and nothing has changed.
        kept: objects that an archive had; they keep their versions and uids.
    """

    def __init__(
        self,
        clock: Clock,
        component: str,
        *,
        new_uid: Callable[[], str],
        archive: Archive | None = None,
        kept: Iterable[Document] = (),
    ) -> None:
        self._clock = clock
        self._component = component
        self._new_uid = new_uid
        self._archive = archive or NoArchive()
        self._objects: dict[Key, dict[str, Any]] = {Key.of(document): _copy(document) for document in kept}
        versions = (int(document["metadata"]["resourceVersion"]) for document in self._objects.values())
        self._version = max(versions, default=0)
        self._told: list[tuple[Callable[[Document], object], Callable[[Key, str], object]]] = []
        for document in list(self._objects.values()):
            self._collect_if_orphaned(document)

    def watch(self, changed: Callable[[Document], object], gone: Callable[[Key, str], object]) -> Callable[[], None]:
        """Tell of every object that there is, and of every change until what is given back is called.

        Args:
            changed: gets an object as it is.
            gone: gets where an object was, and its uid.
        """
        told = (changed, gone)
        self._told.append(told)
        for document in list(self._objects.values()):
            changed(document)
        return lambda: self._told.remove(told)

    def get(self, key: Key) -> Document | None:
        """An object as it is; not to be changed."""
        return self._objects.get(key)

    def places(self) -> Sequence[Key]:
        """Where all objects are, in order."""
        return sorted(self._objects)

    def all(self, api_version: str, kind: str) -> Sequence[Document]:
        """All objects of a kind, by namespace and name; not to be changed."""
        return [
            document
            for key, document in sorted(self._objects.items(), key=lambda entry: entry[0])
            if (key.api_version, key.kind) == (api_version, kind)
        ]

    async def create(self, document: Document) -> Document:
        """Have ``document`` exist; the object as it is.

        Raises:
            NameTaken: another owner has one of that name.
            NotYet: its kind is not served.
            Refused: its schema does not allow it.
        """
        _check_served(document)
        document = self._with_name(document)
        key = Key.of(document)
        if (known := self._objects.get(key)) is not None:
            check_owner(document, known)
            if "deletionTimestamp" in known["metadata"]:
                raise Stale(f"{words(key)} is being deleted; it is made again when that is done")
            return known
        _admit(document, f"create {wanted(document)}")
        made = self._new(document)
        self._put(made)
        self._collect_if_orphaned(made)
        return made

    async def replace(self, document: Document, known: Document | None) -> Document:
        """Have ``document`` exist with exactly this spec; the object as it is.

        Raises:
            NameTaken: another owner has one of that name.
            Stale: it changed meanwhile.
            Refused: its schema does not allow it.
        """
        ours = marked(document)
        if known is None:
            known = await self.create(ours)
        check_owner(document, known)
        if known["metadata"].get("annotations", {}).get(APPLIED) == ours["metadata"]["annotations"][APPLIED]:
            return known
        return self._overwrite(ours, known["metadata"]["resourceVersion"])

    def apply(self, document: Document, status: Mapping[str, Any] | None = None) -> Document:
        """What a user wants, as ``kubectl apply`` has it: made if it is not there, else with this spec; as it is.

        Labels and annotations that others have put on it stay.

        Args:
            status: that the object begins with; ``None``: none.

        Raises:
            Refused: its schema does not allow it.
        """
        _check_served(document)
        known = self._objects.get(Key.of(document))
        if known is not None:
            metadata = {**known["metadata"], **document["metadata"]}
            for part in ("labels", "annotations"):
                if part in metadata:
                    metadata[part] = {**known["metadata"].get(part, {}), **document["metadata"].get(part, {})}
            return self._overwrite({**document, "metadata": metadata}, known["metadata"]["resourceVersion"])
        _admit(document, f"create {wanted(document)}")
        made = self._new(document) | ({} if status is None else {"status": dict(status)})
        self._put(made)
        return made

    async def delete(self, key: Key, known: Document | None) -> None:
        """Have no such object; a successor of the same name, with another uid, stays.

        A pod that runs on a node is marked, and goes when its node says :meth:`remove`.
        """
        there = self._objects.get(key)
        if there is None or (known is not None and known["metadata"]["uid"] != there["metadata"]["uid"]):
            return
        if _runs(there):
            self._mark(there)
        else:
            self.remove(key, there["metadata"]["uid"])

    def remove(self, key: Key, uid: str) -> None:
        """An object is gone for good, and so is what only it owned."""
        there = self._objects.get(key)
        if there is None or there["metadata"]["uid"] != uid:
            return
        self._archive.drop(key)
        del self._objects[key]
        for _, gone in list(self._told):
            gone(key, uid)
        self._collect(uid)

    async def patch_status(self, document: Document, patch: Mapping[str, Any]) -> Document | None:
        """Change the status of the version that was looked at; ``None``: the object is gone.

        Raises:
            Stale: it changed meanwhile.
            Refused: its schema does not allow this status.
        """
        key = Key.of(document)
        there = self._objects.get(key)
        if there is None:
            return None
        what = f"write the status of {words(key)}"
        _check_version(there, document["metadata"]["resourceVersion"], what)
        return self._change(there, {"status": _merged(there.get("status") or {}, _copy(patch))}, what)

    def bind(self, pod: Document, node: str) -> Document:
        """Put a pod on a node, as the scheduler does; the pod as it is.

        Raises:
            Stale: it changed meanwhile.
        """
        there = self._objects.get(Key.of(pod))
        what = f"bind {words(Key.of(pod))}"
        if there is None:
            raise Stale(f"cannot {what}: it is gone")
        _check_version(there, pod["metadata"]["resourceVersion"], what)
        return self._change(there, {"spec": {**there["spec"], "nodeName": node}}, what)

    async def names(self, api_version: str, kind: str) -> Mapping[Key, str]:
        """The uid of each object of a kind."""
        return {Key.of(document): document["metadata"]["uid"] for document in self.all(api_version, kind)}

    async def tell(self, document: Document, notice: Notice) -> None:
        """An Event; the same one again counts one more."""
        now = self._clock.now()
        self._forget_events(now)
        event = event_on(document, notice, self._component, now)
        known = self._objects.get(Key.of(event))
        if known is None:
            self._put(self._new(event))
        else:
            self._put({**known, "count": known["count"] + 1, "lastTimestamp": event["lastTimestamp"]})

    def _overwrite(self, document: Document, version: str) -> Document:
        key = Key.of(document)
        there = self._objects.get(key)
        if there is None:
            raise Stale(f"cannot replace {words(key)}: it is gone")
        _check_version(there, version, f"replace {words(key)}")
        _admit(document, f"replace {words(key)}")
        if (key.api_version, key.kind) == _POD and _copy(document["spec"]) != there["spec"]:
            raise Refused(f"cannot replace {words(key)}: the spec of a pod does not change; delete it first")
        metadata = {name: there["metadata"][name] for name in _OF_THE_SERVER if name in there["metadata"]}
        body = {name: value for name, value in _copy(document).items() if name != "status"}
        body["metadata"] = {**body["metadata"], **metadata, "resourceVersion": version}
        if "status" in there:
            body["status"] = there["status"]
        if body == there:
            return there
        if "generation" in metadata and body.get("spec") != there.get("spec"):
            body["metadata"]["generation"] = metadata["generation"] + 1
        self._put(body)
        return body

    def _change(self, there: dict[str, Any], parts: Mapping[str, Any], what: str) -> Document:
        changed = {**there, **parts}
        if changed == there:
            return there
        _admit(changed, what)
        changed["metadata"] = dict(there["metadata"])
        self._put(changed)
        return changed

    def _put(self, document: dict[str, Any]) -> None:
        document["metadata"] = {**document["metadata"], "resourceVersion": str(self._version + 1)}
        self._archive.keep(document)
        self._version += 1
        self._objects[Key.of(document)] = document
        for changed, _ in list(self._told):
            changed(document)

    def _new(self, document: Document) -> dict[str, Any]:
        made = _copy(document)
        kind = (made["apiVersion"], made["kind"])
        made["metadata"] |= {"uid": self._new_uid(), "creationTimestamp": _stamp(self._clock.now())}
        if "/" in kind[0]:
            made["metadata"]["generation"] = 1
        if kind not in _WITHOUT_STATUS:
            made.pop("status", None)
        if kind == _POD:
            made["status"] = {"phase": "Pending"}
        return made

    def _with_name(self, document: Document) -> Document:
        metadata = document["metadata"]
        if "name" in metadata or "generateName" not in metadata:
            return document
        ending = re.sub("[^a-z0-9]", "", self._new_uid())[:5]
        return {**document, "metadata": {**metadata, "name": metadata["generateName"] + ending}}

    def _mark(self, pod: dict[str, Any]) -> None:
        if "deletionTimestamp" in pod["metadata"]:
            return
        grace = pod["spec"].get("terminationGracePeriodSeconds", _GRACE_S)
        when = _stamp(self._clock.now() + timedelta(seconds=grace))
        marks = {"deletionTimestamp": when, "deletionGracePeriodSeconds": grace}
        self._put({**pod, "metadata": {**pod["metadata"], **marks}})

    def _collect(self, owner: str) -> None:
        """Delete what has no owner any more, now that one is gone."""
        for document in list(self._objects.values()):
            if any(reference["uid"] == owner for reference in document["metadata"].get("ownerReferences", ())):
                self._collect_if_orphaned(document)

    def _collect_if_orphaned(self, document: dict[str, Any]) -> None:
        owners = {reference["uid"] for reference in document["metadata"].get("ownerReferences", ())}
        if not owners or any(other["metadata"]["uid"] in owners for other in self._objects.values()):
            return
        if _runs(document):
            self._mark(document)
        else:
            self.remove(Key.of(document), document["metadata"]["uid"])

    def _forget_events(self, now: datetime) -> None:
        for event in self.all(*_EVENT):
            if now - datetime.fromisoformat(event["lastTimestamp"]) > _EVENTS_LAST:
                self.remove(Key.of(event), event["metadata"]["uid"])


def _copy(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same as JSON has it, of which nobody else holds a part."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    return copy


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _runs(document: Document) -> bool:
    """Whether a node must stop something before the object can go."""
    if (document["apiVersion"], document["kind"]) != _POD or not document["spec"].get("nodeName"):
        return False
    return (document.get("status") or {}).get("phase") not in _OVER


def _check_served(document: Document) -> None:
    if (document["apiVersion"], document["kind"]) not in _SERVED:
        raise NotYet(f"{document['kind']} of {document['apiVersion']} is not served by this cluster; install its CRD")


def _check_version(there: Document, version: str, what: str) -> None:
    if there["metadata"]["resourceVersion"] != version:
        raise Stale(f"cannot {what}: it changed meanwhile; look at it again")


def _admit(document: Document, what: str) -> None:
    try:
        admit(document)
    except BadInput as error:
        raise Refused(f"cannot {what}: {error}") from error


def _merged(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``value`` with a JSON merge patch (RFC 7396) on it."""
    merged = dict(value)
    for name, part in patch.items():
        if part is None:
            merged.pop(name, None)
        elif isinstance(part, Mapping):
            before = merged.get(name)
            merged[name] = _merged(before if isinstance(before, Mapping) else {}, part)
        else:
            merged[name] = part
    return merged
