"""The environment of a worker."""

from orbitloop.worker.config import BaseConfig, Context

__all__ = ["BaseConfig", "Context"]
