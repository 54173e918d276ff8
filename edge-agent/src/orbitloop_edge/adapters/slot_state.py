"""What flies, as ``slots/state.json`` says: light, for those who load no model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from orbitloop.domain.errors import BadInput
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.messages import DigestText, UpdateReport

SlotName = Literal["a", "b"]


class SlotState(BaseModel):
    """``state.json``: the slot that flies, the digests of all that it is made of, and the last update's report."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    active: SlotName
    flying: DigestText
    spec: DigestText
    graph: DigestText
    last: UpdateReport | None = None


def read_state(folder: Path) -> SlotState:
    """What flies out of the slots in ``folder``, read without touching anything; errors as :meth:`Slots.state`."""
    path = folder / "state.json"
    if not path.exists():
        raise BadInput(f"{folder}: no model is installed; run orbitloop-edge install with a model folder")
    try:
        return SlotState.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadInput(f"{path}: unreadable ({first_complaint(error)}); install the model again") from error
