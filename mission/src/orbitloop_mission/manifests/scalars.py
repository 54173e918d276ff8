"""What an unquoted word of YAML is, by the rules of go-yaml v2, which Kubernetes reads manifests with.

They are those of YAML 1.1 with three exceptions: numbers to the base 60 are text (``20:00``), times are text, and a
number with a leading zero that is no octal number is decimal.
"""

from __future__ import annotations

import base64
import binascii
import re

Value = str | int | float | bool | None
"""What a scalar stands for."""

_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_NULL = {"", "~", "null", "Null", "NULL"}
_NOT_FINITE = {f"{sign}.{word}" for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")} | {".nan", ".NaN", ".NAN"}
_BASES = (
    (16, re.compile(r"0[xX]([0-9a-fA-F]+)")),
    (2, re.compile(r"0[bB]([01]+)")),
    (8, re.compile(r"0[oO]?([0-7]+)")),
)
_DECIMAL = re.compile(r"0|[1-9][0-9]*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LARGEST_WHOLE = 1e21
"""From here on Go writes a number with an exponent, and the API server reads it as a float."""
_CORE = "tag:yaml.org,2002:"


def plain(text: str) -> Value:
    """What ``text`` stands for where it is not quoted.

    Raises:
        ValueError: it is no finite number; JSON, which the API server takes, has none such.
    """
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _NULL:
        return None
    if text in _NOT_FINITE:
        raise ValueError(f"{text} has no place in a manifest: it becomes JSON, which knows finite numbers only")
    return _number(text) if text[0] in "+-.0123456789" else text


def tagged(tag: str, text: str) -> Value:
    """What ``text`` stands for under an explicit tag.

    Raises:
        ValueError: it is nothing of that kind, or the tag is unknown.
    """
    name = tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
    if name in {"str", "timestamp", "!"}:
        return text
    if name == "binary":
        return _decoded(text)
    match name, plain(text):
        case ("bool", bool() as value) | ("null", None as value):
            return value
        case ("int", int() as value) | ("float", int() | float() as value) if not isinstance(value, bool):
            return value
        case "int" | "float" | "bool" | "null", _:
            raise ValueError(f"{text!r} is no {name}")
    raise ValueError(f"the tag {tag!r} is unknown; there are !!str, !!int, !!float, !!bool, !!null and !!binary")


def _decoded(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"!!binary holds no base64 of UTF-8 text: {error}") from error


def _number(text: str) -> Value:
    """The number that ``text`` is, or ``text``."""
    if text[0] == ".":
        return _float(text) if _FLOAT.fullmatch(text) else text
    digits = text.replace("_", "")
    sign, magnitude = (-1, digits[1:]) if digits.startswith("-") else (1, digits.removeprefix("+"))
    if _DECIMAL.fullmatch(magnitude):
        return sign * int(magnitude)
    for base, pattern in _BASES:
        if found := pattern.fullmatch(magnitude):
            return sign * int(found.group(1), base)
    return _float(digits) if _FLOAT.fullmatch(digits) else text


def _float(text: str) -> Value:
    """A float; a whole one is an integer, as in the JSON that Go writes."""
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        return text
    return int(value) if value.is_integer() and abs(value) < _LARGEST_WHOLE else value
