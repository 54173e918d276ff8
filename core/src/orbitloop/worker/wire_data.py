"""Samples and results between a worker at the edge and a big model: JSON as Sedna writes it, or numpy's npz."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from orbitloop.domain.errors import BadInput

JSON = "application/json"
NPZ = "application/x-npz"


def plain(value: Any) -> Any:
    """``value`` as JSON can say it: arrays and tensors become lists, tuples too.

    Raises:
        BadInput: something in it cannot be said.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    match value:
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set():
            return [plain(item) for item in value]
        case _:
            raise BadInput(f"a {type(value).__name__} cannot be sent as JSON; give arrays, lists or numbers")


def request_body(data: Any, callback: str | None, encoding: str, others: dict[str, Any]) -> tuple[bytes, str]:
    """A request for one prediction, and its content type.

    Args:
        data: what the big model's ``predict`` takes.
        callback: name of a post-processing registered there.
        encoding: ``json`` or ``npz``.
        others: further arguments of ``predict``, for JSON alone.
    """
    if encoding == "npz":
        file = io.BytesIO()
        arrays = {"data": np.asarray(data)} | ({} if callback is None else {"callback": np.asarray(callback)})
        np.savez_compressed(file, allow_pickle=False, **arrays)
        return file.getvalue(), NPZ
    return json.dumps({"data": plain(data), "callback": callback} | plain(others)).encode(), JSON


def read_request(body: bytes, content_type: str) -> tuple[Any, str | None]:
    """The data and the callback's name of a request.

    Raises:
        BadInput: it is neither JSON with ``data`` nor an npz archive with an array ``data``.
    """
    if content_type == NPZ:
        return _from_npz(body)
    try:
        read = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is no JSON: {error}") from error
    if not isinstance(read, dict) or "data" not in read:
        raise BadInput('the body must be {"data": [...], "callback": null}')
    callback = read.get("callback", read.get("post_process"))
    if callback is not None and not isinstance(callback, str):
        raise BadInput("callback must be the name of a registered post-processing, or null")
    return read["data"], callback


def _from_npz(body: bytes) -> tuple[Any, str | None]:
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            data = arrays["data"]
            callback = str(arrays["callback"]) if "callback" in arrays else None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise BadInput(f"the body is no npz archive with an array data: {error}") from error
    return data, callback
