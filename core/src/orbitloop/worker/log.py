"""The logger that user code shares with the library."""

from __future__ import annotations

import logging
import sys

from orbitloop.domain.errors import BadInput


def _made() -> logging.Logger:
    logger = logging.getLogger("orbitloop.worker")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(filename)s:%(lineno)d: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


LOGGER = _made()
"""Writes to standard error from ``LOG_LEVEL`` on (INFO until a job is made); only this logger is touched."""


def log_from(level: str) -> None:
    """Log what is at least this grave.

    Raises:
        BadInput: there is no such level.
    """
    known = logging.getLevelNamesMapping()
    if level.upper() not in known:
        raise BadInput(f"LOG_LEVEL is {level!r}; it must be one of {', '.join(known)}")
    LOGGER.setLevel(known[level.upper()])
