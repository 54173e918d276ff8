"""The report as one HTML file that asks for nothing else: no script, no font, no picture from outside."""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from orbitloop_mission.report import accuracy, tables, timeline, traffic, wording
from orbitloop_mission.report.gallery import pictures_of, tiles_of
from orbitloop_mission.report.schema import MissionReport


def render_page(report: MissionReport, pictures: Mapping[str, bytes]) -> str:
    """Draw the report.

    Args:
        report: what is shown.
        pictures: PNG, JPEG, GIF or WebP by the key that the gallery names; others are left out.

    Returns:
        A whole HTML document.

    Raises:
        BadInput: a picture of the gallery is missing, or of an unknown format.
    """
    templates = Environment(
        loader=PackageLoader("orbitloop_mission.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return templates.get_template("page.html.j2").render(
        report=report,
        headline=wording.headline(report),
        key_figures=tables.key_figures(report),
        targets=tables.target_rows(report),
        targets_in_words=tables.targets_in_words(report),
        timeline=timeline.timeline_figure(report),
        accuracy=accuracy.accuracy_figure(report),
        forgetting=accuracy.forgetting_figure(report),
        updates=traffic.updates_figure(report),
        share=traffic.share_figure(report),
        airtime=traffic.airtime_figure(report),
        sections=tables.round_sections(report),
        passes=tables.pass_rows(report),
        pass_columns=tables.PASS_COLUMNS,
        pictures=pictures_of(report, pictures),
        tiles=tiles_of(report),
        flown=_flown(report),
        rates=f"{wording.rate_text(report.link.downlink_bps)} down, {wording.rate_text(report.link.uplink_bps)} up",
        parameters=wording.count_text(report.model.parameters),
        full_model=wording.bytes_text(report.model.full_bytes),
        outcomes=wording.OUTCOMES,
    )


def _flown(report: MissionReport) -> str:
    if not report.passes:
        return "no pass"
    first, last = (wording.day_text(moment) for moment in timeline.extent(report.passes))
    return first if first == last else f"{first} to {last}"
