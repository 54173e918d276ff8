"""Applications of one's own: a function of a module that can be imported from here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from orbitloop.domain.errors import BadInput
from orbitloop_ground.adapters.transformation.applications import Application
from orbitloop_mission.transformation.catalogue import application, application_named

_BETWEEN = ":"


def application_given(given: str, data: Path | None = None, *, model: Path | None = None, seed: int = 0) -> Application:
    """An application by its name, or by ``package.module:function`` of one's own.

    The function is called with the other arguments as they are here, and gives an ``Application``; what it raises
    passes through. Modules are looked for in the working folder too.

    Raises:
        BadInput: there is none of that name, its module cannot be imported, it is no function, or it gives something
            else; or data or model are missing or malformed.
    """
    if _BETWEEN not in given:
        return application(application_named(given), data, model=model, seed=seed)
    made = _function(given)(data, model=model, seed=seed)
    if not isinstance(made, Application):
        raise BadInput(
            f"application {given!r} gives a {type(made).__name__}, no Application; see fit-an-application.md"
        )
    return made


def _function(given: str) -> Callable[..., object]:
    module, _, name = given.partition(_BETWEEN)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError) as error:
        raise BadInput(
            f"application {given!r}: {module or 'a module without a name'} cannot be imported ({error}); write "
            "package.module:function, and have the package installed or in the working folder"
        ) from error
    if not callable(found):
        raise BadInput(f"application {given!r}: {module} has no function {name!r}")
    return found
