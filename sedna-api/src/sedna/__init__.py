"""The worker library under Sedna's import name.

What belongs here: Sedna's module paths, each of which re-exports names of :mod:`orbitloop.worker`. What does not:
anything that does something, save for one check: a package ``sedna`` of another distribution is not shadowed.
"""

from importlib.metadata import packages_distributions

_OURS = "orbitloop-sedna"


def _refuse_to_shadow() -> None:
    others = sorted(set(packages_distributions().get("sedna", ())) - {_OURS})
    if others:
        raise ImportError(
            f"both {_OURS} and {', '.join(others)} provide the package sedna; keep one: "
            f"pip uninstall {_OURS}, or pip uninstall {' '.join(others)} and pip install --force-reinstall {_OURS}"
        )


_refuse_to_shadow()
