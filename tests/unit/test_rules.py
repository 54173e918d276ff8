"""Rules on what users write: one table, judged alike by Python and by CEL, in words that say what to do."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cel import complaints, holds

from orbitloop import crdgen
from orbitloop.api import checks
from orbitloop.api.kinds import KINDS, BadField, kind_of, parse
from orbitloop.api.rules import RULES, Rule, broken, checked, found, rules_of, words_of
from orbitloop.domain.elements import checksum
from orbitloop.domain.mining import DEFAULTS
from orbitloop.domain.triggers import OPERATORS

MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "fit-an-application.md"
DOCUMENTS: list[dict[str, Any]] = [
    document for path in sorted(MANIFESTS.iterdir()) for document in yaml.safe_load_all(path.read_text())
]
SCHEMAS: dict[str, Any] = {
    kind.name: crdgen.manifest(kind, with_rules=True)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for kind in KINDS
}


def a(kind: str) -> dict[str, Any]:
    """A manifest that keeps every rule and has every field that a rule is about."""
    return copy.deepcopy(next(document for document in DOCUMENTS if document["kind"] == kind))


def put(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The document with ``value`` at ``path``; ``[]`` is the first entry."""
    holder: Any = document
    parts = path.replace("[]", ".[]").split(".")
    for part, following in pairwise(parts):
        if part == "[]":
            holder = holder[0]
        else:
            holder = holder.setdefault(part, [{}] if following == "[]" else {})
    holder[0 if parts[-1] == "[]" else parts[-1]] = value
    return document


def server_says(document: dict[str, Any]) -> set[tuple[str, str]]:
    """What a server with rules refuses."""
    return set(complaints(document, SCHEMAS[document["kind"]]))


def python_says(document: dict[str, Any]) -> set[tuple[str, str]]:
    """What :mod:`orbitloop.api.rules` refuses, as far as CEL has words for it."""
    found_broken = broken(parse(document))
    return {(words_of(one.path), one.rule.message) for one in found_broken if one.rule.check.cel}


def named(document: dict[str, Any]) -> str:
    return f"{document['kind']}-{document['metadata']['name']}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_what_users_write_keeps_every_rule(document: dict[str, Any]) -> None:
    assert checked(document) == parse(document)
    assert server_says(document) == set()


def shown() -> Iterator[Any]:
    """The manifests that a how-to shows whole."""
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL):
        yield from yaml.safe_load_all(block)


@pytest.mark.parametrize("document", list(shown()), ids=named)
def test_what_the_page_shows_keeps_every_rule(document: dict[str, Any]) -> None:
    assert checked(document) == parse(document)
    assert server_says(document) == set()


JOB, SERVICE, FEDERATION = "IncrementalLearningJob", "JointInferenceService", "FederatedLearningJob"
AT = "ApplicationTransformation"
PROFILE = a("Satellite")["spec"]["compute"]["profile"]
TRAIN, DEPLOY = "spec.trainSpec.trigger", "spec.deploySpec.trigger"
MINING, OF_EDGE = "spec.deploySpec.hardExampleMining", "spec.edgeWorker.hardExampleMining"
FIRST = "1 25544U 98067A   24001.50000000  .00016717  00000-0  10270-3 0  9009"
SECOND = "2 25544  51.6400 208.9163 0006317  69.9862  25.2906 15.49815308000002"
OTHER = SECOND[:2] + "25545" + SECOND[7:68]

