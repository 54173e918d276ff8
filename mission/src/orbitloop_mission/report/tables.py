"""The report's figures and tables, in words: what the page sets, without how it sets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orbitloop_mission.report.schema import MissionReport, PassReport, RoundReport, Target
from orbitloop_mission.report.traffic import open_seconds, share_of
from orbitloop_mission.report.wording import (
    NONE,
    OUTCOMES,
    bytes_text,
    count_text,
    digest_text,
    moment_text,
    percent_text,
    points_text,
    precision_text,
    seconds_text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """A figure that is read first: what it is, the figure, and what to hold it against."""

    name: str
    figure: str
    beside: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    """A target; ``state`` is ``met``, ``missed`` or ``open``."""

    target: Target
    state: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure over all rounds: its name, its unit, and a cell a round."""

    name: str
    unit: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows of a kind."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRow:
    """A pass, and its figures in the order of :data:`PASS_COLUMNS`."""

    entry: PassReport
    cells: tuple[str, ...]


PASS_COLUMNS = ("AOS, UTC", "Open", "Peak", "Down", "Up", "Bundles", "Samples")


def key_figures(report: MissionReport) -> tuple[KeyFigure, ...]:
    """What the mission comes to."""
    totals, share, update = report.totals, report.downlinked_share, report.largest_update
    smaller = f"the whole model: {bytes_text(report.model.full_bytes)}"
    if update and report.model.full_bytes > 1.5 * update:
        smaller = f"1/{report.model.full_bytes / update:.0f} of the whole model, {bytes_text(report.model.full_bytes)}"
    return (
        KeyFigure(
            name="mAP@0.5, new domain",
            figure=precision_text(totals.map50_new_final),
            beside=f"from {precision_text(totals.map50_new_base)}, "
            f"{points_text(totals.map50_new_final - totals.map50_new_base)} points",
        ),
        KeyFigure(
            name="mAP@0.5, old domain",
            figure=precision_text(totals.map50_old_final),
            beside=f"from {precision_text(totals.map50_old_base)}, "
            f"{points_text(totals.map50_old_final - totals.map50_old_base)} points",
        ),
        KeyFigure(
            name="Share of bytes sent down",
            figure=NONE if share is None else percent_text(share),
            beside=f"{bytes_text(totals.downlinked_bytes)} of {bytes_text(totals.captured_bytes)}",
        ),
        KeyFigure(name="Largest update", figure=NONE if update is None else bytes_text(update), beside=smaller),
        KeyFigure(
            name="Samples lost",
            figure=count_text(totals.lost_samples),
            beside=f"{count_text(totals.samples_received)} received of {count_text(totals.samples_spooled)} spooled",
        ),
        KeyFigure(
            name="Frames dropped",
            figure=count_text(totals.dropped_frames),
            beside=f"{count_text(totals.frames_processed)} processed of {count_text(totals.frames_captured)}",
        ),
        KeyFigure(
            name="Passes used",
            figure=count_text(totals.passes),
            beside=f"{sum(entry.cut for entry in report.passes)} cut before their time",
        ),
        KeyFigure(
            name="Flown in",
            figure=seconds_text(totals.wall_seconds),
            beside="wall time on this machine",
        ),
    )


def target_rows(report: MissionReport) -> tuple[TargetRow, ...]:
    """Every target as it was reached."""
    words = {True: ("met", "met"), False: ("missed", "missed"), None: ("open", "not measured")}
    return tuple(
        TargetRow(target=target, state=words[target.met][0], words=words[target.met][1]) for target in report.targets
    )


def targets_in_words(report: MissionReport) -> str:
    """``5 of 6 targets met``."""
    return f"{sum(target.met is True for target in report.targets)} of {len(report.targets)} targets met"


def round_sections(report: MissionReport) -> tuple[Section, ...]:
    """Every figure of every round, as rows over rounds."""

    def row(name: str, unit: str, cell: Callable[[RoundReport], str]) -> Row:
        return Row(name=name, unit=unit, cells=tuple(cell(entry) for entry in report.rounds))

    return (
        Section(
            name="Accuracy",
            rows=(
                row("New domain, before", "mAP@0.5", lambda entry: precision_text(entry.map50_new_before)),
                row("New domain, after", "mAP@0.5", lambda entry: precision_text(entry.map50_new_after)),
                row("New domain, trained on all data", "mAP@0.5", lambda entry: precision_text(entry.map50_all_data)),
                row("Old domain, before", "mAP@0.5", lambda entry: precision_text(entry.map50_old_before)),
                row("Old domain, after", "mAP@0.5", lambda entry: precision_text(entry.map50_old_after)),
            ),
        ),
        Section(
            name="Down",
            rows=(
                row("Frames captured", "", lambda entry: count_text(entry.frames)),
                row("Captured", "", lambda entry: bytes_text(entry.captured_bytes)),
                row("Sent down", "", lambda entry: bytes_text(entry.downlinked_bytes)),
                row("Share sent down", "", lambda entry: percent_text(share_of(entry))),
                row("Samples received", "", lambda entry: count_text(entry.samples_sent)),
                row("of these held out", "", lambda entry: count_text(entry.samples_held_out)),
            ),
        ),
        Section(
            name="Training",
            rows=(
                row("Steps", "", lambda entry: count_text(entry.train_steps)),
                row("Time", "", lambda entry: seconds_text(entry.train_seconds)),
            ),
        ),
        Section(
            name="Update",
            rows=(
                row("Size", "", lambda entry: bytes_text(entry.delta_bytes) if entry.delta_bytes else NONE),
                row(
                    "Time on the uplink",
                    "",
                    lambda entry: seconds_text(entry.uplink_seconds) if entry.uplink_seconds else NONE,
                ),
                row("Canary on board, before", "AP@0.5", lambda entry: precision_text(entry.canary_before)),
                row("Canary on board, after", "AP@0.5", lambda entry: precision_text(entry.canary_after)),
                row(
                    "Same bits on board and ground", "", lambda entry: "yes" if entry.reconstructed_identical else "no"
                ),
                row("Built on", "model", lambda entry: digest_text(entry.base_model)),
                row("Flies after", "model", lambda entry: digest_text(entry.flying_model)),
                row("Outcome", "", lambda entry: OUTCOMES[entry.outcome]),
            ),
        ),
    )


def pass_rows(report: MissionReport) -> tuple[PassRow, ...]:
    """Every pass as a row of its table."""
    return tuple(
        PassRow(
            entry=entry,
            cells=(
                moment_text(entry.aos),
                seconds_text(open_seconds(entry)),
                f"{entry.peak_deg:.0f}°",
                bytes_text(entry.bytes_down),
                bytes_text(entry.bytes_up),
                count_text(entry.bundles),
                count_text(entry.samples),
            ),
        )
        for entry in report.passes
    )
