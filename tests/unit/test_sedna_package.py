"""The import name ``sedna``: the names that user code imports, and whom it does not shadow."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import orbitloop.worker
from orbitloop.domain.errors import Refused

SURFACE = [
    ("sedna.common.config", "Context BaseConfig"),
    ("sedna.common.file_ops", "FileOps"),
    ("sedna.common.log", "LOGGER"),
    ("sedna.common.class_factory", "ClassFactory ClassType"),
    ("sedna.common.utils", "get_host_ip"),
    ("sedna.datasources", "TxtDataParse CSVDataParse JSONDataParse BaseDataSource"),
    ("sedna.core.base", "JobBase"),
    ("sedna.core.incremental_learning", "IncrementalLearning"),
    ("sedna.core.joint_inference", "JointInference BigModelService"),
    ("sedna.core.federated_learning", "FederatedLearning FederatedLearningV2"),
    ("sedna.core.lifelong_learning", "LifelongLearning"),
    ("sedna.core.multi_edge_inference.plugins", "PluggableNetworkService PluggableModel"),
    ("sedna.service.server", "AggregationServer InferenceServer AggregationServerV2"),
    ("sedna.algorithms.aggregation", "FedAvg FedAvgV2 MistNet"),
    ("sedna.algorithms.client_choose", "SimpleClientChoose"),
    ("sedna.algorithms.transmitter", "S3Transmitter WSTransmitter"),
    ("sedna.algorithms.hard_example_mining", "IBTFilter ThresholdFilter CrossEntropyFilter RandomFilter"),
    ("sedna.backend", "set_backend"),
]


@pytest.mark.parametrize(("module", "names"), SURFACE, ids=[module for module, _ in SURFACE])
def test_every_name_that_user_code_imports_is_there(module: str, names: str) -> None:
    loaded = importlib.import_module(module)
    assert [name for name in names.split() if not hasattr(loaded, name)] == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sedna.core.federated_learning", "FederatedLearning"),
        ("sedna.core.lifelong_learning", "LifelongLearning"),
        ("sedna.core.multi_edge_inference.plugins", "PluggableModel"),
        ("sedna.service.server", "AggregationServer"),
        ("sedna.service.server", "InferenceServer"),
        ("sedna.algorithms.transmitter", "WSTransmitter"),
    ],
)
def test_a_name_that_stands_for_nothing_yet_can_be_subclassed_and_says_so_when_used(module: str, name: str) -> None:
    absent = getattr(importlib.import_module(module), name)
    assert issubclass(type("Mine", (absent,), {}), absent)
    with pytest.raises(Refused, match=rf"{name} is not part of orbitloop's worker library"):
        absent("some", arguments=1)


def test_both_import_names_mean_the_same_things() -> None:
    for module, names in SURFACE:
        loaded = importlib.import_module(module)
        for name in names.split():
            ours = getattr(orbitloop.worker, name, None)
            assert ours is None or getattr(loaded, name) is ours


def imported(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that sees these folders too."""
    with_paths = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n{code}"
    return subprocess.run([sys.executable, "-c", with_paths], capture_output=True, text=True, check=False)


def distribution(folder: Path, name: str, *, record: str = "", top_level: str = "") -> Path:
    """What pip would leave behind of a distribution."""
    info = folder / f"{name}-0.4.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.4.1\n")
    if record:
        (info / "RECORD").write_text(record)
    if top_level:
        (info / "top_level.txt").write_text(top_level)
    return folder


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("sedna", {"top_level": "sedna\n"}),
        ("sedna", {"record": "sedna/__init__.py,,\nsedna/core/base.py,,\n"}),
        ("my-sedna-fork", {"top_level": "other\nsedna\n"}),
    ],
    ids=["a wheel of setuptools", "a wheel of another builder", "a fork"],
)
def test_a_real_sedna_is_not_shadowed(tmp_path: Path, name: str, files: dict[str, str]) -> None:
    found = imported("import sedna", distribution(tmp_path, name, **files))
    assert found.returncode == 1
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: both orbitloop-sedna and {name} provide the package sedna")
    assert f"pip uninstall {name}" in last


def test_a_distribution_of_another_package_does_not_matter(tmp_path: Path) -> None:
    found = imported("import sedna", distribution(tmp_path, "sedna-tools", top_level="sedna_tools\n"))
    assert (found.returncode, found.stderr) == (0, "")