BAD = [
    (JOB, "spec.dataset.trainProb", 0.0, "above 0 and at most 1"),
    (JOB, "spec.dataset.trainProb", 1.01, "above 0 and at most 1"),
    ("LifelongLearningJob", "spec.dataset.trainProb", -0.5, "above 0 and at most 1"),
    (JOB, f"{TRAIN}.timer.start", "2:00", "HH:MM, for instance 02:30; it is '2:00'"),
    (JOB, f"{TRAIN}.timer.start", "24:00", "HH:MM"),
    (JOB, f"{TRAIN}.timer.end", "24:01", "HH:MM, at most 24:00"),
    (JOB, f"{TRAIN}.timer.end", "02:00\n", "HH:MM"),
    (JOB, f"{TRAIN}.timer.end", "٠٢:٣٠", "HH:MM"),
    (JOB, f"{TRAIN}.checkPeriodSeconds", 0, "at least 1"),
    (JOB, f"{TRAIN}.condition.operator", "=>", "one of gt, >, ge, >=, eq, =, ==, ne, !=, le, <=, lt, <; it is '=>'"),
    (JOB, f"{TRAIN}.condition.threshold", float("inf"), "neither infinite nor undefined"),
    (JOB, f"{TRAIN}.condition.metric", "precision", "one of num_of_samples, drift"),
    (JOB, f"{DEPLOY}.condition.metric", "", "the name of a metric"),
    (JOB, f"{DEPLOY}.condition.metric", "precision[-1]", r"for instance precision\[0\]"),
    (JOB, f"{DEPLOY}.condition.metric", "precision[0]x", "the name of a metric"),
    (JOB, f"{MINING}.name", "ibt", "one of IBT, CrossEntropy, Threshold, Random, CloudOnly, EdgeOnly"),
    (JOB, f"{MINING}.parameters[].key", "threshold", "there are IBT: threshold_img, threshold_box;"),
    (JOB, f"{MINING}.parameters[].value", "high", "number from 0 to 1, as text"),
    (SERVICE, f"{OF_EDGE}.parameters[].value", "1.5", "number from 0 to 1"),
    (SERVICE, f"{OF_EDGE}.name", "", "must have a name"),
    ("Dataset", "spec.format", "coco", "txt or csv"),
    ("Dataset", "spec.url", "data/index.txt", "an absolute path on its node, or s3://bucket/key"),
    ("Dataset", "spec.url", "/data/", "must be a file"),
    ("Dataset", "spec.url", "s3://bucket", "must be a file"),
    ("Dataset", "spec.url", "/data/../etc/passwd", r"must not have \.\. in its path"),
    ("Dataset", "spec.nodeName", "Edge 1", "as kubectl get nodes shows it"),
    ("Dataset", "spec.credentialName", "my_secret", "must be empty or the name"),
    ("Model", "spec.url", "https://example.org/model.onnx", "an absolute path on its node"),
    (JOB, "spec.outputDir", "output", "must be a folder"),
    (JOB, "spec.outputDir", "/output/..", r"must not have \.\."),
    (JOB, "spec.initialModel.name", "Base", "lower-case letters"),
    (JOB, "spec.trainSpec.template", {"spec": {"containers": []}}, "at least one container"),
    (JOB, "spec.trainSpec.template", {}, "at least one container"),
    (
        JOB,
        "spec.deploySpec.template",
        {"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "orbitloop"}]}},
        "give it another name",
    ),
    (JOB, "spec.evalSpec.template.spec.nodeName", "edge_1", "names no node"),
    (SERVICE, "spec.cloudWorker.hpa", {"minReplicas": 5, "maxReplicas": 2}, "minReplicas <= maxReplicas"),
    (SERVICE, "spec.edgeWorker.hpa", {"minReplicas": 1}, "minReplicas <= maxReplicas"),
    (FEDERATION, "spec.trainingWorkers", [], "at least one entry"),
    (FEDERATION, "spec.trainingWorkers[].dataset.name", "_", "trainingWorkers[0].dataset.name"),
    (FEDERATION, "spec.transmitter.s3.aggDataPath", "s3://", "must be a folder"),
    ("Satellite", "spec.elements", [FIRST], "of 69 characters each, or none"),
    ("Satellite", "spec.elements", [SECOND, FIRST], "of 69 characters each, or none"),
    ("Satellite", "spec.elements", [FIRST[:68] + "0", SECOND], "right checksums"),
    ("Satellite", "spec.elements", [FIRST, OTHER + str(checksum(OTHER))], "both lines of one satellite"),
    (
        "ContactPlan",
        "spec.windows[]",
        {"satellite": "a", "station": "b", "aos": "2026-03-01T12:00:00Z", "los": "2026-03-01T12:00:00Z"},
        "must end after it begins",
    ),
    ("LinkPolicy", "spec.codec", "gif", "one of webp, jpeg, png, avif; it is 'gif'"),
    ("LinkPolicy", "spec.selection", "Best", "one of Value, FirstLook, Hard, Entropy, CoreSet, Random, Everything"),
    ("LinkPolicy", "spec.priorities", {"hardest": 200}, "per cent, of "),
    ("LinkPolicy", "spec.priorities", {"hard": 0}, "must be 1 to 100000 per cent"),
    ("SelectionLogic", "spec.satellites", [], "at least one entry"),
    ("SelectionLogic", "spec.satellites[]", "SAT", "satellites[0]"),
    ("SelectionLogic", "spec.url", "s3://bucket/selection.ols", "an absolute path on the ground's storage"),
    ("SelectionLogic", "spec.url", "/data/ships/", "must be a file"),
    ("SelectionLogic", "spec.digest", "0123", "sha256: and 64 hexadecimal digits"),
    ("Satellite", "spec.compute", {}, "either target, the name of a hardware target, or profile"),
    ("Satellite", "spec.compute", {"target": "one-core", "profile": PROFILE}, "either target"),
    ("Satellite", "spec.compute.profile", {"name": "bench"}, "name, provenance, source, seconds, memory, watts"),
    ("Satellite", "spec.compute.profile", PROFILE | {"seconds": {"cut": -1}}, "what orbitloop profile wrote"),
    (AT, "spec.application", "my-package.ships", "package.module:function"),
    (AT, "spec.dataset", "Ships", "must be empty or the name"),
    (AT, "spec.satellite", "SAT", "lower-case letters"),
    (AT, "spec.contexts[]", "water=ndwi:0.1", "such as water=ndwi:0.1:1 or here=map:W:S:E:N"),
    (AT, "spec.outputUrl", "s3://bucket/ships", "must be a folder: an absolute path on the ground's storage"),
    (AT, "spec.outputUrl", "/data/../etc", r"must not have \.\."),
    (AT, "spec.template", {"spec": {"containers": [{"name": "orbitloop"}]}}, "give it another name"),
]


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"), [pytest.param(*row, id=f"{row[1]}-{row[2]!r}"[:80]) for row in BAD]
)
def test_what_is_wrong_is_refused_alike_and_says_where_and_what_to_do(
    kind: str, path: str, value: Any, said: str
) -> None:
    document = put(a(kind), path, value)
    with pytest.raises(BadField, match=f"^{kind} ") as caught:
        checked(document)
    assert said.replace("\\", "") in str(caught.value)
    assert words_of(caught.value.path).startswith(path.partition("[]")[0].partition(".parameters")[0].removesuffix(
        ".spec.nodeName"
    ))  # fmt: skip
    assert server_says(document) == python_says(document)


