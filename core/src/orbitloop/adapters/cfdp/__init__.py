"""CCSDS File Delivery (CFDP, CCSDS 727.0-B-5), class 1 and 2, over UDP, by the library ``cfdp-py``.

What belongs here: one entity that satellite and ground share, the library's state machines with what they lack on a
link that comes and goes, and the only imports of the library. What does not: what a received file means; whoever
listens to the entity decides that. CFDP authenticates nobody: see ``docs/howto/cfdp.md`` before switching it on.
"""

from __future__ import annotations

from importlib.util import find_spec

from orbitloop.domain.errors import Refused

if find_spec("cfdppy") is None or find_spec("spacepackets") is None:
    raise Refused("CCSDS file delivery needs the library cfdp-py; install it with: pip install 'orbitloop[cfdp]'")
