"""Paths on the node, as manifests write them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from orbitloop.domain.errors import BadInput


def path_on_node(url: str) -> Path:
    """The path that a URL is.

    Raises:
        BadInput: it is on another machine, or no absolute path.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme.lower() != "file":
        raise BadInput(f"the url {url!r} is not on the node; its Local Controller works with files: write a path")
    path = Path(unquote(urlsplit(url).path) if separator else url)
    if not path.is_absolute() or ".." in path.parts or "\0" in url:
        raise BadInput(f"the url {url!r} is no absolute path; write it from the root on, such as /data/index.txt")
    return path
