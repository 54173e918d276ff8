"""LinkPolicy: what may be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitloop.api.orbitloop_v1alpha1.link_policy import LinkPolicy
from orbitloop.api.rules import checked
from orbitloop.domain.errors import Refused
from orbitloop_operators.handlers.changes import Changes, Document, Key, View
from orbitloop_operators.handlers.conditions import Finding, conditioned, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicies:
    """The reconciler of LinkPolicies: the domain takes the policy, or the object says what it will not take."""

    def related(self, document: Document, view: View) -> Sequence[Key]:  # noqa: ARG002  # nothing else counts
        """None: a policy depends on nothing."""
        return ()

    def reconcile(self, document: Document, view: View, now: datetime) -> Changes:  # noqa: ARG002
        """Whether it can be used. Raises ``BadInput`` for an unknown codec or priority, or a value out of range."""
        policy = checked(document)
        assert isinstance(policy, LinkPolicy)
        budget = policy.spec.to_domain().update_budget
        message = f"updates take at most {budget} bytes"
        return conditioned(document, {}, [Finding(holds=True, reason="Accepted", message=message)], now)

    def refused(self, document: Document, error: Refused, now: datetime) -> Changes:
        """The policy is not ready, and says why."""
        return refusal(document, error, now)
