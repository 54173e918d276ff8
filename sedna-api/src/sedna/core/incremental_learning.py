"""Incremental learning."""

from orbitloop.worker.incremental import IncrementalLearning

__all__ = ["IncrementalLearning"]
