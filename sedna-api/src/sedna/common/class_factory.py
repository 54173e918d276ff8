"""Classes by name."""

from orbitloop.worker.registry import ClassFactory, ClassType

__all__ = ["ClassFactory", "ClassType"]
