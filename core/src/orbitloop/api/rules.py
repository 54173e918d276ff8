"""Which check applies to which field of which kind, and the judgement of a whole document.

The same table becomes CEL in ``crds/with-rules/`` (:mod:`orbitloop.crdgen`), and is what the admission webhook and the
reconcilers ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orbitloop.api import checks
from orbitloop.api.checks import Check
from orbitloop.api.kinds import BadField, parse
from orbitloop.api.parts import Resource

Path = tuple[str | int, ...]

_SHOWN = 80
"""Characters of a value that a message shows."""
_TOLD = 8
"""Broken rules that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A check at its place.

    Args:
        kind: of resource.
        path: of the field, with dots; ``[]`` after a list stands for each of its entries. A field that is not there
            breaks no rule.
    """

    kind: str
    path: str
    check: Check

    @property
    def message(self) -> str:
        """What is said of a value that breaks it."""
        return f"{self.path.rpartition('.')[2]} {self.check.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A value that breaks a rule.

    Args:
        path: of the value, from the root of the document.
        value: as it is.
    """

    rule: Rule
    path: Path
    value: Any

    def __str__(self) -> str:
        shown = "" if isinstance(self.value, Mapping | list | tuple) else f"; it is {_shortened(repr(self.value))}"
        return f"{words_of(self.path)}: {self.rule.check.message}{shown}"


_TEMPLATE = (checks.CONTAINERS, checks.CONTAINER_NAMES, checks.TEMPLATE_NODE)
_PLACE = (checks.FOLDER, checks.WITHIN)
_FILE = (checks.FILE, checks.WITHIN)


def _trigger(path: str, *of_metric: Check) -> dict[str, tuple[Check, ...]]:
    return {
        f"{path}.checkPeriodSeconds": (checks.POSITIVE,),
        f"{path}.timer.start": (checks.CLOCK,),
        f"{path}.timer.end": (checks.UNTIL,),
        f"{path}.condition.operator": (checks.OPERATOR,),
        f"{path}.condition.threshold": (checks.FINITE,),
        f"{path}.condition.metric": (checks.METRIC, *of_metric),
    }


def _mining_of_workers(path: str) -> dict[str, tuple[Check, ...]]:
    """Of workers that may bring rules of their own: only parameters of known ones can be judged."""
    return {path: (checks.PARAMETERS, checks.PARAMETERS_OF_KNOWN), f"{path}.name": (checks.NAMED,)}


def _mining(path: str) -> dict[str, tuple[Check, ...]]:
    return {
        path: (checks.PARAMETERS,),
        f"{path}.name": (checks.MINER,),
        f"{path}.parameters[].value": (checks.PARAMETER,),
    }


