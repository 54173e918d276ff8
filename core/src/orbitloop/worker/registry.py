"""Classes by name: what manifests name, user code registers."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from orbitloop.domain.errors import BadInput

Registered = TypeVar("Registered", bound=Callable[..., Any])


class ClassType(StrEnum):
    """What a registered class is for, under Sedna's names."""

    GENERAL = "general"
    ALGORITHM = "algorithm"
    DATASET = "dataset"
    HEM = "hard_example_mining"
    FE = "feature_extraction"
    FL_AGG = "aggregation"
    CLIENT_CHOOSE = "client_choose"
    TRANSMITTER = "transmitter"
    MTL = "multi_task_learning"
    UTD = "unseen_task_detect"
    OPTIM = "optimizer"
    CALLBACK = "post_process_callback"


class ClassFactory:
    """A registry for the whole process, because decorators fill it while user modules are imported."""

    __registry__: ClassVar[dict[str, dict[str, Callable[..., Any]]]] = {}

    @classmethod
    def register(
        cls, type_name: str = ClassType.GENERAL, alias: str | None = None
    ) -> Callable[[Registered], Registered]:
        """Decorate a class or function to have it found by name.

        Raises:
            BadInput: another one has that name already.
        """

        def note(registered: Registered) -> Registered:
            return cls.register_cls(registered, type_name, alias)

        return note

    @classmethod
    def register_cls(
        cls, t_cls: Registered, type_name: str = ClassType.GENERAL, alias: str | None = None
    ) -> Registered:
        """Have ``t_cls`` found as ``alias``, or by its own name.

        Raises:
            BadInput: another one has that name already. The same one may come again: modules are reloaded.
        """
        name = alias or t_cls.__name__
        entries = cls.__registry__.setdefault(str(type_name), {})
        before = entries.get(name)
        if before is not None and _identity(before) != _identity(t_cls):
            raise BadInput(
                f"{type_name} {name!r} is {_identity(before)} already; give {_identity(t_cls)} another alias"
            )
        entries[name] = t_cls
        return t_cls

    @classmethod
    def is_exists(cls, type_name: str, cls_name: str) -> bool:
        """Whether such a name is registered."""
        return cls_name in cls.__registry__.get(str(type_name), {})

    @classmethod
    def get_cls(cls, type_name: str, t_cls_name: str | Callable[..., Any] | None = None) -> Any:
        """What is registered under a name; a class or function is given back as it is.

        Raises:
            BadInput: nobody registered that name; the message lists those that are.
        """
        if callable(t_cls_name):
            return t_cls_name
        entries = cls.__registry__.get(str(type_name), {})
        if t_cls_name not in entries:
            known = ", ".join(sorted(entries)) or "none"
            raise BadInput(f"{type_name} {t_cls_name!r} is not registered; there are: {known}")
        return entries[t_cls_name]


def _identity(registered: Callable[..., Any]) -> str:
    return f"{registered.__module__}.{registered.__qualname__}"
