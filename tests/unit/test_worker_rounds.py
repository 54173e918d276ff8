"""The samples of a round: which ones are trained on, and which ones evaluated with."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.index_lines import LONGEST_LINE, IndexFormat
from orbitloop.worker.rounds import EVALUATED_SEGMENTS, RoundCut, RoundLists, Segment, cut_round, write_round
from orbitloop.worker.tools import main, segments_in


def lists(folder: Path, text: bytes, segments: str, share: float, suffix: str = "txt") -> RoundLists:
    index = folder / f"index.{suffix}"
    index.write_bytes(text)
    return cut_round(index, RoundCut(format=IndexFormat.of(suffix), segments=segments_in(segments), share=share))


def numbered(count: int) -> bytes:
    return b"".join(b"sample%d\n" % number for number in range(count))


def numbers(data: bytes) -> list[int]:
    return [int(line.removeprefix(b"sample")) for line in data.splitlines()]


@pytest.mark.parametrize(
    ("segments", "share", "train", "evaluate"),
    [
        ("0:4", 0.5, [0, 1], [2, 3]),
        ("0:3", 0.5, [0], [1, 2]),
        ("0:4", 1.0, [0, 1, 2, 3], []),
        ("0:4", 0.0, [], [0, 1, 2, 3]),
        ("0:10", 0.29, [0, 1], [2, 3, 4, 5, 6, 7, 8, 9]),
        ("0:4,4:8", 0.5, [4, 5], [2, 3, 6, 7]),
        ("0:4,6:10", 0.5, [6, 7], [2, 3, 8, 9]),
        ("0:1,1:2,2:3,3:4,4:5,5:6,6:7", 0.0, [], [2, 3, 4, 5, 6]),
    ],
)
def test_the_newest_segment_is_divided_and_the_rest_of_each_is_evaluated_with(
    tmp_path: Path, segments: str, share: float, train: list[int], evaluate: list[int]
) -> None:
    cut = lists(tmp_path, numbered(12), segments, share)
    assert (numbers(cut.train), numbers(cut.evaluate)) == (train, evaluate)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    share=st.floats(0, 1),
    waiting=st.integers(0, 3),
)
def test_over_all_rounds_each_sample_is_either_trained_on_or_evaluated_with(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], share: float, waiting: int
) -> None:
    index = tmp_path_factory.mktemp("data") / "index.txt"
    index.write_bytes(numbered(sum(sizes) + waiting))
    trained: list[int] = []
    evaluated: set[int] = set()
    segments: list[Segment] = []
    for size in sizes:
        begin = segments[-1].end if segments else 0
        segments.append(Segment(begin=begin, end=begin + size))
        cut = RoundCut(format=IndexFormat.TXT, segments=tuple(segments), share=share)
        made = cut_round(index, cut)
        assert made == cut_round(index, cut)
        trained += numbers(made.train)
        evaluated |= set(numbers(made.evaluate))
        assert len(numbers(made.train)) == int(share * size)
        oldest = segments[-EVALUATED_SEGMENTS:][0]
        assert all(number >= oldest.begin for number in numbers(made.evaluate))
    assert len(trained) == len(set(trained))
    assert not evaluated & set(trained)
    assert evaluated | set(trained) == set(range(sum(sizes)))


def test_the_header_of_a_table_is_in_both_lists_and_counts_as_no_sample(tmp_path: Path) -> None:
    cut = lists(tmp_path, b"x,y\n\n1,2\r\n3,4\n5,6", "0:3", 0.4, "csv")
    assert cut == RoundLists(train=b"x,y\n1,2\n", evaluate=b"x,y\n3,4\n5,6\n")


def test_a_sample_that_names_a_file_beside_the_index_is_named_by_its_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").touch()
    here = str(tmp_path).encode()
    text = (
        b"images/1.jpg 0,0,9,9,1  3\n0.5 0.25 1\nimages/gone.jpg 0\n%s/images/1.jpg 2\ns3://b/1.jpg 3\nimages 4\n"
        % here
    )
    cut = lists(tmp_path, text, "0:6", 1)
    assert cut.train.splitlines() == [
        here + b"/images/1.jpg 0,0,9,9,1  3",
        b"0.5 0.25 1",
        b"images/gone.jpg 0",
        here + b"/images/1.jpg 2",
        b"s3://b/1.jpg 3",
        b"images 4",
    ]
    table = lists(tmp_path, b"file,label\nimages/1.jpg,1\nimages/1.jpg\n", "0:2", 1, "csv")
    assert table.train == b"file,label\n" + here + b"/images/1.jpg,1\n" + here + b"/images/1.jpg\n"


@pytest.mark.parametrize(("folder", "suffix", "word"), [("a folder", "txt", " "), ("a,b", "csv", ",")])
def test_a_path_that_a_reader_would_take_for_two_words_stays_relative(
    tmp_path: Path, folder: str, suffix: str, word: str
) -> None:
    at = tmp_path / folder
    at.mkdir()
    (at / "1.jpg").touch()
    text = f"1.jpg{word}7\n".encode()
    head = b"file,label\n" if suffix == "csv" else b""
    assert lists(at, head + text, "0:1", 1, suffix).train == head + text


@pytest.mark.parametrize("line", [b"\xff\xfe\x00bin", b"a\0b 1", b"x" * 300 + b"/y 1", "ä.jpg 1".encode()], ids=repr)
def test_bytes_of_any_kind_pass_as_they_are(tmp_path: Path, line: bytes) -> None:
    assert lists(tmp_path, line + b"\n", "0:1", 1).train == line + b"\n"


@pytest.mark.parametrize(
    ("text", "segments", "error", "message"),
    [
        (numbered(3), "0:4", NotYet, "holds 3 samples, and the round needs 4"),
        (b"", "0:1", NotYet, "holds 0 samples"),
        (b"x" * (LONGEST_LINE + 1), "0:1", BadInput, "line 1 of .* is longer than"),
    ],
    ids=["shortened", "empty", "no index"],
)
def test_an_index_that_does_not_fit_is_refused(
    tmp_path: Path, text: bytes, segments: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        lists(tmp_path, text, segments, 0.5)


GOOD = {
    "--index": "index.txt",
    "--format": "txt",
    "--segments": "0:2,2:6",
    "--train-prob": "0.5",
    "--train-to": "out/train/2/data.txt",
    "--eval-to": "out/eval/2/data.txt",
}


def called(folder: Path, **changes: str) -> int:
    given = GOOD | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    (folder / "index.txt").write_bytes(numbered(6))
    words = ["cut-round"]
    for option, value in given.items():
        path = option in {"--index", "--train-to", "--eval-to"} and "://" not in value
        words += [option, str(folder / value) if path else value]
    return main(words)


def test_the_tool_makes_folders_and_gives_the_same_files_when_it_is_called_again(tmp_path: Path) -> None:
    assert called(tmp_path) == 0
    train, evaluate = tmp_path / "out/train/2/data.txt", tmp_path / "out/eval/2/data.txt"
    assert (numbers(train.read_bytes()), numbers(evaluate.read_bytes())) == ([2, 3], [1, 4, 5])
    before = [path.read_bytes() for path in (train, evaluate)]
    (train.parent / ".0.unfinished").write_bytes(b"half")  # what a killed call leaves
    assert called(tmp_path, train_to=f"file://{train}") == 0
    assert [path.read_bytes() for path in (train, evaluate)] == before
    assert [path.name for path in train.parent.iterdir()] == ["data.txt"]


def test_pods_of_one_worker_may_cut_the_same_round_into_one_folder_at_the_same_time(tmp_path: Path) -> None:
    cut = lists(tmp_path, numbered(6), "0:6", 0.5)
    begin = threading.Barrier(16)

    def write() -> None:
        begin.wait()
        write_round(cut, train_to=tmp_path / "train.txt", evaluate_to=tmp_path / "eval.txt")

    for _ in range(5):
        for name in ("train.txt", "eval.txt"):
            (tmp_path / name).unlink(missing_ok=True)
        with ThreadPoolExecutor(16) as pods:
            for one in [pods.submit(write) for _ in range(16)]:
                one.result()
        assert ((tmp_path / "train.txt").read_bytes(), (tmp_path / "eval.txt").read_bytes()) == (
            cut.train,
            cut.evaluate,
        )
        assert sorted(path.name for path in tmp_path.iterdir()) == ["eval.txt", "index.txt", "train.txt"]


def test_a_name_is_waited_for_and_one_that_never_comes_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["await-name", "--name", "localhost"]) == 0
    assert main(["await-name", "--name", "nobody.invalid", "--wait-seconds", "0"]) == 1
    assert "nobody.invalid has no address after 0 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": "0-5"}, "--segments has '0-5'; write begin:end"),
        ({"segments": ""}, "--segments has ''"),
        ({"segments": "0:²"}, "write begin:end"),
        ({"segments": "4:4"}, "segment 4:4 is none"),
        ({"segments": "0:4,2:6"}, "segment 2:6 begins before 0:4 ends"),
        ({"segments": "2:4,0:2"}, "oldest first"),
        ({"train_prob": "half"}, "--train-prob is 'half'; write a number"),
        ({"train_prob": "nan"}, "must lie between 0 and 1"),
        ({"train_prob": "1.5"}, "must lie between 0 and 1"),
        ({"format": "coco"}, "the format 'coco' is unknown"),
        ({"index": "none.txt"}, "none.txt does not exist"),
        ({"index": "."}, "is a folder"),
        ({"index": "s3://bucket/index.txt"}, "storage initializer"),
        ({"train_to": "s3://bucket/index.txt"}, "storage initializer"),
        ({"segments": "0:7"}, "holds 6 samples, and the round needs 7"),
        ({"train_to": "index.txt/data.txt"}, "index.txt"),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], message: str
) -> None:
    assert called(tmp_path, **changes) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("orbitloop tools: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out/train").exists()
