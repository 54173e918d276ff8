"""Whether there is time to process a frame, so that the frame deadline is met on average."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orbitloop.domain.errors import BadInput

_LATEST = 0.25
"""Weight of the latest frame in how long frames take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Time that frames brought, and took.

    Every frame brings the deadline. Time that was not used is kept for later frames, at most ``patience`` deadlines of
    it: as long as frames can wait in memory, and vice versa. Who owes that much lets frames go raw, unless that takes
    longer than to look at them: then there is nothing to be gained.

    Args:
        deadline: seconds until the next frame is there.
        patience: deadlines that may be owed or saved.
        balance: seconds saved; below 0 owed.
        looked: seconds that a frame lately took which was processed; 0 where none was.
        raw: the same of frames that were not.
    """

    deadline: float
    patience: int = 4
    balance: float = 0.0
    looked: float = 0.0
    raw: float = 0.0

    def __post_init__(self) -> None:
        if not self.deadline > 0 or self.patience < 1:
            raise BadInput(f"frames {self.deadline} s apart, {self.patience} waiting, leave no time to process any")

    @property
    def has_time(self) -> bool:
        """Whether the next frame may be processed."""
        return not self._owes or self.raw > self.looked

    @property
    def _owes(self) -> bool:
        return self.balance <= -self.patience * self.deadline

    def after(self, seconds: float, *, processed: bool = True) -> Pace:
        """The pace after a frame that took so long.

        A frame that went raw counts at most half the deadline, else a computer that is too slow even for that would
        look at no frame any more. One that was processed because raw takes longer counts at most the deadline: what
        cannot be helped is not owed.
        """
        counted = seconds
        if not processed:
            counted = min(seconds, self.deadline / 2)
        elif self._owes:
            counted = min(seconds, self.deadline)
        balance = min(self.balance + self.deadline - counted, self.patience * self.deadline)
        if processed:
            return replace(self, balance=balance, looked=_blended(self.looked, seconds))
        return replace(self, balance=balance, raw=_blended(self.raw, seconds))


def _blended(before: float, seconds: float) -> float:
    return seconds if not before else before + (seconds - before) * _LATEST
