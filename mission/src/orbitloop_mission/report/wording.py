"""Figures as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from orbitloop_mission.report.schema import MissionReport, RoundOutcome

NONE = "–"
MINUS = "\N{MINUS SIGN}"
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
SPACE = "\N{NO-BREAK SPACE}"

OUTCOMES: dict[RoundOutcome, str] = {
    RoundOutcome.APPLIED: "applied",
    RoundOutcome.ROLLED_BACK: "rolled back",
    RoundOutcome.REFUSED: "refused",
    RoundOutcome.NOT_SENT: "not sent",
    RoundOutcome.UNCONFIRMED: "unconfirmed",
}
_COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count_text(value: int) -> str:
    """``12 345``, with narrow spaces."""
    return f"{value:,}".replace(",", NARROW_SPACE)


def bytes_text(size: float) -> str:
    """Three significant digits and a decimal unit: ``214 kB``, ``1.90 GB``; ``3 MB`` where it is exact."""
    scaled, units = float(size), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if abs(scaled) < 999.5 or unit == units[-1]:
            break
        scaled /= 1_000
    return f"{_three_digits(scaled)}{SPACE}{unit}"


def rate_text(rate: int) -> str:
    """``100 Mbit/s``."""
    return bytes_text(rate).removesuffix("B") + "bit/s"


def _three_digits(value: float) -> str:
    if abs(value) >= 99.95 or abs(value - round(value)) < 1e-9:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def seconds_text(seconds: float) -> str:
    """``0.4 s``, ``58 s``, ``7 min 12 s`` or ``13 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f}{SPACE}s" if seconds >= 0.05 or not seconds else f"< 0.1{SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min{SPACE}{rest:02d}{SPACE}s"
    return f"{minutes // 60}{SPACE}h{SPACE}{minutes % 60:02d}{SPACE}min"


def percent_text(share: float) -> str:
    """``9.30 %`` of a share of 0.093."""
    if 0 < share < 0.5e-4:
        return f"< 0.01{SPACE}%"
    return f"{_three_digits(share * 100)}{SPACE}%"


def precision_text(value: float | None) -> str:
    """Three decimals, or a dash."""
    return NONE if value is None else f"{value:.3f}"


def points_text(change: float) -> str:
    """A change of a precision in points of a hundred, signed: ``+12.3``."""
    rounded = round(change * 100, 1)
    sign = MINUS if rounded < 0 else "+" if rounded > 0 else "±"
    return f"{sign}{abs(rounded):.1f}"


def moment_text(moment: datetime) -> str:
    """``29 Mar 12:00:05``, UTC."""
    at = moment.astimezone(UTC)
    return f"{at.day}{SPACE}{at:%b}{SPACE}{at:%H:%M:%S}"


def day_text(moment: datetime) -> str:
    """``29 Mar 2024``, UTC."""
    at = moment.astimezone(UTC)
    return f"{at.day}{SPACE}{at:%b}{SPACE}{at.year}"


def times_text(count: int, noun: str) -> str:
    """``three rounds``, ``one round``, ``12 rounds``."""
    word = _COUNTED[count] if count < len(_COUNTED) else count_text(count)
    return f"{word} {noun}{'' if count == 1 else 's'}"


def digest_text(digest: str) -> str:
    """The first digits of a digest, enough to tell models of a mission apart."""
    return digest.removeprefix("sha256:")[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A piece of a sentence; ``figure`` if it is one of those that the sentence is about."""

    text: str
    figure: bool = False


def headline(report: MissionReport) -> tuple[Phrase, ...]:
    """The result in one sentence, to be set without spaces in between."""
    return (*_accuracy(report), *_price(report), Phrase(text="."))


def _accuracy(report: MissionReport) -> tuple[Phrase, ...]:
    totals, rounds = report.totals, times_text(len(report.rounds), "round").capitalize()
    before, after = precision_text(totals.map50_new_base), precision_text(totals.map50_new_final)
    if before == after:
        return (
            Phrase(text=f"{rounds} of learning left mAP@0.5 on the new domain at "),
            Phrase(text=after, figure=True),
        )
    verb = "raised" if totals.map50_new_final > totals.map50_new_base else "lowered"
    return (
        Phrase(text=f"{rounds} of learning {verb} mAP@0.5 on the new domain from "),
        Phrase(text=before, figure=True),
        Phrase(text=" to "),
        Phrase(text=after, figure=True),
    )


def _price(report: MissionReport) -> tuple[Phrase, ...]:
    share, update = report.downlinked_share, report.largest_update
    down = (
        (Phrase(text="nothing was captured"),)
        if share is None
        else (Phrase(text=percent_text(share), figure=True), Phrase(text=" of the captured bytes came down"))
    )
    up = (
        (Phrase(text="no update was built"),)
        if update is None
        else (Phrase(text="the largest update took "), Phrase(text=bytes_text(update), figure=True))
    )
    return (Phrase(text="; "), *down, Phrase(text=", and "), *up)
