"""What must hold of single values: each check once, for CEL and for Python, with words that a person can act on.

Where each applies is in :mod:`orbitloop.api.rules`. CEL is the Common Expression Language as API servers since
Kubernetes 1.25 evaluate it, with its standard functions alone; ``self`` is the value. Patterns are within what RE2 and
Python's ``re`` read alike.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeGuard

from orbitloop.domain.contexts import Index
from orbitloop.domain.elements import TwoLine
from orbitloop.domain.errors import BadInput
from orbitloop.domain.hardware import HardwareTarget
from orbitloop.domain.mining import DEFAULTS, Miner
from orbitloop.domain.policy import CODECS, LARGEST_PRIORITY
from orbitloop.domain.samples import Reason
from orbitloop.domain.selectors import Selection
from orbitloop.domain.traffic import TrafficClass
from orbitloop.domain.triggers import DRIFT, END_OF_DAY, NUM_OF_SAMPLES, OPERATORS

RESERVED_CONTAINER = "orbitloop"
"""Name of the init container that orbitloop adds to users' pod templates: no other of the pod may have it."""

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What must hold of a value.

    Args:
        message: what it must be, and where that helps, why.
        cel: the expression; empty where CEL has no words for it.
        holds: the same in Python, of a value as :meth:`pydantic.BaseModel.model_dump` gives it.
        opens: of a field that is passed on whole, the properties that CEL must see, as a schema has them.
    """

    message: str
    cel: str
    holds: Callable[[Any], bool]
    opens: Mapping[str, Any] = field(default_factory=dict)


def _matching(pattern: str, message: str) -> Check:
    """A text that is ``pattern`` from its first character to its last."""
    whole = re.compile(pattern)
    return Check(
        message=message, cel=f"self.matches(r'^({pattern})$')", holds=lambda text: whole.fullmatch(text) is not None
    )


def _one_of(known: Iterable[str], message: str) -> Check:
    names = tuple(known)
    listed = json.dumps(list(names))
    return Check(message=f"{message}: one of {', '.join(names)}", cel=f"self in {listed}", holds=lambda it: it in names)


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and re.fullmatch(_SUBDOMAIN, text) is not None


def _name(message: str, *, may_be_empty: bool = False) -> Check:
    cel = f"size(self) <= {_LONGEST_NAME} && self.matches(r'^{_SUBDOMAIN}$')"
    if may_be_empty:
        return Check(
            message=message, cel=f"self == '' || ({cel})", holds=lambda text: text == "" or _is_name(text)
        )  # fmt: skip
    return Check(message=message, cel=cel, holds=_is_name)


_LETTERS = "lower-case letters, digits, - and ., at most 253"
RESOURCE_NAME = _name(f"must be the name of a resource in the same namespace: {_LETTERS}")
OPTIONAL_NAME = _name(f"must be empty or the name of a resource in the same namespace: {_LETTERS}", may_be_empty=True)
NODE_NAME = _name(f"must be the name of a node, as kubectl get nodes shows it: {_LETTERS}")

SHARE = Check(
    message="must be above 0 and at most 1: the share of new samples that is trained on, for instance 0.8",
    cel="self > 0.0 && self <= 1.0",
    holds=lambda value: 0 < value <= 1,
)
FINITE = Check(
    message="must be a number, neither infinite nor undefined",
    cel="self - self == 0.0",
    holds=math.isfinite,
)
POSITIVE = Check(message="must be at least 1", cel="self >= 1", holds=lambda value: value >= 1)
AT_LEAST_ONE = Check(message="must have at least one entry", cel="size(self) >= 1", holds=lambda value: len(value) >= 1)
DIGEST = _matching(
    "sha256:[0-9a-f]{64}", "must be the SHA-256 digest of the file, as sha256: and 64 hexadecimal digits"
)

_HOUR_AND_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
CLOCK = _matching(_HOUR_AND_MINUTE, "must be a time of day, UTC, as HH:MM, for instance 02:30")
UNTIL = _matching(f"{_HOUR_AND_MINUTE}|{END_OF_DAY}", "must be a time of day, UTC, as HH:MM, at most 24:00")
OPERATOR = _one_of(OPERATORS, "must be a comparison")
METRIC = _matching(
    r"[^\[\]\x00-\x20]+(\[[0-9]+\])?",
    "must be the name of a metric, or of one of its numbers, for instance precision[0]",
)
COUNTED = _one_of((NUM_OF_SAMPLES, DRIFT), "must be what is known before a round is trained")

MINER = _one_of(Miner, "must be a rule of hard-example mining")
_MINERS = json.dumps([str(miner) for miner in Miner])


def _knows_its_parameters(mining: Mapping[str, Any]) -> bool:
    known = {str(miner): parameters for miner, parameters in DEFAULTS.items()}.get(mining["name"])
    return known is None or all(given["key"] in known for given in mining.get("parameters") or ())


def _parameters_in_cel() -> str:
    cases = (
        f"(self.name == '{miner}' && p.key in {json.dumps(list(known))})" for miner, known in DEFAULTS.items() if known
    )
    return f"!has(self.parameters) || !(self.name in {_MINERS}) || self.parameters.all(p, {' || '.join(cases)})"


PARAMETERS = Check(
    message="has a parameter that its rule does not know; there are "
    + "; ".join(f"{miner}: {', '.join(known)}" for miner, known in DEFAULTS.items() if known),
    cel=_parameters_in_cel(),
    holds=_knows_its_parameters,
)
_DECIMAL = r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"


def _is_share(text: str) -> bool:
    return re.fullmatch(_DECIMAL, text) is not None and float(text) <= 1


PARAMETER = Check(
    message='must be a number from 0 to 1, as text, for instance "0.9"',
    cel=f"self.matches(r'^{_DECIMAL}$') && double(self) <= 1.0",
    holds=_is_share,
)
PARAMETERS_OF_KNOWN = Check(
    message='has a parameter that is no number from 0 to 1, as text, for instance "0.9"',
    cel=f"!has(self.parameters) || !(self.name in {_MINERS}) || "
    f"self.parameters.all(p, p.value.matches(r'^{_DECIMAL}$') && double(p.value) <= 1.0)",
    holds=lambda mining: (
        mining["name"] not in tuple(Miner) or all(_is_share(given["value"]) for given in mining.get("parameters") or ())
    ),
)
NAMED = Check(message="must have a name", cel="size(self) >= 1", holds=lambda name: len(name) >= 1)

FORMAT = _matching(
    "[tT][xX][tT]|[cC][sS][vV]|[jJ][sS][oO][nN]",
    "must be txt or csv: how the index file lists the samples, one a line; or json: annotations of a transformation",
)
_PRINTED = r"[^\x00-\x1f]"
_IN_BUCKET = r"s3://[^/\x00-\x20]+"
FILE = _matching(
    rf"(/|{_IN_BUCKET}/)({_PRINTED}*[^/\x00-\x1f])", "must be a file: an absolute path on its node, or s3://bucket/key"
)
GROUND_FILE = _matching(
    rf"/({_PRINTED}*[^/\x00-\x1f])",
    "must be a file: an absolute path on the ground's storage, which the gateway can read",
)
GROUND_FOLDER = _matching(
    rf"/{_PRINTED}+", "must be a folder: an absolute path on the ground's storage, which the gateway can read"
)
FOLDER = _matching(rf"(/|{_IN_BUCKET}/?){_PRINTED}*", "must be a folder: an absolute path, or s3://bucket/prefix")
WITHIN = Check(
    message="must not have .. in its path: write where it is",
    cel=r"!self.matches(r'(^|/)\.\.(/|$)')",
    holds=lambda path: ".." not in path.split("/"),
)

ELEMENTS_FORM = Check(
    message="must be the two lines of a two-line element set, of 69 characters each, or none",
    cel="size(self) == 0 || (size(self) == 2 && self[0].matches(r'^1 [ -~]{66}[0-9]$') "
    "&& self[1].matches(r'^2 [ -~]{66}[0-9]$'))",
    holds=lambda lines: (
        not lines
        or (
            len(lines) == 2
            and re.fullmatch(r"1 [ -~]{66}[0-9]", lines[0]) is not None
            and re.fullmatch(r"2 [ -~]{66}[0-9]", lines[1]) is not None
        )
    ),
)


def _is_an_orbit(lines: tuple[str, ...]) -> bool:
    if not lines or not ELEMENTS_FORM.holds(lines):
        return True  # said by the form
    try:
        TwoLine(name="satellite", first=lines[0], second=lines[1])
    except BadInput:
        return False
    return True


ELEMENTS = Check(
    message="must be as published: right checksums, both lines of one satellite, in a low Earth orbit",
    cel="",
    holds=_is_an_orbit,
)
WINDOW = Check(
    message="must end after it begins: aos is acquisition, los is loss of signal",
    cel="self.aos < self.los",
    holds=lambda window: bool(window["aos"] < window["los"]),
)
CODEC = _one_of(CODECS, "must be an image codec")
SELECTION = _one_of(Selection, "must be a way to choose tiles")
_SUBJECTS = tuple(str(subject) for subject in (*Reason, *TrafficClass))
PRIORITIES = Check(
    message=f"must be 1 to {LARGEST_PRIORITY} per cent, of {', '.join(_SUBJECTS)}",
    cel=f"self.all(subject, subject in {json.dumps(list(_SUBJECTS))} && self[subject] >= 1 && "
    f"self[subject] <= {LARGEST_PRIORITY})",
    holds=lambda given: all(name in _SUBJECTS and 1 <= given[name] <= LARGEST_PRIORITY for name in given),
)

APPLICATION = _matching(
    "[a-z][-a-z0-9]*|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*",
    "must be ships, airplanes or clouds, or an application of the image's own, as package.module:function",
)
_SIGNED = rf":-?{_DECIMAL}"
CONTEXT = _matching(
    rf"[^=;\x00-\x20]+=(map({_SIGNED}){{4}}|({'|'.join(Index)})({_SIGNED}){{2}})",
    f"must be a rule, such as water=ndwi:0.1:1 or here=map:W:S:E:N; there are map, {', '.join(Index)}",
)
COMPUTE = Check(
    message="must have either target, the name of a hardware target, or profile, what orbitloop profile wrote",
    cel="(has(self.target) && self.target != '') != has(self.profile)",
    holds=lambda compute: bool(compute.get("target")) != (compute.get("profile") is not None),
)
_OF_A_TARGET = {one.name: one.default is MISSING for one in fields(HardwareTarget)}


def _is_profile(given: Mapping[str, Any]) -> bool:
    needed = {name for name, is_needed in _OF_A_TARGET.items() if is_needed}
    if not needed <= set(given) <= set(_OF_A_TARGET) or not isinstance(given["seconds"], Mapping):
        return False
    try:
        HardwareTarget(**given)
    except (BadInput, TypeError, ValueError):
        return False
    return True


PROFILE = Check(
    message="must be what orbitloop profile wrote: " + ", ".join(_OF_A_TARGET),
    cel="",
    holds=_is_profile,
)

_KEPT: Mapping[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _containers(*names: str) -> Mapping[str, Any]:
    items = {**_KEPT, "properties": {"name": {"type": "string", "maxLength": 63}}}
    lists = {name: {"type": "array", "maxItems": 64, "items": items} for name in names}
    return {"spec": {**_KEPT, "properties": lists}}


def _part(holder: Any, name: str) -> Any:
    """A part of what is passed on whole; ``None`` where it is not there."""
    return holder.get(name) if isinstance(holder, Mapping) else None


def _listed(template: Mapping[str, Any], name: str) -> list[Any]:
    listed = _part(_part(template, "spec"), name)
    return listed if isinstance(listed, list) else []


def _has_a_container(template: Mapping[str, Any]) -> bool:
    return bool(_listed(template, "containers"))


def _leaves_our_name(template: Mapping[str, Any]) -> bool:
    containers = [*_listed(template, "initContainers"), *_listed(template, "containers")]
    return not any(_part(one, "name") == RESERVED_CONTAINER for one in containers)


def _names_a_node(template: Mapping[str, Any]) -> bool:
    node = _part(_part(template, "spec"), "nodeName")
    return node is None or node == "" or (isinstance(node, str) and _is_name(node))


CONTAINERS = Check(
    message="must have at least one container, under spec.containers",
    cel="has(self.spec) && has(self.spec.containers) && size(self.spec.containers) >= 1",
    holds=_has_a_container,
    opens=_containers("containers"),
)
CONTAINER_NAMES = Check(
    message=f"has a container named {RESERVED_CONTAINER}, which is the one that orbitloop adds: give it another name",
    cel=" && ".join(
        f"(!has(self.spec) || !has(self.spec.{part}) || "
        f"self.spec.{part}.all(c, !has(c.name) || c.name != '{RESERVED_CONTAINER}'))"
        for part in ("initContainers", "containers")
    ),
    holds=_leaves_our_name,
    opens=_containers("initContainers", "containers"),
)
TEMPLATE_NODE = Check(
    message=f"names no node in spec.nodeName: {_LETTERS}",
    cel="!has(self.spec) || !has(self.spec.nodeName) || self.spec.nodeName == '' || "
    f"(size(self.spec.nodeName) <= {_LONGEST_NAME} && self.spec.nodeName.matches(r'^{_SUBDOMAIN}$'))",
    holds=_names_a_node,
    opens={"spec": {**_KEPT, "properties": {"nodeName": {"type": "string", "maxLength": 1024}}}},
)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _scales(hpa: Mapping[str, Any]) -> bool:
    least, most = hpa.get("minReplicas"), hpa.get("maxReplicas")
    if least is None:
        least = 1
    return _is_count(least) and _is_count(most) and 1 <= least <= most


REPLICAS = Check(
    message="must have 1 <= minReplicas <= maxReplicas; minReplicas is 1 where it is left out",
    cel="has(self.maxReplicas) && self.maxReplicas >= 1 && "
    "(!has(self.minReplicas) || (self.minReplicas >= 1 && self.minReplicas <= self.maxReplicas))",
    holds=_scales,
    opens={"minReplicas": {"type": "integer"}, "maxReplicas": {"type": "integer"}},
)