_CHECKS: Mapping[str, Mapping[str, tuple[Check, ...]]] = {
    "Dataset": {
        "spec.url": _FILE,
        "spec.format": (checks.FORMAT,),
        "spec.nodeName": (checks.NODE_NAME,),
        "spec.credentialName": (checks.OPTIONAL_NAME,),
    },
    "Model": {
        "spec.url": _FILE,
        "spec.credentialName": (checks.OPTIONAL_NAME,),
    },
    "IncrementalLearningJob": {
        "spec.dataset.name": (checks.RESOURCE_NAME,),
        "spec.dataset.trainProb": (checks.SHARE,),
        "spec.initialModel.name": (checks.RESOURCE_NAME,),
        "spec.trainSpec.template": _TEMPLATE,
        **_trigger("spec.trainSpec.trigger", checks.COUNTED),
        "spec.evalSpec.initialEvalModel.name": (checks.RESOURCE_NAME,),
        "spec.evalSpec.template": _TEMPLATE,
        "spec.deploySpec.model.name": (checks.RESOURCE_NAME,),
        "spec.deploySpec.template": _TEMPLATE,
        **_trigger("spec.deploySpec.trigger"),
        **_mining("spec.deploySpec.hardExampleMining"),
        "spec.credentialName": (checks.OPTIONAL_NAME,),
        "spec.outputDir": _PLACE,
    },
    "JointInferenceService": {
        "spec.edgeWorker.model.name": (checks.RESOURCE_NAME,),
        "spec.edgeWorker.template": _TEMPLATE,
        "spec.edgeWorker.hpa": (checks.REPLICAS,),
        **_mining_of_workers("spec.edgeWorker.hardExampleMining"),
        "spec.cloudWorker.model.name": (checks.RESOURCE_NAME,),
        "spec.cloudWorker.template": _TEMPLATE,
        "spec.cloudWorker.hpa": (checks.REPLICAS,),
    },
    "FederatedLearningJob": {
        "spec.aggregationWorker.model.name": (checks.RESOURCE_NAME,),
        "spec.aggregationWorker.template": _TEMPLATE,
        "spec.trainingWorkers": (checks.AT_LEAST_ONE,),
        "spec.trainingWorkers[].dataset.name": (checks.RESOURCE_NAME,),
        "spec.trainingWorkers[].template": _TEMPLATE,
        "spec.pretrainedModel.name": (checks.RESOURCE_NAME,),
        "spec.transmitter.s3.aggDataPath": _PLACE,
        "spec.transmitter.s3.credentialName": (checks.OPTIONAL_NAME,),
    },
    "LifelongLearningJob": {
        "spec.dataset.name": (checks.RESOURCE_NAME,),
        "spec.dataset.trainProb": (checks.SHARE,),
        "spec.trainSpec.template": _TEMPLATE,
        **_trigger("spec.trainSpec.trigger", checks.COUNTED),
        "spec.evalSpec.template": _TEMPLATE,
        "spec.deploySpec.template": _TEMPLATE,
        "spec.credentialName": (checks.OPTIONAL_NAME,),
        "spec.outputDir": _PLACE,
    },
    "FeatureExtractionService": {"spec.model.name": (checks.RESOURCE_NAME,), "spec.template": _TEMPLATE},
    "VideoAnalyticsJob": {"spec.model.name": (checks.RESOURCE_NAME,), "spec.template": _TEMPLATE},
    "ReidJob": {"spec.template": _TEMPLATE},
    "ObjectSearchService": {
        "spec.userWorker.template": _TEMPLATE,
        "spec.trackingWorkers[].template": _TEMPLATE,
    },
    "ObjectTrackingService": {"spec.trackingWorkers[].template": _TEMPLATE},
    "Satellite": {
        "spec.nodeName": (checks.NODE_NAME,),
        "spec.elements": (checks.ELEMENTS_FORM, checks.ELEMENTS),
        "spec.linkPolicy": (checks.OPTIONAL_NAME,),
        "spec.compute": (checks.COMPUTE,),
        "spec.compute.profile": (checks.PROFILE,),
    },
    "ContactPlan": {
        "spec.satellites[]": (checks.RESOURCE_NAME,),
        "spec.stations[]": (checks.RESOURCE_NAME,),
        "spec.windows[]": (checks.WINDOW,),
    },
    "LinkPolicy": {
        "spec.codec": (checks.CODEC,),
        "spec.priorities": (checks.PRIORITIES,),
        "spec.selection": (checks.SELECTION,),
    },
    "SelectionLogic": {
        "spec.satellites": (checks.AT_LEAST_ONE,),
        "spec.satellites[]": (checks.RESOURCE_NAME,),
        "spec.url": (checks.GROUND_FILE, checks.WITHIN),
        "spec.digest": (checks.DIGEST,),
    },
    "ApplicationTransformation": {
        "spec.application": (checks.APPLICATION,),
        "spec.dataset": (checks.OPTIONAL_NAME,),
        "spec.model": (checks.OPTIONAL_NAME,),
        "spec.satellite": (checks.RESOURCE_NAME,),
        "spec.contexts[]": (checks.CONTEXT,),
        "spec.outputUrl": (checks.GROUND_FOLDER, checks.WITHIN),
        "spec.template": (checks.CONTAINER_NAMES, checks.TEMPLATE_NODE),
    },
}

RULES: tuple[Rule, ...] = tuple(
    Rule(kind=kind, path=path, check=check)
    for kind, fields in _CHECKS.items()
    for path, applied in fields.items()
    for check in applied
)


def checked(document: Mapping[str, Any]) -> Resource:
    """The resource that ``document`` describes, if it keeps every rule of its kind.

    Raises:
        BadField: it does not; names every field that is wrong, and its ``path`` is the first one's.
        BadInput: its kind is unknown.
    """
    resource = parse(document)
    breaches = broken(resource)
    if breaches:
        raise BadField(_complaint(resource, breaches), breaches[0].path)
    return resource


def broken(resource: Resource) -> tuple[Breach, ...]:
    """The rules that a resource breaks, in the order in which its kind has them."""
    written = resource.model_dump(by_alias=True, exclude_unset=True)
    return tuple(
        Breach(rule=rule, path=path, value=value)
        for rule in rules_of(resource.kind_name)
        for path, value in found(written, rule.path)
        if not rule.check.holds(value)
    )


def rules_of(kind: str) -> tuple[Rule, ...]:
    """The rules of a kind."""
    return tuple(rule for rule in RULES if rule.kind == kind)


def found(document: Mapping[str, Any], path: str) -> Iterator[tuple[Path, Any]]:
    """What is there at ``path``, as a :class:`Rule` has it, each with its own path."""
    return _found(document, tuple(path.replace("[]", ".[]").split(".")), ())


def _found(value: Any, rest: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Any]]:
    if value is None:
        return
    if not rest:
        yield path, value
    elif rest[0] == "[]":
        for index, entry in enumerate(value):
            yield from _found(entry, rest[1:], (*path, index))
    else:
        yield from _found(value.get(rest[0]), rest[1:], (*path, rest[0]))


def words_of(path: Path) -> str:
    """A path as people read it: ``spec.windows[0].aos``."""
    made = ""
    for part in path:
        made += f"[{part}]" if isinstance(part, int) else f".{part}"
    return made.removeprefix(".")


def _complaint(resource: Resource, breaches: tuple[Breach, ...]) -> str:
    told = "; ".join(str(breach) for breach in breaches[:_TOLD])
    more = f"; and {len(breaches) - _TOLD} more" if len(breaches) > _TOLD else ""
    return f"{resource.kind_name} {resource.name or 'without a name'}: {told}{more}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
