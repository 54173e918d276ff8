from __future__ import annotations

from pathlib import Path

import pytest

from orbitloop.domain.errors import BadInput
from orbitloop_ground.settings import GroundSettings


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "ground.toml"
    path.write_text(text)
    return path


def test_relative_paths_of_a_file_count_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = written(tmp_path / "etc", 'folder = "ground"\nkeys = "../keys/ground"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = GroundSettings.read(config, {})
    assert settings.folder == tmp_path / "etc/ground"
    assert settings.keys.resolve() == tmp_path / "keys/ground"


def test_absolute_paths_of_a_file_stay_what_they_are(tmp_path: Path) -> None:
    config = written(tmp_path / "etc", f'folder = "{tmp_path / "ground"}"\nkeys = "/srv/keys/ground"\n')
    settings = GroundSettings.read(config, {})
    assert (settings.folder, settings.keys) == (tmp_path / "ground", Path("/srv/keys/ground"))


def test_paths_of_options_and_of_the_environment_count_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path / "etc", 'folder = "ground"\nkeys = "keys"\n')
    monkeypatch.setenv("ORBITLOOP_GROUND_KEYS", "told/keys")
    settings = GroundSettings.read(config, {"folder": "given"})
    assert (settings.folder, settings.keys) == (Path("given"), Path("told/keys"))


@pytest.mark.parametrize("path", ["1", "[]", "true"])
def test_a_path_that_is_none_is_refused_by_name(tmp_path: Path, path: str) -> None:
    config = written(tmp_path, f'folder = {path}\nkeys = "keys"\n')
    with pytest.raises(BadInput, match="folder"):
        GroundSettings.read(config, {})
