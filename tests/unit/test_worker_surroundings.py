"""What surrounds a worker: its environment, registry, data sets and files."""

import json
import tarfile
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from orbitloop.domain.errors import BadInput, NotYet, OrbitloopError, Refused
from orbitloop.worker import (
    BaseConfig,
    ClassFactory,
    ClassType,
    Context,
    CSVDataParse,
    FederatedLearning,
    FileOps,
    JSONDataParse,
    LifelongLearning,
    TxtDataParse,
    get_host_ip,
)
from orbitloop.worker.settings import read_settings

# --- the environment


def test_settings_are_read_from_the_variables_of_their_names() -> None:
    read = read_settings(
        {"MODEL_URL": "/m.onnx", "LC_PERIOD": "2.5", "MODEL_HOT_UPDATE": "TRUE", "BIG_MODEL_PORT": "81"}
    )
    assert (read.model_url, read.lc_period, read.model_hot_update, read.big_model_port) == (
        "/m.onnx",
        timedelta(seconds=2.5),
        True,
        81,
    )


def test_what_is_empty_has_its_default() -> None:
    assert read_settings({"BIG_MODEL_PORT": "", "LC_PERIOD": ""}) == read_settings({})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BIG_MODEL_PORT", "high"),
        ("BIG_MODEL_PORT", "70000"),
        ("BIG_MODEL_PORT", "1.5"),
        ("LC_PERIOD", "nan"),
        ("LC_PERIOD", "inf"),
        ("LC_PERIOD", "-1"),
        ("MODEL_HOT_UPDATE", "maybe"),
        ("MINING_MODE", "never"),
        ("ORBITLOOP_CLOUD_ENCODING", "xml"),
        ("ORBITLOOP_REPORT_TRIES", "0"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(variable: str, value: str) -> None:
    with pytest.raises(BadInput, match=variable):
        read_settings({variable: value})


def test_secrets_are_not_shown() -> None:
    shown = repr(read_settings({"SECRET_ACCESS_KEY": "hush", "ACCESS_KEY_ID": "who"}))
    assert "hush" not in shown
    assert "who" not in shown


def test_the_configuration_follows_the_environment_and_an_instance_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_URL", "/before")
    config = BaseConfig()
    monkeypatch.setenv("MODEL_URL", "/after")
    assert (config.model_url, BaseConfig.model_url, BaseConfig().model_url) == ("/before", "/after", "/after")
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = BaseConfig.no_such_thing
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = config.no_such_thing


def test_sednas_bug_that_a_service_is_called_sedna_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_NAME", raising=False)
    monkeypatch.setenv("SERVICE_NAME", "helmets")
    assert BaseConfig.job_name == "helmets"


@pytest.mark.parametrize(("set_to", "expected"), [("video.mp4", "video.mp4"), ("", "none.mp4")], ids=["set", "empty"])
@pytest.mark.parametrize("asked", ["video_url", "VIDEO_URL"])
def test_a_parameter_is_found_by_its_name_or_in_capitals(
    monkeypatch: pytest.MonkeyPatch, asked: str, set_to: str, expected: str
) -> None:
    monkeypatch.setenv("VIDEO_URL", set_to)
    assert Context.get_parameters(asked, "none.mp4") == expected


def test_sednas_bug_that_parameters_cannot_be_read_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEM_NAME", "IBT")
    monkeypatch.setenv("HEM_PARAMETERS", json.dumps([{"key": "threshold_img", "value": "0.9"}]))
    asked = Context.get_algorithm_from_api("HEM", threshold_box=0.8)
    assert asked == {"method": "IBT", "param": {"threshold_img": "0.9", "threshold_box": 0.8}}


def test_without_a_miners_name_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEM_NAME", raising=False)
    assert Context.get_algorithm_from_api("HEM", threshold_box=0.8) == {}


@pytest.mark.parametrize("text", ["{", "3", '[{"key": "a"}]', '["a"]'])
def test_parameters_that_are_no_list_of_pairs_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HEM_NAME", "IBT")
    monkeypatch.setenv("HEM_PARAMETERS", text)
    with pytest.raises(BadInput, match="HEM_PARAMETERS"):
        Context.get_algorithm_from_api("HEM")


# --- the registry


def test_what_is_registered_is_found_by_its_alias_or_name() -> None:
    @ClassFactory.register(ClassType.CALLBACK)
    def halve(value: float) -> float:
        return value / 2

    assert ClassFactory.get_cls(ClassType.CALLBACK, "halve") is halve
    assert ClassFactory.get_cls("post_process_callback", halve) is halve
    assert ClassFactory.is_exists(ClassType.CALLBACK, "halve")
    with pytest.raises(BadInput, match=r"'third' is not registered; there are: .*halve"):
        ClassFactory.get_cls(ClassType.CALLBACK, "third")


def test_sednas_bug_that_a_second_class_overwrites_the_first_is_fixed() -> None:
    class First: ...

    class Second: ...

    ClassFactory.register_cls(First, ClassType.GENERAL, "same-name")
    ClassFactory.register_cls(First, ClassType.GENERAL, "same-name")
    with pytest.raises(BadInput, match="another alias"):
        ClassFactory.register_cls(Second, ClassType.GENERAL, "same-name")
    assert ClassFactory.get_cls(ClassType.GENERAL, "same-name") is First


@pytest.mark.parametrize("absent", [FederatedLearning, LifelongLearning])
def test_using_what_is_not_there_says_so(absent: type) -> None:
    with pytest.raises(Refused, match=rf"{absent.__name__} is not part of orbitloop's worker library; see docs/"):
        absent(estimator=None)


# --- data sets


def test_lines_become_samples_and_labels(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("a.jpg 1,2,3,4,0 5,6,7,8,1\n\nb.jpg\n")
    two.write_text("c.jpg 9,9,9,9,0\n")
    data = TxtDataParse(data_type="train", func=lambda line: (line.split()[0], line.split()[1:]))
    data.parse(str(one), "", None, f"file://{two}")
    assert list(data.x) == ["a.jpg", "b.jpg", "c.jpg"]
    assert list(data.y) == [["1,2,3,4,0", "5,6,7,8,1"], [], ["9,9,9,9,0"]]
    assert (len(data), data.num_examples()) == (3, 3)


@pytest.mark.parametrize(
    ("kind", "raw", "x", "y"),
    [
        ("train", False, ["a", "b"], ["1", 0]),
        ("test", False, ["a", "b"], None),
        ("train", True, [["a", "1"], ["b"]], None),
    ],
)
def test_words_without_a_function(
    tmp_path: Path, kind: str, raw: bool, x: list[object], y: list[object] | None
) -> None:
    path = tmp_path / "data.txt"
    path.write_text("a 1\nb\n")
    data = TxtDataParse(data_type=kind)
    data.parse(str(path), use_raw=raw)
    assert list(data.x) == x
    assert [str(label) for label in data.y] == [str(label) for label in y] if y else data.y is None


def test_sednas_trap_that_a_missing_file_is_no_error_is_fixed(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.txt cannot be read"):
        TxtDataParse().parse(str(tmp_path / "gone.txt"))


def test_a_table_becomes_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,label\n1,2,0\n3,4.5,1\n")
    data = CSVDataParse()
    data.parse(str(path), label="label")
    assert data.columns == ("a", "b")
    assert data.x.tolist() == [[1, 2], [3, 4.5]]
    assert data.y.tolist() == [0, 1]
    data.parse(str(path), label="label", usecols="b,label")
    assert data.x.tolist() == [[2], [4.5]]
    with pytest.raises(BadInput, match="no column 'size'"):
        data.parse(str(path), label="size")


def test_sednas_bug_that_annotations_cannot_be_parsed_is_fixed(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
                "categories": [{"id": 3, "name": "ship"}, {"id": 1, "name": "plane"}],
                "annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20]}],
            }
        )
    )
    data = JSONDataParse()
    data.parse(str(path))
    assert (list(data.x), data.class_names) == (["a.jpg", "b.jpg"], ("plane", "ship"))
    assert data.y[0].tolist() == [[1, 2, 11, 22, 1]]
    assert data.y[1].shape == (0, 5)


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}'])
def test_what_is_no_annotation_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "coco.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="no COCO annotations"):
        JSONDataParse().parse(str(path))


