"""How a model that learns new ground keeps the old."""

from __future__ import annotations

from enum import StrEnum


class Keeping(StrEnum):
    """What training does against forgetting, beside the few weights that an update moves at all."""

    NOTHING = "nothing"
    REPLAY = "replay"
    """A share of what is trained on are old pictures."""
    DISTILLATION = "distillation"
    """The new model is held to the old one's answers; needs no old pictures."""
    ELASTIC = "elastic"
    """Each weight is held to its old value by what old pictures say it is worth."""
    REPLAY_AND_DISTILLATION = "replay+distillation"

    @property
    def replays(self) -> bool:
        """Whether old pictures are trained on."""
        return self in {Keeping.REPLAY, Keeping.REPLAY_AND_DISTILLATION}

    @property
    def distils(self) -> bool:
        """Whether the old model's answers are kept to."""
        return self in {Keeping.DISTILLATION, Keeping.REPLAY_AND_DISTILLATION}
