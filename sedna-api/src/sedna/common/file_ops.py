"""Files of a worker."""

from orbitloop.worker.files import FileOps

__all__ = ["FileOps"]
