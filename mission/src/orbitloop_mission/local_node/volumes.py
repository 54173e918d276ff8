"""A pod's volumes as folders and files of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orbitloop_mission.local_node.environment import Incomplete, Sources, contents, referred
from orbitloop_mission.local_node.processes import Bound

_CHECKS = {
    "Directory": Path.is_dir,
    "File": Path.is_file,
    "Socket": Path.is_socket,
    "CharDevice": Path.is_char_device,
    "BlockDevice": Path.is_block_device,
}


def bound_volumes(container: Mapping[str, Any], folder: Path, sources: Sources) -> list[Bound]:
    """Where a container sees the volumes that it mounts; what is to be made is made.

    Args:
        folder: of the pod, for volumes that go with it.

    Raises:
        Incomplete: one is not there, or of a kind that this machine has not.
    """
    volumes = {volume["name"]: volume for volume in sources.pod["spec"].get("volumes") or ()}
    bound = []
    for mount in container.get("volumeMounts") or ():
        place = _place(volumes[mount["name"]], folder / "volumes" / mount["name"], sources)
        if mount.get("subPath"):
            place = place / str(mount["subPath"]).lstrip("/")
            if ".." in place.parts:
                raise Incomplete(f"volume {mount['name']}: subPath {mount['subPath']!r} leads out of it")
            _make(place, mount["name"])
        read_only = bool(mount.get("readOnly"))
        bound.append(Bound(source=str(place), target=str(mount["mountPath"]), read_only=read_only))
    return bound


def _place(volume: Mapping[str, Any], own: Path, sources: Sources) -> Path:
    name = volume["name"]
    if "hostPath" in volume:
        return _of_host(name, volume["hostPath"])
    if "emptyDir" in volume:
        _make(own, name)
        return own
    for part, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if part in volume:
            _write(kind, volume[part], own, sources)
            return own
    kinds = ", ".join(sorted(set(volume) - {"name"}))
    raise Incomplete(f"volume {name} is {kinds or 'of no kind'}; here there are hostPath, emptyDir, secret, configMap")


def _of_host(name: str, asked: Mapping[str, Any]) -> Path:
    path, kind = Path(str(asked.get("path", ""))), str(asked.get("type") or "")
    if not path.is_absolute() or ".." in path.parts:
        raise Incomplete(f"volume {name}: hostPath {str(path)!r} must begin at the root, without ..")
    if kind == "FileOrCreate":
        _make(path.parent, name)
        path.touch()
    elif kind == "DirectoryOrCreate" or (kind == "" and not path.exists()):
        _make(path, name)
    elif kind and not _CHECKS.get(kind, Path.exists)(path):
        raise Incomplete(f"volume {name}: hostPath {path} is no {kind} of this machine; make it, or correct the path")
    return path


def _make(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Incomplete(
            f"volume {name}: {folder} cannot be made: {error.strerror}; make it, or give another"
        ) from error


def _write(kind: str, asked: Mapping[str, Any], folder: Path, sources: Sources) -> None:
    _make(folder, kind)
    document = referred(kind, asked, sources)
    values = {} if document is None else dict(contents(document))
    items = asked.get("items")
    for key, path in [(item["key"], item["path"]) for item in items] if items else [(key, key) for key in values]:
        if key not in values:
            raise Incomplete(f"{kind} {asked.get('name') or asked.get('secretName')} has no key {key!r}")
        target = folder / path
        if ".." in target.parts:
            raise Incomplete(f"{kind} {asked.get('name') or asked.get('secretName')}: path {path!r} leads out of it")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(values[key])
