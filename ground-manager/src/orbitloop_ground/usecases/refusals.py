"""Which errors count as turning somebody away, whichever layer they came by."""

from __future__ import annotations

from orbitloop.domain.errors import NoSpace, OrbitloopError, Refused, Untrusted
from orbitloop_ground.usecases.converse import Impersonated, Replayed
from orbitloop_ground.usecases.watch import Refusal


class Revoked(Untrusted):
    """A certificate that was good once."""


_REASONS: tuple[tuple[type[OrbitloopError], Refusal], ...] = (  # the first that fits
    (Revoked, Refusal.REVOKED),
    (Impersonated, Refusal.IMPERSONATION),
    (Replayed, Refusal.REPLAYED),
    (Untrusted, Refusal.UNTRUSTED),
    (Refused, Refusal.MALFORMED),
    (NoSpace, Refusal.NO_ROOM),
)


def refusal_of(error: OrbitloopError) -> Refusal | None:
    """What ``error`` counts as; ``None`` for those that only put something off."""
    return next((why for kind, why in _REASONS if isinstance(error, kind)), None)
