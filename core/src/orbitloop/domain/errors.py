"""The one error tree.

    OrbitloopError
    ├── Refused            asking again with the same input will not help
    │   ├── BadInput       what a user or a peer gave is malformed (file, id, reason)
    │   ├── Untrusted      a digest, signature or identity does not check out
    │   └── WrongBase      an update was made for another model than the one that flies
    └── NotYet             the same request may succeed later
        ├── LinkClosed     no contact window is open, or the signal was lost
        └── NoSpace        the disk, or a budget on it, is full

Every message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations

from datetime import timedelta


class OrbitloopError(Exception):
    """Base of every error that orbitloop raises on purpose."""


class Refused(OrbitloopError):
    """The request is wrong as it stands; repeating it will not help."""


class BadInput(Refused):
    """A file, message or argument is malformed."""


class Untrusted(Refused):
    """A digest, signature or identity does not check out."""


class WrongBase(Refused):
    """An update was built for another model than the one that flies."""


class NotYet(OrbitloopError):
    """The request may succeed later.

    Args:
        message: what is missing and what to do.
        retry_after: how long to wait before asking again, if that is known.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LinkClosed(NotYet):
    """No contact window is open, or the signal was lost in the middle."""


class NoSpace(NotYet):
    """The disk, or a budget on it, is full."""
