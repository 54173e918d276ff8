"""Objects in files, one each, so that a run that was stopped or killed goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orbitloop.adapters.durable import discard_unfinished, sync_folder, write_unlisted
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Document, Key

_NOT_KEPT = {"Event", "Node", "Secret"}
"""What passes, what each run makes anew, and what no file should hold."""


class FolderArchive:
    """An :class:`~orbitloop_operators.adapters.memory_cluster.Archive` in a folder.

    Args:
        folder: is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        discard_unfinished(folder)

    def keep(self, document: Document) -> None:
        """Have this be what is kept of an object; durable on return.

        Raises:
            NoSpace: the disk is full.
        """
        key = Key.of(document)
        if key.kind not in _NOT_KEPT:
            write_unlisted(self._file(key), json.dumps(document, indent=1).encode(), mode=0o600)
            sync_folder(self._folder)

    def drop(self, key: Key) -> None:
        """Keep nothing of an object any more."""
        if key.kind not in _NOT_KEPT:
            self._file(key).unlink(missing_ok=True)
            sync_folder(self._folder)

    def kept(self) -> Iterator[dict[str, Any]]:
        """What is kept.

        Raises:
            BadInput: a file holds no object.
        """
        for path in sorted(self._folder.glob("*.json")):
            try:
                document = json.loads(path.read_bytes())
                Key.of(document)
                int(document["metadata"]["resourceVersion"])
            except (ValueError, KeyError, TypeError) as error:
                raise BadInput(f"{path} holds no object; delete it, or give another --state") from error
            yield document

    def _file(self, key: Key) -> Path:
        words = (key.api_version, key.kind, key.namespace, key.name)
        return self._folder / f"{'_'.join(quote(word, safe='') for word in words)}.json"
