"""Reports that wait for the ground, one file each."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from orbitloop.adapters.durable import discard_unfinished, naming_full_disk, sync_folder, write_durably
from orbitloop.domain.digests import digest_of, hexadecimal
from orbitloop.wire.messages import UpdateReport

_log = logging.getLogger(__name__)


class FolderOutbox:
    """The :class:`~orbitloop.ports.gateway.Outbox` on the satellite's disk.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with naming_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        discard_unfinished(folder)

    def put(self, report: UpdateReport) -> None:
        """Keep a report durably. Raises ``NoSpace`` when the disk is full."""
        write_durably(self._path(report), report.model_dump_json().encode())

    def waiting(self) -> list[UpdateReport]:
        """What the ground has not acknowledged, oldest first."""
        found: list[UpdateReport] = []
        for path in self._folder.glob("*.json"):
            try:
                found.append(UpdateReport.model_validate_json(path.read_bytes()))
            except ValidationError:
                _log.error("report_damaged", extra={"path": str(path)})
                path.unlink()
        return sorted(found, key=lambda report: report.at)

    def acknowledged(self, report: UpdateReport) -> None:
        """The ground has it. Idempotent."""
        self._path(report).unlink(missing_ok=True)
        sync_folder(self._folder)

    def _path(self, report: UpdateReport) -> Path:
        return self._folder / f"{hexadecimal(digest_of(report.model_dump_json().encode()))}.json"
