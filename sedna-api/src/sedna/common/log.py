"""The logger that user code shares with the library."""

from orbitloop.worker.log import LOGGER

__all__ = ["LOGGER"]
