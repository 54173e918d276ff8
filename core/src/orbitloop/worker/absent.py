"""Names of Sedna that can be imported and are not there yet: using one says so, once and clearly."""

from __future__ import annotations

from typing import Any, NoReturn

from orbitloop.domain.errors import Refused


class Absent:
    """Base of what is not there. User code may import, annotate with, and subclass it; making one is refused."""

    remedy = "see docs/howto/worker-library.md for what is"

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        _refuse(type(self))


def _refuse(kind: type[Absent]) -> NoReturn:
    raise Refused(f"{kind.__name__} is not part of orbitloop's worker library; {kind.remedy}")


def absent(name: str) -> type[Absent]:
    """A class of this name that refuses to be made."""
    return type(name, (Absent,), {"__module__": __name__, "__doc__": f"{name}, which is not there yet."})


FederatedLearning = absent("FederatedLearning")
FederatedLearningV2 = absent("FederatedLearningV2")
LifelongLearning = absent("LifelongLearning")
