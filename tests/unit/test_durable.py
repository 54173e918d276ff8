"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from orbitloop.adapters.durable import discard_unfinished, naming_full_disk, write_durably
from orbitloop.domain.errors import NoSpace


def test_a_written_file_holds_exactly_what_was_given_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_durably(tmp_path / "a", b"first")
    write_durably(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["volume full", "quota used up"])
def test_a_full_disk_is_said_with_the_path_and_what_to_do(tmp_path: Path, code: int) -> None:
    with pytest.raises(NoSpace, match=r"spool\.db.*free space"), naming_full_disk(tmp_path / "spool.db"):
        raise OSError(code, os.strerror(code))


def test_another_fault_of_the_disk_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"), naming_full_disk(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_write_that_really_meets_a_full_device_is_refused_with_no_space() -> None:
    with pytest.raises(NoSpace), naming_full_disk(Path("/dev/full")), Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")


def test_a_full_database_is_no_space_and_its_other_faults_pass_as_they_are() -> None:
    rows = sqlite3.connect(":memory:")
    rows.execute("create table log (line text)")
    rows.execute("pragma max_page_count = 2")
    with pytest.raises(NoSpace, match=r"spool\.db"), naming_full_disk(Path("spool.db")):
        rows.execute("insert into log values (?)", (100_000 * "x",))
    with pytest.raises(sqlite3.OperationalError, match="no such table"), naming_full_disk(Path("spool.db")):
        rows.execute("insert into elsewhere values (1)")
    rows.close()


@pytest.mark.parametrize(
    ("umask", "mode", "expected"),
    [(0o022, 0o666, 0o644), (0o077, 0o666, 0o600), (0o002, 0o666, 0o664), (0o022, 0o600, 0o600)],
)
def test_a_written_file_has_the_mode_that_was_asked_for_less_the_umask(
    tmp_path: Path, umask: int, mode: int, expected: int
) -> None:
    before = os.umask(umask)
    try:
        write_durably(tmp_path / "report.json", b"{}", mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == expected


def test_a_failed_write_leaves_the_old_file_and_no_leftover(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises(OSError, match="taken"):
        write_durably(target, b"a folder cannot be replaced by a file")
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".abc.unfinished").touch()
    (tmp_path / "kept").touch()
    assert discard_unfinished(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]
