"""The two files of a hot update, in one folder: what is wanted, and what came of it.

``model_config.json`` is Sedna's: ``{"model_config": {"model_path": ..., "model_update_time": ...}}``; a ``digest``
beside them is an addition, and is checked where it is given. ``loaded.json`` is the worker's answer:
``{"digest", "status", "message", "model_path", "model_update_time"}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop.wire.complaints import first_complaint
from orbitloop.wire.worker_messages import DigestText, WorkerStatus

HOT_UPDATES = "/var/lib/sedna/model-hot-update"
"""Where Sedna's hot updates are on a node: a folder a namespace, a kind and a job."""
CONFIG = "model_config.json"
LOADED = "loaded.json"


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class _Entry(_File):
    model_path: str = Field(min_length=1)
    model_update_time: str = ""
    digest: DigestText | None = None


class _Document(_File):
    entry: _Entry = Field(alias="model_config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The model that the file names; two are the same update if all of it is the same."""

    path: str
    updated: str
    digest: Digest | None = None

    def body(self) -> bytes:
        """The content of ``model_config.json``."""
        entry: dict[str, Any] = {"model_path": self.path, "model_update_time": self.updated}
        if self.digest is not None:
            entry["digest"] = self.digest
        return json.dumps({"model_config": entry}, indent=2).encode()


def wanted_in(text: str) -> Wanted | None:
    """What the file says; none while it is half written.

    Raises:
        BadInput: it names no model.
    """
    try:
        json.loads(text)
    except ValueError:
        return None
    try:
        entry = _Document.model_validate_json(text).entry
    except ValidationError as error:
        raise BadInput(f"the model config names no model: {text[:200]!r}") from error
    return Wanted(path=entry.model_path, updated=entry.model_update_time, digest=entry.digest)


class Loaded(_File):
    """What came of an update.

    Args:
        digest: of the model; empty where it could not be read.
        status: completed or failed.
        message: why it failed.
        model_path: of the update, as it was wanted.
        model_update_time: of the update, as it was wanted.
    """

    digest: str = ""
    status: WorkerStatus
    message: str = ""
    model_path: str = ""
    model_update_time: str = ""

    def answers(self, wanted: Wanted) -> bool:
        """Whether it is about this update, and not an earlier one."""
        return (self.model_path, self.model_update_time) == (wanted.path, wanted.updated)

    def body(self) -> bytes:
        """The content of ``loaded.json``."""
        return self.model_dump_json().encode()


def loaded_in(text: str) -> Loaded:
    """What the file says.

    Raises:
        BadInput: it says nothing of an update.
    """
    try:
        return Loaded.model_validate_json(text)
    except ValidationError as error:
        raise BadInput(f"the worker's answer cannot be read: {first_complaint(error)}") from error
