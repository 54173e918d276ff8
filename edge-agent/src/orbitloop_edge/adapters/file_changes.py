"""Waits until files change: told by the kernel (inotify) where that is possible, or by the clock alone."""

from __future__ import annotations

import errno
import logging
import os
import select
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

_log = logging.getLogger(__name__)

_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF, _ONLYDIR = 0x100, 0x200, 0x400, 0x800, 0x1000000
_EVENTS = _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
"""As ``inotify(7)`` numbers them: whatever changes a file in a folder, or the folder."""
_OVERFLOW, _IGNORED = 0x4000, 0x8000
"""Events were lost; the folder is watched no longer, for it is gone."""


class _Event(Protocol):
    @property
    def wd(self) -> int: ...

    @property
    def mask(self) -> int: ...

    @property
    def name(self) -> str: ...


class _Kernel(Protocol):
    """As much of ``inotify_simple.INotify`` as is used."""

    def fileno(self) -> int: ...

    def add_watch(self, path: str, mask: int) -> int: ...

    def rm_watch(self, wd: int) -> None: ...

    def read(self, timeout: int) -> Iterable[_Event]: ...

    def close(self) -> None: ...


class FileChanges:
    """Waits for news of files.

    Their folders are watched, so that a file that is not there yet, is renamed or replaced is news as well. Folders
    that cannot be watched, as on a network file system or before they exist, are left to the clock.

    Args:
        kernel: ``inotify_simple.INotify``; ``None``: only the clock says when to look.
    """

    def __init__(self, kernel: _Kernel | None) -> None:
        self._kernel = kernel
        self._files: dict[Path, set[str]] = {}
        self._watches: dict[int, Path] = {}
        self._ear, self._mouth = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @classmethod
    def best(cls) -> FileChanges:
        """With inotify, unless it is not installed, or the system gives no more of it."""
        try:
            from inotify_simple import INotify

            return cls(INotify())
        except ImportError:
            _log.warning("inotify_missing", extra={"instead": "files are looked at by the clock"})
        except OSError as error:
            _log.warning("inotify_refused", extra={"why": str(error), "instead": "files are looked at by the clock"})
        return cls(None)

    def close(self) -> None:
        """Let go of everything."""
        if self._kernel is not None:
            self._kernel.close()
        os.close(self._ear)
        os.close(self._mouth)

    def wake(self) -> None:
        """End the wait that lasts, or the next one; from any thread."""
        try:
            os.write(self._mouth, b".")
        except BlockingIOError:
            return  # it is full of others' wishes

    def follow(self, files: Iterable[Path]) -> bool:
        """Wait for news of these files from now on; returns whether some may have come before this call."""
        self._files = {}
        for path in files:
            self._files.setdefault(path.parent, set()).add(path.name)
        if self._kernel is None:
            return False
        for number, folder in list(self._watches.items()):
            if folder not in self._files:
                del self._watches[number]
                self._unwatch(self._kernel, number)
        watched = set(self._watches.values())
        begun = [self._watch(self._kernel, folder) for folder in self._files if folder not in watched]
        return any(begun)

    def wait(self, seconds: float) -> bool:
        """Wait for news, but no longer than so many seconds; returns whether there was any.

        It may return early without news, when other files in the same folders have changed.
        """
        kernel = self._kernel
        ears = [self._ear] if kernel is None else [self._ear, kernel.fileno()]
        heard, _, _ = select.select(ears, [], [], max(0.0, seconds))
        woken = self._ear in heard
        if woken:
            os.read(self._ear, 4_096)
        told = kernel is not None and kernel.fileno() in heard and self._heard(kernel)
        return woken or told

    def _heard(self, kernel: _Kernel) -> bool:
        told = [self._is_news(kernel, event) for event in kernel.read(timeout=0)]
        return any(told)

    def _is_news(self, kernel: _Kernel, event: _Event) -> bool:
        if event.mask & _OVERFLOW:
            return True
        folder = self._watches.get(event.wd)
        if folder is None:
            return False  # of a folder that is followed no longer
        if event.mask & (_IGNORED | _MOVE_SELF):
            del self._watches[event.wd]  # it is looked for anew under its path
            self._unwatch(kernel, event.wd)
        return not event.name or event.name in self._files.get(folder, ())

    def _watch(self, kernel: _Kernel, folder: Path) -> bool:
        try:
            self._watches[kernel.add_watch(str(folder), _EVENTS)] = folder
            return True
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:  # it is looked for by the clock
                _log.warning("folder_not_watched", extra={"folder": str(folder), "why": str(error)})
            return False

    @staticmethod
    def _unwatch(kernel: _Kernel, number: int) -> None:
        try:
            kernel.rm_watch(number)
        except OSError as error:
            if error.errno != errno.EINVAL:  # the folder is gone, and its watch with it
                raise
