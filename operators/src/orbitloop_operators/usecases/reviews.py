"""Judge what is about to be written: an AdmissionReview in, an AdmissionReview out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orbitloop.api.kinds import KINDS
from orbitloop.api.rules import checked
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Document

_VERSION, _KIND = "admission.k8s.io/v1", "AdmissionReview"
_REFUSED = {"code": 422, "reason": "Invalid"}
_KNOWN = frozenset((kind.api_version, kind.name) for kind in KINDS)

Contested = Callable[[str], bool]
"""Whether the objects of an API version are another's to look after."""


def answer(review: Document, contested: Contested) -> dict[str, Any]:
    """The answer to a review: allowed, or what is wrong, where, and what to do.

    What was there before stays changeable: an update that leaves the spec as it is passes, so that a label, an owner
    or a finalizer never fails for a spec that an older release let in.

    Raises:
        BadInput: it is no AdmissionReview of version 1.
    """
    request = review.get("request")
    if (review.get("apiVersion"), review.get("kind")) != (_VERSION, _KIND) or not isinstance(request, Mapping):
        raise BadInput(f"it is no {_KIND} of {_VERSION} with a request; admissionReviewVersions of the webhook is [v1]")
    uid = request.get("uid")
    if not isinstance(uid, str):
        raise BadInput("its request has no uid; a review that is answered names it")
    return {"apiVersion": _VERSION, "kind": _KIND, "response": {"uid": uid, **_judged(request, contested)}}


def _judged(request: Mapping[str, Any], contested: Contested) -> dict[str, Any]:
    written, before = request.get("object"), request.get("oldObject")
    if not isinstance(written, Mapping) or _is_left_alone(written, before, contested):
        return {"allowed": True}
    try:
        checked({name: part for name, part in written.items() if name != "status"})
    except BadInput as error:
        return {"allowed": False, "status": {**_REFUSED, "message": str(error)}}
    return {"allowed": True}


def _is_left_alone(written: Mapping[str, Any], before: Any, contested: Contested) -> bool:
    """Whether it is not ours to judge: of a kind of a newer release, of a rival, or not changed."""
    kind = str(written.get("apiVersion")), str(written.get("kind"))
    if kind not in _KNOWN or contested(kind[0]):
        return True
    return isinstance(before, Mapping) and before.get("spec") == written.get("spec")
