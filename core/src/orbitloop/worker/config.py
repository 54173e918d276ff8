"""The environment under Sedna's names: ``Context`` for any variable, ``BaseConfig`` for the known ones."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from orbitloop.domain.errors import BadInput
from orbitloop.worker.settings import WorkerSettings, environment, read_settings

HardExampleMining = dict[str, Any]
"""``{"method": alias, "param": {name: value}}``, or empty."""


class Context:
    """Access to the variables that a worker was given."""

    @classmethod
    def get_parameters(cls, param: str, default: Any = None) -> Any:
        """The variable ``param``, or its name in capitals; ``default`` where both are missing or empty."""
        given = environment()
        return given.get(param) or given.get(param.upper()) or default

    @classmethod
    def get_algorithm_from_api(cls, algorithm: str, **param: Any) -> HardExampleMining:
        """The algorithm that the manifest names by ``<algorithm>_NAME`` and ``<algorithm>_PARAMETERS``.

        Args:
            algorithm: ``HEM`` for hard-example mining.
            **param: parameters that win over the manifest's.

        Raises:
            BadInput: the parameters are no JSON list of ``{"key", "value"}``.
        """
        name = cls.get_parameters(f"{algorithm}_NAME")
        if not name:
            return {}
        variable = f"{algorithm}_PARAMETERS".upper()
        return {"method": name, "param": parameters_in(variable, cls.get_parameters(variable, "")) | param}


def parameters_in(variable: str, text: str) -> dict[str, Any]:
    """What ``[{"key": "threshold", "value": "0.5"}]`` says, by key; an object says the same by itself.

    Raises:
        BadInput: anything else.
    """
    if not text:
        return {}
    try:
        read = json.loads(text)
        if isinstance(read, dict):
            return read
        return {str(item["key"]): item["value"] for item in read or ()}
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f'{variable} is {text!r}; it must be a JSON list of {{"key": ..., "value": ...}}') from error


class _ReadWhenAsked(type):
    """Attributes of the class are read from the environment when they are asked for."""

    def __getattr__(cls, name: str) -> Any:
        return _value_of(read_settings(environment()), name)


class BaseConfig(metaclass=_ReadWhenAsked):
    """The settings by lower-case name, ``BaseConfig.model_url``: the class as of now, an instance as of its making.

    Durations are seconds, ``parameters`` is what the variable says, ``job_name`` falls back on the service's name.
    """

    def __init__(self) -> None:
        settings = read_settings(environment())
        for name in WorkerSettings.__slots__:
            setattr(self, name, _value_of(settings, name))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a worker has no setting {name!r}; Context.get_parameters reads any variable")


def _value_of(settings: WorkerSettings, name: str) -> Any:
    if name not in WorkerSettings.__slots__:
        raise AttributeError(f"a worker has no setting {name!r}; Context.get_parameters reads any variable")
    value = settings.owner if name == "job_name" else getattr(settings, name)
    return value.total_seconds() if isinstance(value, timedelta) else value
