"""What counts as a sample of an index."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput
from orbitloop.domain.index_lines import IndexCount, IndexFormat

TXT, CSV = IndexFormat.TXT, IndexFormat.CSV


@pytest.mark.parametrize(
    ("written", "text", "whole", "with_last"),
    [
        (TXT, b"", 0, 0),
        (TXT, b"a.jpg 1\nb.jpg 2\n", 2, 2),
        (TXT, b"a.jpg 1\nb.jpg 2", 1, 2),
        (TXT, b"a\r\nb\r\n", 2, 2),
        (TXT, b"a\n\n  \n\t\r\nb\n\n", 2, 2),
        (TXT, b"a\n   ", 1, 1),
        (CSV, b"x,y\n", 0, 0),
        (CSV, b"x,y", 0, 0),
        (CSV, b"x,y\n1,2\n3,4\n", 2, 2),
        (CSV, b"x,y\n1,2\n3,", 1, 2),
        (CSV, b"\n\nx,y\n\n1,2\n", 1, 1),
        (CSV, b"", 0, 0),
    ],
)
def test_samples_of_an_index(written: IndexFormat, text: bytes, whole: int, with_last: int) -> None:
    count = IndexCount(format=written).after(text)
    assert (count.samples(with_last=False), count.samples(with_last=True)) == (whole, with_last)


@given(parts=st.lists(st.text("a ,\n\r").map(str.encode)), written=st.sampled_from(IndexFormat))
def test_counting_piece_by_piece_is_counting_at_once(parts: list[bytes], written: IndexFormat) -> None:
    count = IndexCount(format=written)
    for part in parts:
        count = count.after(part)
    assert count == IndexCount(format=written).after(b"".join(parts))


@pytest.mark.parametrize("text", ["TXT", "Csv", "txt"])
def test_a_format_may_be_written_in_any_case(text: str) -> None:
    assert IndexFormat.of(text) == text.lower()


def test_a_format_that_nobody_knows_is_refused() -> None:
    with pytest.raises(BadInput, match="'coco' is unknown; write txt or csv"):
        IndexFormat.of("coco")
