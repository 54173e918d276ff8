"""Documents of manifests: each error says where, and no text grows without end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop_mission.manifests.documents import documents

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)
)


def read(text: str, **variables: str) -> list[dict[str, object]]:
    return [located.document for located in documents(text, "m.yaml", variables)]


def test_documents_are_read_in_order_and_empty_ones_are_passed_over() -> None:
    assert read("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]


def test_json_is_yaml_as_well() -> None:
    assert read('{"a": [1, "20:00", {"b": null}]}') == [{"a": [1, "20:00", {"b": None}]}]
    assert read('\n{\n\t"a":\t"x\\ty",\n\t"b": [\t]\n}\n') == [{"a": "x\ty", "b": []}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", r"m\.yaml:2: a stands twice, first at line 1"),
        ("a:\n  b: 1\n  'b': 2", r"m\.yaml:3: b stands twice, first at line 2"),
        ("yes: 1\ntrue: 2", r"m\.yaml:2: true stands twice"),
        ("- 1", r"m\.yaml:1: a manifest is a mapping"),
        ("just text", r"m\.yaml:1: a manifest is a mapping"),
        ("a: [1\nb: 2", r"m\.yaml:2: no YAML"),
        ("a: 1\n\tb: 2", r"m\.yaml:2: no YAML"),
        ("a: 'x", r"m\.yaml:1: no YAML"),
        ("a: 1\n? [b]\n: 2", r"m\.yaml:2: a key is text"),
        ("a: 1\n~: 2", r"m\.yaml:2: a key is text"),
        ("a: *b", r"m\.yaml:1: \*b stands for nothing"),
        ("a: &a\n  b: *a", r"m\.yaml:2: \*a is inside of what &a stands for"),
        (LAUGHS, r"m\.yaml:\d+: more than 100000 values"),
        ("[" * 10_000, r"m\.yaml:1: deeper than 64 levels"),
        ('{"a":' * 50_000, r"m\.yaml:1: deeper than 64 levels"),
        ("a: !!set {b}", r"m\.yaml:1: the tag .*set' is unknown"),
        ("a:\n  <<: 1", r"m\.yaml:2: << takes a mapping"),
        ("x: &x {a: 1}\ny:\n  a: 2\n  <<: *x", r"m\.yaml:1: << brings a in after it was set"),
        ('a: "\\ud800"', r"m\.yaml:1: half a character"),
        ("a: \x07", r"m\.yaml: no YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"^{said}"):
        read(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BadInput, match=r"^m\.yaml: no YAML"):
        documents(b"a: \xff\xfe\xff", "m.yaml", {})


def test_an_anchor_stands_for_the_same_again() -> None:
    assert read("a: &x {b: 1}\nc: *x\nd: {<<: *x, b: 2, e: 3}") == [
        {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2, "e": 3}}
    ]


def test_of_several_merged_mappings_the_first_counts() -> None:
    assert read("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}")[0]["z"] == {"a": 1, "b": 2}


def test_keys_are_text() -> None:
    assert read("1: a\n1.5: b\non: c\n'on': d") == [{"1": "a", "1.5": "b", "true": "c", "on": "d"}]


def test_a_variable_is_what_its_value_would_be() -> None:
    text = "a: $SHARE\nb: '$SHARE'\nc: ${NAME}-2\nd: |\n  $NAME\ne: $EMPTY\n$NAME: x"
    assert read(text, SHARE="0.8", NAME="ships", EMPTY="") == [
        {"a": 0.8, "b": "0.8", "c": "ships-2", "d": "ships\n", "e": "", "$NAME": "x"}
    ]


def test_a_variable_brings_no_structure_in() -> None:
    assert read("a: $X\nb: [$X]", X="1, c: [d]\ne: f") == [{"a": "1, c: [d]\ne: f", "b": ["1, c: [d]\ne: f"]}]


def test_what_is_for_the_container_is_left_to_it() -> None:
    text = """
spec:
  containers:
  - command: [sh, -c, "echo $HOME"]
    args: ["$X"]
    env: [{name: A, value: "$(B)/$X/$$X/$$(B)/$5/100$"}]
"""
    [document] = read(text, X="x")
    assert document == {
        "spec": {
            "containers": [
                {
                    "command": ["sh", "-c", "echo $HOME"],
                    "args": ["$X"],
                    "env": [{"name": "A", "value": "$(B)/x/$X/$$(B)/$5/100$"}],
                }
            ]
        }
    }


def test_all_variables_without_a_value_are_one_error() -> None:
    with pytest.raises(BadInput, match=r"^m\.yaml: not set: \$A \(line 1\), \$B \(line 3\); export a value, or write"):
        read("a: $A\n---\nb: $B\nc: $A", C="1")


def test_a_part_knows_its_line() -> None:
    [located] = documents("a:\n  b:\n  - x\n  - y: 1\n", "m.yaml", {})
    assert located.at(("a", "b", 1, "y")) == "m.yaml:4"
    assert located.at(("a", "b", 1, "missing")) == "m.yaml:4"
    assert located.at(("nothing",)) == "m.yaml:1"


WORDS = [
    "a",
    "on",
    "1e3",
    ".inf",
    "$X",
    "${Y}",
    "é",
    "#",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "\n",
    "  ",
    "\t",
    "\x00",
    "\ufeff",
]
MARKS = [
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&x ",
    "*x",
    "<<: ",
    "? ",
    ">",
    "'",
    '"',
    "!t ",
    "!!int ",
    "!!binary ",
    "\\ud800",
]
PIECES = st.sampled_from([*WORDS, *MARKS, "|"])


@given(st.lists(PIECES, max_size=30).map("".join) | st.binary(max_size=40))
@settings(max_examples=400)
def test_whatever_stands_there_is_read_or_refused_with_its_place(text: str | bytes) -> None:
    refusal = ""
    try:
        found = [located.document for located in documents(text, "m.yaml", {"X": "1"})]
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except BadInput as error:
        refusal = str(error)
    assert not refusal or refusal.startswith("m.yaml:")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_what_json_says_is_read_as_it_is(value: object) -> None:
    for indent in (None, 1, "\t"):
        text = json.dumps({"a": value}, indent=indent)
        assert "$" in text or read(text) == [{"a": value}]
