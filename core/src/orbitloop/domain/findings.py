"""What a doctor says of an installation: one finding for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Args:
        about: what it is, in a word or two.
        grade: how it stands; ``MISSING`` is what keeps the installation from working.
        says: what is so, or what is wrong and where.
        remedy: what to do about it; empty where all is well.
    """

    about: str
    grade: Grade
    says: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if (self.grade is Grade.OK) == bool(self.remedy):
            raise ValueError(f"{self.about}: exactly what is not well has a remedy")


def well(about: str, says: str) -> Finding:
    """All is well with it."""
    return Finding(about=about, grade=Grade.OK, says=says)


def doubtful(about: str, says: str, remedy: str) -> Finding:
    """It works, or may work, and somebody should look."""
    return Finding(about=about, grade=Grade.WARNING, says=says, remedy=remedy)


def lacking(about: str, says: str, remedy: str) -> Finding:
    """It is not there, or not as it has to be."""
    return Finding(about=about, grade=Grade.MISSING, says=says, remedy=remedy)


def is_whole(findings: Iterable[Finding]) -> bool:
    """Whether nothing is missing; warnings are left aside."""
    return all(finding.grade is not Grade.MISSING for finding in findings)


def told(findings: Iterable[Finding]) -> dict[str, object]:
    """The findings as JSON has them: ``ok``, and ``checks`` in the order in which they were made."""
    made = tuple(findings)
    return {"ok": is_whole(made), "checks": [{**asdict(finding), "grade": finding.grade.value} for finding in made]}


def in_words(findings: Iterable[Finding]) -> str:
    """The findings for people: a line each, and below what is not well the line that says what to do."""
    made = tuple(findings)
    width = max((len(finding.about) for finding in made), default=0)
    lines = []
    for finding in made:
        lines.append(f"{finding.grade.value:<8} {finding.about:<{width}}  {finding.says}\n")
        if finding.remedy:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.remedy}\n")
    counts = {grade: sum(finding.grade is grade for finding in made) for grade in Grade}
    lines.append(f"{', '.join(f'{count} {grade.value}' for grade, count in counts.items())}\n")
    return "".join(lines)
