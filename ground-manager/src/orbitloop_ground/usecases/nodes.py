"""Looking after nodes: what is wanted of them, and what moved since somebody looked."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydantic_core import from_json

from orbitloop.domain.errors import BadInput, Refused
from orbitloop.ports.node_ledger import Bearings, DesiredDocument, NodeKeeper, NodeReport
from orbitloop.wire.messages import MOST_DESIRED

_log = logging.getLogger(__name__)


class UnknownNode(Refused):
    """No such node has keys of this mission."""


class TooLarge(Refused):
    """More bytes than cross the link for such a thing."""


class Nodes:
    """What an operator does with nodes.

    Args:
        ledger: where it is kept.
        has_keys: whether a node of that name may speak with the ground.
    """

    def __init__(self, ledger: NodeKeeper, has_keys: Callable[[str], bool]) -> None:
        self._ledger = ledger
        self._has_keys = has_keys

    def want(self, node: str, content: bytes) -> DesiredDocument:
        """Want a node to be like ``content``, a JSON object; the same again changes nothing.

        Raises:
            UnknownNode: it has no keys.
            TooLarge: it takes more than 256 kB.
            BadInput: it is no JSON object.
        """
        self.demand(node)
        if len(content) > MOST_DESIRED:
            raise TooLarge(f"a desired state of more than {MOST_DESIRED} bytes for {node}; it must cross the link")
        _demand_object(node, content)
        known = self._ledger.desired(node)
        if known is not None and known.content == content:
            return known
        wanted = self._ledger.set_desired(node, content)
        _log.info("desired_state", extra={"node": node, "digest": wanted.digest, "bytes": len(content)})
        return wanted

    def demand(self, node: str) -> None:
        """Raises ``UnknownNode`` unless it has keys."""
        if not self._has_keys(node):
            raise UnknownNode(
                f"node {node!r} has no keys of this mission, or no longer; make them: keys FOLDER --satellite"
            )

    def bearings(self) -> Bearings:
        """How far the ledger is."""
        return self._ledger.bearings()

    def moved(self, after: int) -> list[NodeReport]:
        """Every node of which anything moved behind position ``after``."""
        return self._ledger.node_reports(after)


def _demand_object(node: str, content: bytes) -> None:
    try:
        read = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise BadInput(f"desired state of {node}: no JSON ({error})") from None
    if not isinstance(read, dict):
        raise BadInput(f"desired state of {node}: a {type(read).__name__}; write a JSON object")
