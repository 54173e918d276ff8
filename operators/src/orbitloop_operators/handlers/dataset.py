"""Dataset: how many samples its node counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitloop.api.kinds import BadField
from orbitloop.api.rules import checked
from orbitloop.api.sedna_v1alpha1.dataset import Dataset
from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import Finding, conditioned, kept, refusal, stamp, still_said
from orbitloop_operators.handlers.node_reports import DatasetReport, report_of
from orbitloop_operators.handlers.nodes import is_known, node_of, unknown_node

API_VERSION, KIND = "sedna.io/v1alpha1", "Dataset"
COUNTED, MISSING = "Counted", "FileMissing"
ANNOTATIONS = "json"
"""Format of a Dataset that lists no samples, one a line."""
_COUNT = ("numberOfSamples", "updateTime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasets:
    """The reconciler of Datasets: what is known of the samples is what their node said last."""

    def related(self, document: Document, view: View) -> Sequence[Key]:
        """Datasets on the node that ``document`` is about."""
        node = node_of(document)
        if node is None:
            return ()
        found = view.all(API_VERSION, KIND)
        return [Key.of(one) for one in found if (one.get("spec") or {}).get("nodeName") == node]

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:
        """The count, and whether it is one.

        Raises:
            BadInput: the spec, or what the node said, cannot be read.
        """
        dataset = checked(document)
        assert isinstance(dataset, Dataset)
        node = dataset.spec.node_name
        if dataset.spec.format.lower() == ANNOTATIONS:
            message = "annotations are read by transformations, and nobody counts them"
            return conditioned(document, {}, [Finding(holds=True, reason="Annotations", message=message)], now)
        report = report_of(view, node)
        said = None if report is None else report.dataset(dataset.namespace, dataset.name)
        if said is None or said.url not in {"", dataset.spec.url}:
            return self._unheard(document, dataset, view, now)
        if said.error:
            message = f"{dataset.spec.url} on node {node}: {said.error}"
            missing = Finding(holds=False, reason=MISSING, message=message)
            return conditioned(document, _counts(document, said), [missing], now)
        return conditioned(document, _counts(document, said), [_counted(node)], now)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The Dataset is not ready, and says why."""
        if isinstance(error, BadField) and error.path[-1:] == ("format",):
            finding = Finding(holds=False, reason="UnsupportedFormat", message=str(error))
            return conditioned(document, kept(document), [finding], now)
        return refusal(document, error, now)

    def _unheard(self, document: Document, dataset: Dataset, view: View, now: datetime) -> Changes:
        """The node has not spoken of it as it is now, or not since this process began: what was known stays."""
        node, known = dataset.spec.node_name, _known(document)
        if not is_known(view, node):
            return conditioned(document, known, [unknown_node(node)], now)
        before = still_said(document, COUNTED, MISSING)
        if before is not None:
            return conditioned(document, known, [before], now)
        message = f"node {node} has not counted {dataset.spec.url} yet; it does once its Local Controller is heard"
        return conditioned(document, known, [Finding(holds=None, reason="WaitingForNode", message=message)], now)


def _known(document: Document) -> dict[str, object]:
    """The count that was known, unless it is of a spec of before."""
    seen = (document.get("status") or {}).get("observedGeneration")
    return kept(document, *_COUNT) if seen in {None, document["metadata"].get("generation")} else {}


def _counted(node: str) -> Finding:
    return Finding(holds=True, reason=COUNTED, message=f"counted by node {node}")


def _counts(document: Document, said: DatasetReport) -> dict[str, object]:
    """The fields that a report sets; what it does not say stays."""
    if said.number_of_samples is None:
        return kept(document, *_COUNT)
    updated = None if said.update_time is None else stamp(said.update_time)
    return {"numberOfSamples": said.number_of_samples, "updateTime": updated}