def test_every_check_refuses_something_in_the_table() -> None:
    refused = {
        one.rule.check.message for kind, path, value, _ in BAD for one in broken(parse(put(a(kind), path, value)))
    }
    assert {rule.check.message for rule in RULES} == refused


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        *((JOB, f"{DEPLOY}.condition.operator", operator) for operator in OPERATORS),
        *((JOB, MINING, {"name": str(miner)}) for miner in DEFAULTS),
        *(
            (JOB, MINING, {"name": str(miner), "parameters": [{"key": key, "value": text} for key in known]})
            for miner, known in DEFAULTS.items()
            for text in ("0", "1", "0.5", ".5", "1.", "5e-1")
        ),
        (JOB, "spec.dataset.trainProb", 1.0),
        (JOB, f"{TRAIN}.timer", {"start": "23:59", "end": "00:00"}),
        (JOB, f"{TRAIN}.timer", {"start": "00:00", "end": "24:00"}),
        (SERVICE, OF_EDGE, {"name": "BertRouter", "parameters": [{"key": "model", "value": "routellm/bert"}]}),
        (JOB, f"{DEPLOY}.condition.metric", "mAP@0.5"),
        (JOB, f"{DEPLOY}.condition.metric", "precision_delta[12]"),
        (JOB, "spec.trainSpec.trigger", {}),
        (JOB, "spec.outputDir", "/"),
        (JOB, "spec.outputDir", "s3://bucket"),
        (JOB, "spec.outputDir", "/a/..b/c.."),
        ("Dataset", "spec.format", "CSV"),
        ("Dataset", "spec.format", "json"),
        ("Satellite", "spec.compute", {"target": "raspberry-pi-4"}),
        (AT, "spec.application", "my_package.ships:find"),
        (AT, "spec.contexts[]", "bright=brightness:.6:1."),
        (AT, "spec.template", {"spec": {"nodeSelector": {}}}),
        ("Dataset", "spec.url", "s3://bucket/a b/index.txt"),
        ("Dataset", "spec.nodeName", "edge-1.example.org"),
        ("Dataset", "spec.credentialName", ""),
        ("Satellite", "spec.elements", []),
        (SERVICE, "spec.cloudWorker.hpa", {"maxReplicas": 1}),
        (SERVICE, "spec.cloudWorker.template.spec.initContainers", [{"name": "fetch"}, {"image": "unnamed"}]),
        ("LinkPolicy", "spec.priorities", {}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_right_passes(kind: str, path: str, value: Any) -> None:
    document = put(a(kind), path, value)
    checked(document)
    assert server_says(document) == set()


def test_all_that_is_wrong_is_said_at_once() -> None:
    job = put(put(a(JOB), "spec.outputDir", "here"), "spec.dataset.trainProb", 3)
    with pytest.raises(BadField, match=r"(?s)spec\.dataset\.trainProb: .*; spec\.outputDir: "):
        checked(job)


def test_a_long_list_of_wrongs_is_cut_and_counted() -> None:
    plan = a("ContactPlan")
    plan["spec"]["satellites"] = ["NO"] * 30
    with pytest.raises(BadField, match=r"satellites\[7\].*; and 22 more$"):
        checked(plan)


def schema_at(rule: Rule) -> Any:
    place: Any = SCHEMAS[rule.kind]
    for part in rule.path.replace("[]", ".[]").split("."):
        place = place["items"] if part == "[]" else place["properties"][part]
    return place


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.path}")
def test_every_rule_is_about_a_field_that_there_is(rule: Rule) -> None:
    messages = [entry["message"] for entry in schema_at(rule).get("x-kubernetes-validations", ())]
    assert (rule.message in messages) == bool(rule.check.cel)


