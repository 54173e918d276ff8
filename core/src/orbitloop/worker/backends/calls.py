"""Calls into user code, which takes what it takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def is_maker(estimator: object) -> bool:
    """Whether it makes an estimator: a class or a function. Models that can be called are estimators themselves."""
    return inspect.isclass(estimator) or inspect.isroutine(estimator) or isinstance(estimator, functools.partial)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether ``function`` can be given an argument by this name."""
    return name in accepted(function, {name: None})


def accepted(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the named arguments that ``function`` takes: all, where it takes ``**kwargs``."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # some built in ones do not say
        return {}
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(given)
    return {name: value for name, value in given.items() if name in parameters and parameters[name].kind in _BY_NAME}


def call(function: Callable[..., Any], name: str, value: Any, **others: Any) -> Any:
    """Call with ``value`` by ``name`` where the function has that parameter, first otherwise; others where taken."""
    named = accepted(function, others)
    parameters = inspect.signature(function).parameters
    if name in parameters and parameters[name].kind in _BY_NAME:
        return function(**{name: value}, **named)
    return function(value, **named)
