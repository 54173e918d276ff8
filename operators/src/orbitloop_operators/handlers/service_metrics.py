"""Metrics of a service: what its workers report through their nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

from orbitloop_operators.handlers.changes import Document, View
from orbitloop_operators.handlers.node_reports import API_VERSION, KIND, NodeReport

_FIRST, _LAST = "startTime", "updateTime"
_COUNTED = ("inferenceNumber", "hardExampleNumber")
_SHARE = "uploadCloudRatio"


def metrics_of(document: Document, view: View, worker: str) -> list[dict[str, str]]:
    """The metrics of the workers of this name on all nodes, in Sedna's words; as they were while nobody reports.

    Counts are added up; a share counts by the inferences that it is of.

    Args:
        document: the service.
        worker: what its workers are called.

    Raises:
        BadInput: what a node said of the worker cannot be read.
    """
    namespace = document["metadata"].get("namespace", "")
    said = [
        info
        for one in view.all(API_VERSION, KIND)
        if (info := _owner_info(one, namespace, worker))  # one that says nothing does not count
    ]
    if not said:
        return list((document.get("status") or {}).get("metrics") or ())
    found = {_FIRST: min(_texts(said, _FIRST), default=""), _LAST: max(_texts(said, _LAST), default="")}
    found |= {name: _text(fsum(_number(info, name) for info in said)) for name in _COUNTED}
    found[_SHARE] = _text(_share(said))
    return [{"key": key, "value": value} for key, value in found.items() if value]


def _owner_info(report: Document, namespace: str, worker: str) -> Mapping[str, Any]:
    said = NodeReport(node=report["metadata"]["name"], observed=report.get("observed") or {})
    found = said.worker(namespace, worker)
    return {} if found is None else found.owner_info


def _texts(said: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    return [str(info[name]) for info in said if info.get(name)]


def _number(info: Mapping[str, Any], name: str) -> float:
    value = info.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def _share(said: Sequence[Mapping[str, Any]]) -> float:
    inferred = fsum(_number(info, _COUNTED[0]) for info in said)
    uploaded = fsum(_number(info, _SHARE) * _number(info, _COUNTED[0]) for info in said)
    return round(uploaded / inferred, 4) if inferred else 0.0


def _text(number: float) -> str:
    return str(int(number)) if number.is_integer() else str(number)