def unbounded(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Texts, lists and maps without a largest size, in all that CEL can see of a field."""
    bound = {"array": "maxItems", "string": "maxLength"}.get(schema["type"])
    if "additionalProperties" in schema:
        bound = "maxProperties"
    if bound is not None and bound not in schema and "format" not in schema:
        yield path
    for name, part in schema.get("properties", {}).items():
        yield from unbounded(part, f"{path}.{name}")
    if "items" in schema:
        yield from unbounded(schema["items"], f"{path}[]")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.path}")
def test_what_a_rule_reads_is_bounded_or_servers_refuse_its_cost(rule: Rule) -> None:
    assert list(unbounded(schema_at(rule), rule.path)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.path}")
def test_a_message_fits_where_servers_show_it(rule: Rule) -> None:
    assert "\n" not in rule.message
    assert len(rule.message) < 500


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_definition_with_rules_differs_by_them_and_their_bounds_alone(kind: Any) -> None:
    plain, ruled = crdgen.manifest(kind), crdgen.manifest(kind, with_rules=True)
    text = crdgen.files(with_rules=True)[f"{kind.group}_{kind.plural}.yaml"]
    assert yaml.safe_load(text) == ruled
    assert len(text) < 40_000
    assert without_rules(ruled, plain) == plain


def without_rules(ruled: Any, plain: Any) -> Any:
    """What of ``ruled`` is in ``plain`` too."""
    if isinstance(ruled, dict) and isinstance(plain, dict):
        return {key: without_rules(part, plain[key]) for key, part in ruled.items() if key in plain}
    if isinstance(ruled, list) and isinstance(plain, list):
        return [without_rules(one, other) for one, other in zip(ruled, plain, strict=True)]
    return ruled


# Laws: whatever is written, both judge alike.

LETTERS = st.text(st.sampled_from("az09AZ-._/:@ s3\n\x00é٣[]+e"), max_size=12)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
PLACES = st.builds("{}{}{}".format, st.sampled_from(["/", "s3://", "s3://b/", "", "/a/"]), LETTERS, LETTERS)
NUMBERS = st.floats() | st.sampled_from([0.0, 1.0, 0.5, -0.0, float("nan"), float("inf")])
TEXT_NUMBERS = st.from_regex(r"\A[+-]?[0-9.]{0,4}(e-?[0-9]{0,3})?\Z") | LETTERS
KEYS = st.sampled_from(sorted({key for known in DEFAULTS.values() for key in known} | {"other"}))
NAMES = st.sampled_from([*(str(miner) for miner in DEFAULTS), "other"])
MININGS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={"parameters": st.lists(st.fixed_dictionaries({"key": KEYS, "value": TEXT_NUMBERS}), max_size=3)},
)
CLOCKS = st.from_regex(r"\A[0-9]{1,2}:[0-9]{1,2}\n?\Z") | LETTERS
METRICS = st.from_regex(r"\A[a-z]{0,3}(\[-?[0-9]{0,2}\])?\n?\Z") | LETTERS
SUBJECTS = st.sampled_from(["hard", "random", "sample", "other", "telemetry"])
CONTAINERS = st.lists(st.fixed_dictionaries({}, optional={"name": st.sampled_from(["a", "orbitloop-a", "orbitloop"])}))
LINES = st.sampled_from([FIRST, SECOND, FIRST[:68], SECOND + "0", FIRST[:68] + "x", ""]) | LETTERS
COUNTS = st.integers(-2, 5)
OPEN = st.sampled_from(["spec", "containers", "initContainers", "nodeName", "name", "minReplicas", "maxReplicas"])

VALUES: dict[str, st.SearchStrategy[Any]] = {
    checks.SHARE.message: NUMBERS,
    checks.FINITE.message: NUMBERS,
    checks.POSITIVE.message: st.integers(-3, 3) | st.integers(-(2**40), 2**40),
    checks.AT_LEAST_ONE.message: st.just([]),
    checks.CLOCK.message: CLOCKS,
    checks.UNTIL.message: CLOCKS | st.just("24:00"),
    checks.NAMED.message: LETTERS,
    checks.OPERATOR.message: st.sampled_from([*OPERATORS, "=>", "", "GT"]) | LETTERS,
    checks.METRIC.message: METRICS,
    checks.COUNTED.message: METRICS | st.just("num_of_samples"),
    checks.MINER.message: NAMES | LETTERS,
    checks.PARAMETERS.message: MININGS,
    checks.PARAMETERS_OF_KNOWN.message: MININGS,
    checks.PARAMETER.message: TEXT_NUMBERS,
    checks.FORMAT.message: st.sampled_from(["txt", "TxT", "csv", "cſv", "txt\n"]) | LETTERS,
    checks.FILE.message: PLACES,
    checks.GROUND_FILE.message: PLACES,
    checks.GROUND_FOLDER.message: PLACES,
    checks.APPLICATION.message: LETTERS.filter(bool) | st.from_regex(r"\A[a-z_.-]{0,4}:?[a-z_9]{0,3}\n?\Z"),
    checks.CONTEXT.message: st.from_regex(r"\A[a-z]?=(map|ndwi|ndv)(:-?[0-9]?\.?[0-9]?){1,4}\n?\Z") | LETTERS,
    checks.COMPUTE.message: st.fixed_dictionaries(
        {}, optional={"target": st.sampled_from(["", "one-core"]), "profile": st.just({})}
    ),
    checks.PROFILE.message: st.dictionaries(st.sampled_from(["name", "watts"]), NUMBERS),
    checks.FOLDER.message: PLACES,
    checks.WITHIN.message: st.lists(st.sampled_from(["..", ".", "a", "", "..a", "..\n"])).map("/".join),
    checks.ELEMENTS_FORM.message: st.lists(LINES, max_size=2),
    checks.ELEMENTS.message: st.lists(LINES, max_size=2),
    checks.WINDOW.message: st.fixed_dictionaries(
        {"satellite": st.just("a"), "station": st.just("b"), "aos": TIMES.map(str), "los": TIMES.map(str)}
    ),
    checks.CODEC.message: st.sampled_from(["webp", "png", "WEBP"]) | LETTERS,
    checks.PRIORITIES.message: st.dictionaries(SUBJECTS, st.integers(-1, 100_001), max_size=3),
    checks.CONTAINERS.message: st.fixed_dictionaries(
        {}, optional={"spec": st.fixed_dictionaries({}, optional={"containers": CONTAINERS})}
    ),
    checks.CONTAINER_NAMES.message: st.fixed_dictionaries(
        {"spec": st.fixed_dictionaries({"containers": CONTAINERS}, optional={"initContainers": CONTAINERS})}
    ),
    checks.TEMPLATE_NODE.message: st.fixed_dictionaries({"spec": st.fixed_dictionaries({"nodeName": LETTERS})}),
    checks.REPLICAS.message: st.fixed_dictionaries({}, optional={"minReplicas": COUNTS, "maxReplicas": COUNTS}),
    checks.RESOURCE_NAME.message: LETTERS.filter(bool) | st.sampled_from(["a" * 253, "a" * 254]),
    checks.OPTIONAL_NAME.message: LETTERS,
    checks.NODE_NAME.message: LETTERS.filter(bool),
    checks.DIGEST.message: st.from_regex(r"\A(sha256:)?[0-9a-f]{63,65}\n?\Z") | LETTERS,
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A manifest with a few fields that rules are about written anew."""
    document: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    rules = [rule for rule in rules_of(document["kind"]) if any(True for _ in found(document, rule.path))]
    for rule in draw(st.lists(st.sampled_from(rules), max_size=3)) if rules else ():
        if any(True for _ in found(document, rule.path)):  # another may have emptied the list that it is in
            put(document, rule.path, draw(VALUES[rule.check.message]))
    return document


@settings(max_examples=100, deadline=None)
@given(documents())
def test_python_and_cel_judge_every_document_alike(document: dict[str, Any]) -> None:
    assert server_says(document) == python_says(document)


@pytest.mark.parametrize("message", VALUES, ids=lambda message: message[:40])
def test_python_and_cel_judge_every_value_alike(message: str) -> None:
    rule = next(rule for rule in RULES if rule.check.message == message)
    document, place = a(rule.kind), schema_at(rule)

    @settings(max_examples=100, deadline=None)
    @given(VALUES[message])
    def alike(value: Any) -> None:
        breaches = broken(parse(put(document, rule.path, value)))
        kept = all(breach.rule != rule for breach in breaches)
        assert not rule.check.cel or holds(rule.check.cel, value, place) == kept

    alike()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(OPEN, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(OPEN, JSON, max_size=3), st.dictionaries(OPEN, JSON, max_size=3))
def test_whatever_is_passed_on_whole_is_judged(template: dict[str, Any], hpa: dict[str, Any]) -> None:
    service = put(a(SERVICE), "spec.edgeWorker.template", template)
    for breach in broken(parse(put(service, "spec.edgeWorker.hpa", hpa))):
        assert breach.path[:2] == ("spec", "edgeWorker")


def test_a_kind_without_rules_is_checked_by_its_types() -> None:
    station = a("GroundStation")
    assert checked(station) == parse(station)
    assert kind_of(station).name == "GroundStation"
