"""A worker's files under Sedna's names: folders, copies, archives and downloads.

Paths may be written as ``file://``. ``http(s)://`` can be read. Buckets (``s3://``, ``gs://``) are refused with the
remedy: the storage initializer fetches them before the worker starts.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from orbitloop.domain.errors import BadInput, NotYet, Refused

_LOCAL = frozenset({"", "file"})
_WEB = frozenset({"http", "https"})
_SILENCE_SECONDS = 30
_CHUNK = 2**20


class FileOps:
    """Operations on files; all of them take and give paths as text.

    Raises:
        Refused: a URL is of a scheme that is not handled here.
        BadInput: a file is missing.
        NotYet: a web server does not answer.
    """

    @classmethod
    def make_dir(cls, *args: str) -> str:
        """Make the folder that the parts name, with its parents."""
        folder = Path(cls.join_path(*args))
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @classmethod
    def get_file_hash(cls, filename: str) -> str:
        """SHA-256 of the file's bytes, 64 hexadecimal digits."""
        with _existing(filename).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @classmethod
    def clean_folder(cls, target: str | Iterable[str], clean: bool = True) -> None:
        """Make each folder exist; with ``clean`` also empty. A file's path stands for the folder it is in."""
        for name in [target] if isinstance(target, str) else target:
            path = local_path(name)
            folder = path.parent if path.is_file() else path
            if clean and folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def delete(cls, path: str) -> None:
        """Remove a file or a folder with all it holds; what is not there is no error."""
        target = local_path(path)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    @classmethod
    def join_path(cls, *args: str) -> str:
        """The parts as one path; for a URL the parts after it are joined by slashes."""
        if not args:
            return ""
        first, *others = (str(part) for part in args)
        if cls.is_remote(first):
            return "/".join([first.rstrip("/"), *(part.strip("/") for part in others)])
        return str(Path(first, *others))

    @classmethod
    def remove_path_prefix(cls, org_str: str, prefix: str) -> str:
        """``org_str`` relative to ``prefix``, or as it is where it does not lie in there."""
        path, start = Path(org_str), Path(prefix)
        return str(path.relative_to(start)) if prefix and path.is_relative_to(start) else org_str

    @classmethod
    def dump(cls, obj: Any, save_url: str | None = None) -> str:
        """Pickle ``obj`` into a file, a temporary one where none is named; gives its path."""
        if save_url is None:
            with tempfile.NamedTemporaryFile(suffix=".pkl", delete=False) as file:
                pickle.dump(obj, file)
            return file.name
        path = local_path(save_url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(obj))
        return str(path)

    @classmethod
    def load(cls, file_url: str) -> Any:
        """What :meth:`dump` wrote. Runs code that the file names: load only what your own workers wrote."""
        return pickle.loads(_existing(file_url).read_bytes())  # noqa: S301  # its documented purpose

    @classmethod
    def copy_folder(cls, src: str, dst: str) -> str:
        """Copy what a folder holds into another one, over what is there."""
        shutil.copytree(_existing(src), local_path(dst), dirs_exist_ok=True)
        return dst

    @classmethod
    def copy_file(cls, src: str, dst: str) -> str:
        """Copy a file to a path or into a folder; gives where it is now."""
        source, target = _existing(src), local_path(dst)
        if target.is_dir():
            target /= source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and target.samefile(source)):
            shutil.copyfile(source, target)
        return str(target)

    @classmethod
    def is_remote(cls, src: str) -> bool:
        """Whether it names a place on another machine."""
        return _scheme(src) not in _LOCAL

    @classmethod
    def is_local(cls, src: str) -> bool:
        """Whether it names a place on this machine that exists."""
        return not cls.is_remote(src) and local_path(src).exists()

    @classmethod
    def exists(cls, folder: str) -> bool:
        """Whether a local path exists; a remote one is taken to."""
        return cls.is_remote(folder) or local_path(folder).exists()

    @classmethod
    def download(cls, src: str, dst: str | None = None, unzip: bool = False) -> str:
        """Have ``src`` as a local path: fetched where it is remote, copied where ``dst`` is given.

        Args:
            src: a path or URL.
            dst: where to; a temporary file for what is remote, and ``src`` itself for what is local.
            unzip: unpack a tar or zip archive into the folder it lies in, and give that folder.
        """
        if cls.is_remote(src):
            got = cls.http_download(src, dst)
        elif dst is None:
            got = str(_existing(src))
        elif _existing(src).is_dir():
            got = cls.copy_folder(str(local_path(src)), dst)
        else:
            got = cls.copy_file(src, dst)
        return _unpacked(Path(got)) if unzip else got

    @classmethod
    def upload(cls, src: str, dst: str, tar: bool = False, clean: bool = True) -> str:
        """Copy a file or folder to ``dst``, with ``tar`` as an archive; ``clean`` removes ``src`` if it was copied."""
        if cls.is_remote(dst):
            _refuse_scheme(dst)
        source, target = _existing(src), local_path(dst)
        target.parent.mkdir(parents=True, exist_ok=True)
        if tar:
            with tarfile.open(target, "w:gz") as archive:
                archive.add(source, arcname=source.name)
        elif target.exists() and target.samefile(source):
            return dst
        elif source.is_dir():
            cls.copy_folder(str(source), str(target))
        else:
            cls.copy_file(str(source), str(target))
        if clean:
            cls.delete(str(source))
        return dst

    @classmethod
    def http_download(cls, src: str, dst: str | None = None) -> str:
        """Fetch a web address into ``dst``, whole or not at all; gives the path."""
        if _scheme(src) not in _WEB:
            _refuse_scheme(src)
        target = Path(dst) if dst else Path(tempfile.mkdtemp()) / (Path(urlsplit(src).path).name or "download")
        if target.is_dir():
            target /= Path(urlsplit(src).path).name or "download"
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.part")
        try:
            with urllib.request.urlopen(src, timeout=_SILENCE_SECONDS) as answer, partial.open("wb") as file:  # noqa: S310  # http(s) alone
                shutil.copyfileobj(answer, file, _CHUNK)
        except urllib.error.HTTPError as error:
            raise BadInput(f"{src} answers {error.code} {error.reason}; check the address") from error
        except OSError as error:
            raise NotYet(f"{src} could not be fetched: {error}; try again when its server is reachable") from error
        partial.replace(target)
        return str(target)


def local_path(url: str) -> Path:
    """The path that a local URL names.

    Raises:
        Refused: it is on another machine.
    """
    scheme = _scheme(url)
    if scheme not in _LOCAL:
        _refuse_scheme(url)
    return Path(unquote(urlsplit(url).path)) if scheme == "file" else Path(url)


def _scheme(url: str) -> str:
    head, separator, _ = str(url).partition("://")
    return head.lower() if separator else ""


def _refuse_scheme(url: str) -> Any:
    raise Refused(
        f"{url}: the worker library reads files and http(s) and writes files; for buckets let the storage initializer "
        "fetch the data, or use your own client"
    )


def _existing(url: str) -> Path:
    path = local_path(url)
    if not path.exists():
        raise BadInput(f"{path} does not exist")
    return path


def _unpacked(archive: Path) -> str:
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            tar.extractall(archive.parent, filter="data")
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                packed.extract(name, archive.parent)
    else:
        return str(archive)
    return str(archive.parent)
