"""Lifelong learning, which is not there yet: using it says so."""

from orbitloop.worker.absent import LifelongLearning

__all__ = ["LifelongLearning"]
