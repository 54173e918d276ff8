"""Datasets on a node: what is counted, what is told, and what is read of a growing index."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from json import dumps
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from orbitloop.domain.errors import BadInput, NoSpace
from orbitloop.domain.index_lines import IndexCount, IndexFormat
from orbitloop.testing.clocks import VirtualClock
from orbitloop_edge.adapters.file_changes import FileChanges
from orbitloop_edge.adapters.index_file import IndexFile
from orbitloop_edge.usecases.datasets import QUIET, Datasets, Seen
from orbitloop_edge.usecases.node_events import Value

START = datetime(2026, 1, 1, tzinfo=UTC)


class Events:
    """Remembers the last word about each subject, and all words in their order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, JsonValue]]] = []
        self.full = False

    def record(self, subject: str, value: Value) -> None:
        if self.full:
            raise NoSpace("the disk is full")
        self.told.append((subject, dict(value)))

    def last(self, subject: str) -> Value | None:
        return next((value for about, value in reversed(self.told) if about == subject), None)


class Node:
    """One node with a dataset ``ns/helmets`` at ``index.txt``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = folder / "index.txt"
        self.events = Events()
        self.clock = VirtualClock(START)
        self.restart()

    def restart(self) -> None:
        self.datasets = Datasets(events=self.events, opened=IndexFile, clock=self.clock)
        self.want()

    def want(self, url: str | None = None, written: str = "txt") -> None:
        document = {"version": 1, "datasets": {"ns/helmets": {"url": url or str(self.index), "format": written}}}
        self.datasets.apply(dumps(document).encode())

    def look(self, after: timedelta = timedelta(0)) -> bool:
        self.clock.advance(after)
        return self.datasets.look((self.clock.now() - START).total_seconds())

    def settle(self) -> None:
        self.look()
        assert not self.look(QUIET)

    def counts(self) -> list[object]:
        return [value.get("numberOfSamples", value["error"]) for _, value in self.events.told]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_count_is_told_with_its_time_and_only_when_it_changes(node: Node) -> None:
    node.index.write_text("a 1\nb 2\n")
    for _ in range(3):
        node.look(timedelta(seconds=10))
    with node.index.open("a") as file:
        file.write("c 3\n")
    node.look(timedelta(seconds=10))
    assert [value["updateTime"] for _, value in node.events.told] == [
        "2026-01-01T00:00:10+00:00",
        "2026-01-01T00:00:40+00:00",
    ]
    assert [(subject, value["numberOfSamples"], value["error"]) for subject, value in node.events.told] == [
        ("dataset/ns/helmets", 2, ""),
        ("dataset/ns/helmets", 3, ""),
    ]


def test_a_restart_tells_nothing_that_was_told(node: Node) -> None:
    node.index.write_text("a 1\nb 2")
    node.settle()
    node.restart()
    node.settle()
    node.index.write_text("a 1\nb 2\n")
    node.restart()
    node.settle()
    assert node.counts() == [1, 2]


def test_a_last_line_without_line_feed_counts_once_nobody_writes_to_it(node: Node) -> None:
    node.index.write_text("a 1\nb")
    assert node.look()
    assert node.counts() == [1]
    node.index.write_text("a 1\nb 2")
    assert node.look(QUIET)
    assert node.counts() == [1]
    assert not node.look(QUIET)
    assert node.counts() == [1, 2]
    with node.index.open("a") as file:
        file.write(" 3")
    assert node.look(timedelta(seconds=1))
    with node.index.open("a") as file:
        file.write("\nc")
    node.look(timedelta(seconds=1))
    assert node.counts() == [1, 2]


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda path: path.write_text("x\n"), 1),
        (lambda path: path.write_text(""), 0),
        (lambda path: path.write_text("".join(f"other{n}\n" for n in range(7))), 7),
        (lambda path: _replace(path, "1\n2\n3\n4\n5\n"), 5),
        (lambda path: _replace(path, "a 1\nb 2\nc 3\n"), 3),
        (lambda path: _replace(path, "a\n\nb\n\nc 12"), 3),
    ],
    ids=["shrunk", "emptied", "written anew and longer", "rotated", "rotated, same content", "rotated, half written"],
)
def test_a_file_that_was_written_anew_is_counted_anew(node: Node, change: Callable[[Path], object], count: int) -> None:
    node.index.write_text("a 1\nb 2\nc 3\n")
    node.settle()
    change(node.index)
    node.settle()
    assert node.counts()[-1] == count


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.txt"
    path.write_bytes(b"sample\n" * 100_000)
    index = IndexFile(path, IndexFormat.TXT)
    index.look()
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        data = pread(descriptor, length, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr("os.pread", counted)
    with path.open("ab") as file:
        file.write(b"new\nne")
    assert index.look().count.lines == 100_001
    assert sum(read) < 1_000
    read.clear()
    index.look()
    assert read == []


@settings(max_examples=50)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["append", "write", "replace"]), st.text("ab \n", max_size=12).map(str.encode)),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_is_done_to_an_index_the_count_is_that_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("index") / "index.txt"
    path.write_bytes(b"")
    index = IndexFile(path, IndexFormat.TXT)
    for time, (step, data) in enumerate(steps, start=1):
        if step == "append":
            path.write_bytes(path.read_bytes() + data)
        elif step == "write":
            path.write_bytes(data)
        else:
            new = path.with_suffix(".new")
            new.write_bytes(data)
            new.replace(path)
        os.utime(path, ns=(time, time))  # as different as the clock of a file system makes them
        whole = path.read_bytes()
        assert index.look() == Seen(count=IndexCount(format=IndexFormat.TXT).after(whole), size=len(whole))


FAULTS = [
    pytest.param(lambda path: None, "there is no such file", id="missing"),
    pytest.param(lambda path: path.mkdir(), "it is no file", id="folder"),
    pytest.param(os.mkfifo, "it is no file", id="pipe"),
    pytest.param(lambda path: path.symlink_to(path), "Too many levels of symbolic links", id="loop"),
]


@pytest.mark.parametrize(("make", "error"), FAULTS)
def test_a_fault_is_told_once_it_lasts_and_gone_when_it_is(
    node: Node, make: Callable[[Path], object], error: str
) -> None:
    make(node.index)
    assert node.look()
    assert node.events.told == []
    assert not node.look(QUIET)
    assert not node.look(QUIET)
    (told,) = node.counts()
    assert error in str(told)
    node.index.unlink(missing_ok=True) if not node.index.is_dir() else node.index.rmdir()
    node.index.write_text("a\n")
    node.settle()
    assert node.counts()[1:] == [1]


def test_a_file_that_is_away_for_a_moment_is_no_news(node: Node) -> None:
    node.index.write_text("a\nb\n")
    node.settle()
    node.index.unlink()
    assert node.look(timedelta(seconds=1))
    node.index.write_text("a\nb\n")
    node.settle()
    assert node.counts() == [2]


@pytest.mark.parametrize(
    ("url", "written", "error"),
    [
        ("s3://bucket/index.txt", "txt", "is not on the node; its Local Controller works with files"),
        ("data/index.txt", "txt", "is no absolute path"),
        ("/data/../etc/passwd", "txt", "is no absolute path"),
        ("file:///data/index.txt", "coco", "the format 'coco' is unknown; write txt or csv"),
    ],
)
def test_a_dataset_that_cannot_be_watched_says_why(node: Node, url: str, written: str, error: str) -> None:
    node.want(url, written)
    assert not node.look()
    (told,) = node.counts()
    assert error in str(told)


def test_another_url_is_counted_and_told_even_if_it_counts_the_same(node: Node) -> None:
    other = node.folder / "a file.txt"
    for path in (node.index, other):
        path.write_text("a\nb\n")
    node.settle()
    node.want(f"file://{str(other).replace(' ', '%20')}")
    node.settle()
    assert node.counts() == [2, 2]
    assert node.datasets.paths() == {other}
    node.datasets.apply(b'{"version": 1}')
    node.settle()
    assert (node.counts(), node.datasets.paths()) == ([2, 2], frozenset())


def test_what_could_not_be_kept_is_told_at_the_next_look(node: Node) -> None:
    node.index.write_text("a\n")
    node.events.full = True
    assert node.look()
    assert node.events.told == []
    node.events.full = False
    assert not node.look()
    assert node.counts() == [1]


def test_paths_are_looked_for_below_the_root(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.datasets.root = tmp_path
    node.want("/index.txt")
    node.index.write_text("a\n")
    node.look()
    assert node.counts() == [1]


@pytest.mark.parametrize(
    ("document", "message"),
    [(b"", "desired state"), (b"[]", "desired state"), (b'{"version": 1, "datasets": {"a": {}}}', "datasets.a.url")],
)
def test_a_document_that_is_no_desired_state_is_refused_and_the_one_before_stays(
    node: Node, document: bytes, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        node.datasets.apply(document)
    node.index.write_text("a\n")
    node.look()
    assert node.counts() == [1]


@pytest.fixture(params=["inotify", "polling"])
def changes(request: pytest.FixtureRequest) -> Iterator[FileChanges]:
    made = FileChanges.best() if request.param == "inotify" else FileChanges(None)
    yield made
    made.close()


def test_a_wait_ends_when_it_is_told_to(changes: FileChanges) -> None:
    for _ in range(70_000):
        changes.wake()
    while changes.wait(0):
        pass
    assert not changes.wait(0)
    changes.wake()
    assert changes.wait(60)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("b"),
        lambda path: _replace(path, "b"),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o600),
        lambda path: path.rename(path.with_name("other")),
    ],
    ids=["written", "replaced", "removed", "permissions", "renamed"],
)
def test_the_kernel_tells_of_every_change(tmp_path: Path, change: Callable[[Path], object]) -> None:
    path = tmp_path / "index.txt"
    path.write_text("a")
    changes = FileChanges.best()
    assert not changes.follow([tmp_path / "none" / "index.txt"])
    assert changes.follow([path])
    assert not changes.follow([path])
    (tmp_path / "other.txt").write_text("no news")
    assert not changes.wait(0.0)
    change(path)
    assert changes.wait(60)
    changes.follow([])
    path.write_text("c")
    assert not changes.wait(0)
    changes.close()


def test_a_folder_that_goes_and_comes_back_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    changes = FileChanges.best()
    changes.follow([folder / "index.txt"])
    folder.rmdir()
    assert changes.wait(60)
    while changes.wait(0):
        pass
    assert not changes.follow([folder / "index.txt"])
    folder.mkdir()
    assert changes.follow([folder / "index.txt"])
    (folder / "index.txt").write_text("a")
    assert changes.wait(60)
    changes.close()
