"""Fuzz one parser with atheris, guided by coverage; the rest of the arguments is libFuzzer's.

    python -m tests.fuzz.coverage_guided NAME [-runs=100000] [-max_total_time=60]

It ends with an error at the first input that is neither read nor refused, and keeps that input in a file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["orbitloop"]):
    from tests.fuzz.parsers import PARSERS


def main() -> None:
    """Run the fuzzer."""
    if len(sys.argv) < 2 or sys.argv[1] not in PARSERS:
        sys.exit(f"name one of: {', '.join(PARSERS)}")
    parser = PARSERS[sys.argv[1]]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(parser.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *sys.argv[2:], corpus], lambda data: parser.refuses_or_reads(data) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
