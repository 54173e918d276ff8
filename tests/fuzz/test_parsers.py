"""Whatever comes from outside is read or refused; nothing else happens."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.parsers import PARSERS, Parser

parsers = pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
mutations = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(min_size=1, max_size=6)), max_size=6)


def mutated(seed: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """``seed`` with bytes replaced, put in, taken out or cut off at relative places."""
    data = bytearray(seed)
    for place, kind, other in changes:
        at = int(place * len(data))
        match kind:
            case 0:
                data[at : at + len(other)] = other
            case 1:
                data[at:at] = other
            case 2:
                del data[at : at + other[0]]
            case _:
                del data[at:]
    return bytes(data)


@parsers
def test_what_is_valid_is_read(parser: Parser) -> None:
    assert all(parser.refuses_or_reads(seed) for seed in parser.seeds)


@parsers
@given(data=st.binary(max_size=200))
@settings(max_examples=150)
def test_any_bytes_are_read_or_refused(parser: Parser, data: bytes) -> None:
    parser.refuses_or_reads(data)


@parsers
@given(changes=mutations, which=st.integers(0, 9))
@settings(max_examples=250)
def test_a_damaged_message_is_read_or_refused(
    parser: Parser, changes: list[tuple[float, int, bytes]], which: int
) -> None:
    parser.refuses_or_reads(mutated(parser.seeds[which % len(parser.seeds)], changes))


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
@pytest.mark.parametrize("name", PARSERS)
def test_coverage_guided_fuzzing_finds_no_other_error(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.coverage_guided", name, "-runs=3000", "-seed=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
