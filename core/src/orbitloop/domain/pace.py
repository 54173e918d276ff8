"""Whether there is time to process a frame, so that the frame deadline is met on average."""

from __future__ import annotations

from dataclasses import dataclass

from orbitloop.domain.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Time that frames brought, and took.

    Every frame brings the deadline. Time that was not used is kept for later frames, at most ``patience`` deadlines of
    it: as long as frames can wait in memory, and vice versa.

    Args:
        deadline: seconds until the next frame is there.
        patience: deadlines that may be owed or saved.
        balance: seconds saved; below 0 owed.
    """

    deadline: float
    patience: int = 4
    balance: float = 0.0

    def __post_init__(self) -> None:
        if not self.deadline > 0 or self.patience < 1:
            raise BadInput(f"frames {self.deadline} s apart, {self.patience} waiting, leave no time to process any")

    @property
    def has_time(self) -> bool:
        """Whether the next frame may be processed."""
        return self.balance > -self.patience * self.deadline

    def after(self, seconds: float) -> Pace:
        """The pace after a frame that took so long."""
        saved = min(self.balance + self.deadline - seconds, self.patience * self.deadline)
        return Pace(deadline=self.deadline, patience=self.patience, balance=saved)