# --- files


def test_files_are_copied_cleaned_and_packed(tmp_path: Path) -> None:
    source = FileOps.make_dir(str(tmp_path), "source")
    Path(source, "a.txt").write_text("a")
    assert FileOps.get_file_hash(FileOps.join_path(source, "a.txt")).startswith("ca978112")
    assert FileOps.copy_file(f"{source}/a.txt", f"{tmp_path}/b/c.txt") == f"{tmp_path}/b/c.txt"
    FileOps.upload(source, f"{tmp_path}/packed.tar.gz", tar=True, clean=False)
    with tarfile.open(tmp_path / "packed.tar.gz") as archive:
        assert archive.getnames() == ["source", "source/a.txt"]
    FileOps.upload(source, f"{tmp_path}/moved")
    assert not Path(source).exists()
    assert Path(tmp_path, "moved", "a.txt").read_text() == "a"
    FileOps.clean_folder([f"{tmp_path}/moved"])
    assert list(Path(tmp_path, "moved").iterdir()) == []
    FileOps.delete(f"{tmp_path}/moved")
    FileOps.delete(f"{tmp_path}/moved")
    assert not FileOps.exists(f"{tmp_path}/moved")


def test_what_is_dumped_is_loaded(tmp_path: Path) -> None:
    assert FileOps.load(FileOps.dump({"a": 1}, f"{tmp_path}/deep/a.pkl")) == {"a": 1}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_is_unpacked_beside_itself(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.txt").write_text("a")
    path = tmp_path / "in" / f"packed.{kind}"
    path.parent.mkdir()
    if kind == "tar":
        with tarfile.open(path, "w") as tar:
            tar.add(tmp_path / "a.txt", arcname="a.txt")
    else:
        with zipfile.ZipFile(path, "w") as packed:
            packed.write(tmp_path / "a.txt", arcname="a.txt")
    assert Path(FileOps.download(str(path), unzip=True), "a.txt").read_text() == "a"


def test_an_archive_does_not_write_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    path = tmp_path / "in" / "evil.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        tar.add(tmp_path / "a.txt", arcname="../evil.txt")
    with pytest.raises(tarfile.OutsideDestinationError):
        FileOps.download(str(path), unzip=True)
    assert not (tmp_path / "evil.txt").exists()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("s3://bucket/a", Refused),
        ("gs://bucket/a", Refused),
        ("/no/such/file", BadInput),
        ("http://127.0.0.1:9/a", NotYet),
    ],
)
def test_what_cannot_be_fetched_is_one_clear_error(url: str, error: type[OrbitloopError]) -> None:
    with pytest.raises(error, match=url.removeprefix("s3:").removeprefix("gs:")):
        FileOps.download(url)


def test_a_path_is_joined_and_shortened() -> None:
    assert FileOps.join_path("s3://b/", "/a/", "c.txt") == "s3://b/a/c.txt"
    assert FileOps.join_path("/a", "b") == "/a/b"
    assert FileOps.remove_path_prefix("/home/data/a/b", "/home/data") == "a/b"
    assert FileOps.remove_path_prefix("/home/database/a", "/home/data") == "/home/database/a"


def test_this_machine_has_an_address() -> None:
    assert get_host_ip().count(".") == 3
