"""What all jobs have in common."""

from orbitloop.worker.job import JobBase

__all__ = ["JobBase"]
