"""Services for video across several edges, which are not there: using one says so.

What belongs here: what Sedna has under this path. What does not: code of its own.
"""

from orbitloop.worker.absent import Absent, absent


def __getattr__(name: str) -> type[Absent]:
    if not name[:1].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return absent(name)
