"""Estimators of any framework in the one shape that jobs use.

What belongs here: finding out which framework an estimator is of, and what plain modules and graphs need to train,
predict, load and save. What does not: importing a framework that user code did not bring.
"""

from orbitloop.worker.backends.base import Backend
from orbitloop.worker.backends.choice import set_backend

__all__ = ["Backend", "set_backend"]
