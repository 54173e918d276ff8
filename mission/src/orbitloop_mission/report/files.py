"""A report on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from orbitloop.adapters.durable import write_durably
from orbitloop.domain.errors import BadInput
from orbitloop.wire.complaints import first_complaint
from orbitloop_mission.report.page import render_page
from orbitloop_mission.report.schema import MissionReport

REPORT_FILE = "report.json"
PAGE_FILE = "report.html"


def report_json(report: MissionReport) -> bytes:
    """The report as it lies in ``report.json``: indented UTF-8 with a line feed at its end."""
    return f"{json.dumps(report.model_dump(mode='json'), ensure_ascii=False, indent=2)}\n".encode()


def write_report(folder: Path, report: MissionReport, pictures: Mapping[str, bytes]) -> tuple[Path, Path]:
    """Write ``report.json`` and then ``report.html`` into ``folder``, each whole or not at all.

    Args:
        folder: made if it is missing.
        report: what is written.
        pictures: see :func:`orbitloop_mission.report.page.render_page`.

    Returns:
        Both paths.

    Raises:
        BadInput: a picture is missing or of an unknown format; the figures are on disk all the same.
        NoSpace: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures, page = folder / REPORT_FILE, folder / PAGE_FILE
    write_durably(figures, report_json(report))
    write_durably(page, render_page(report, pictures).encode())
    return figures, page


def read_report(path: Path) -> MissionReport:
    """Read what :func:`write_report` wrote.

    Raises:
        BadInput: the file is not a report of this version.
    """
    try:
        return MissionReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadInput(f"{path} is not a mission report of this version ({first_complaint(error)})") from error
