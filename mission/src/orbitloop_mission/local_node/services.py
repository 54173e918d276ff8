"""Names of Services, which are all at this machine here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from orbitloop_operators.handlers.changes import Document

HERE = "127.0.0.1"
_HOSTS = Path("/etc/hosts")


def names_of(services: Iterable[Document], namespace: str) -> list[str]:
    """All names by which a pod of ``namespace`` may call them."""
    names: list[str] = []
    for service in services:
        name, home = service["metadata"]["name"], service["metadata"]["namespace"]
        if home == namespace:
            names.append(name)
        names += [f"{name}.{home}", f"{name}.{home}.svc", f"{name}.{home}.svc.cluster.local"]
    return names


def hosts_file(names: Iterable[str], place: Path) -> Path:
    """This machine's own hosts, and these; written to ``place``."""
    own = _HOSTS.read_text() if _HOSTS.exists() else f"{HERE} localhost\n"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"{own.rstrip()}\n" + "".join(f"{HERE} {name}\n" for name in names))
    return place
