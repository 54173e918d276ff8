"""What the trainer's workers are told beside what every worker of a job is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.errors import BadInput
from orbitloop.domain.keeping import Keeping
from orbitloop.domain.units import Bytes
from orbitloop.wire.complaints import first_complaint


class TrainerSettings(BaseModel):
    """Each is the variable of the environment of the same name in capitals.

    Attributes:
        steps: optimiser steps of a training.
        batch: crops of a step, of all processes together.
        side: side of a crop in pixels, a multiple of 32.
        update_bytes: what the update to the satellites should take; what may change in the model is chosen by it.
        keeping: what is done against forgetting.
        replay: share of the crops that show what earlier rounds trained on, where they are replayed.
        most_pictures: most pictures of a round that are held in memory.
        most_replayed: the same of those of earlier rounds.
        seed: seed of everything random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=200, ge=1, le=1_000_000)
    batch: int = Field(default=8, ge=1, le=4096)
    side: int = Field(default=320, ge=64, le=4096, multiple_of=32)
    update_bytes: Bytes = Field(default=Bytes(240_000), ge=25_000, le=64 * 2**20)
    keeping: Keeping = Keeping.REPLAY
    replay: float = Field(default=0.3, ge=0, lt=1)
    most_pictures: int = Field(default=1000, ge=1)
    most_replayed: int = Field(default=200, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self:
        """The settings in an environment; what is empty or missing has its default.

        Raises:
            BadInput: a variable cannot be read; the message names it.
        """
        told = {name: text for name in cls.model_fields if (text := given.get(name.upper(), ""))}
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0]).upper()
            raise BadInput(f"the variable {name}: {first_complaint(error)}; see docs/reference/trainer.md") from None
