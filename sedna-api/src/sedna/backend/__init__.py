"""Backends for estimators.

What belongs here: what Sedna has under this path. What does not: code of its own.
"""

from orbitloop.worker.backends import set_backend

__all__ = ["set_backend"]
