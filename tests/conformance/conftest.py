"""Which implementation is asked, and in which ways; see README.md."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.conformance.jobs import Job, a_job, surroundings
from tests.conformance.node_files import NodeFiles
from tests.conformance.options import OPTIONS, given_for
from tests.conformance.target import Target, path_of, proxied
from tests.conformance.walks import COLD, HOT, Walk, walk_both
from tests.conformance.world import NODE, Ways, World, a_world, node
from tests.control_plane import Cluster
from tests.global_manager import global_manager, until


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    for name, says in OPTIONS.items():
        group.addoption(f"--conformance-{name}", default="", help=says)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "stricter: beyond Sedna's contract, what orbitloop makes good or promises more")


@pytest.fixture(scope="session")
def foreign(pytestconfig: pytest.Config) -> Path | None:
    """The kubeconfig of another implementation."""
    given = given_for(pytestconfig, "kubeconfig") or os.environ.get("KUBECONFIG_CONFORMANCE", "")
    return Path(given) if given else None


@pytest.fixture(scope="session")
def ways(pytestconfig: pytest.Config, foreign: Path | None) -> Ways:
    """How it hears of samples and results; ours needs none of them."""
    if foreign is None:
        return Ways()
    return Ways(count=given_for(pytestconfig, "count"), local_controller=given_for(pytestconfig, "local-controller"))


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, foreign: Path | None) -> Iterator[Target]:
    """An API server with Sedna's kinds, and a node for the tests."""
    kubeconfig = foreign
    if kubeconfig is None:
        cluster: Cluster = request.getfixturevalue("cluster")
        cluster.kubectl("apply", "-f", "crds/")
        kubeconfig = cluster.plane.kubeconfig
    with proxied(kubeconfig) as made:
        made.ask("POST", path_of("Node"), node())
        yield made
        made.ask("DELETE", path_of("Node", "", NODE))


Implementation = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def implementation(
    request: pytest.FixtureRequest, foreign: Path | None, target: Target, tmp_path_factory: pytest.TempPathFactory
) -> Implementation:
    """What looks after the kinds while the block lasts: ours, unless another one is there for good."""

    @contextmanager
    def runs() -> Iterator[None]:
        if foreign is not None:
            yield
            return
        cluster: Cluster = request.getfixturevalue("cluster")
        name = f"conformance-{uuid.uuid4().hex[:8]}"
        options = ("--lease-name", name)
        with global_manager(cluster, tmp_path_factory.mktemp("operators"), *options) as manager:
            until(manager.is_ready, "the Global Manager was ready")
            yield

    return runs


@pytest.fixture(scope="session")
def files(
    pytestconfig: pytest.Config, foreign: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> NodeFiles | None:
    """Those of the node, where they can be looked at."""
    given = given_for(pytestconfig, "node-root")
    if given:
        return NodeFiles(root=Path(given), executes=False)
    return NodeFiles(root=tmp_path_factory.mktemp("node"), executes=True) if foreign is None else None


@pytest.fixture(scope="session")
def walks(
    implementation: Implementation,
    target: Target,
    ways: Ways,
    files: NodeFiles | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Walk]:
    """Two rounds of two jobs, by name."""
    with implementation(), a_world(target, ways, files) as world:
        return walk_both(world, tmp_path_factory.mktemp("walks"))


@pytest.fixture(params=[COLD, HOT])
def walk(walks: dict[str, Walk], request: pytest.FixtureRequest) -> Walk:
    """Each of them."""
    return walks[request.param]


@pytest.fixture(scope="module")
def running(implementation: Implementation) -> Iterator[None]:
    """The implementation, for the tests of one module."""
    with implementation():
        yield


@pytest.fixture
def world(target: Target, ways: Ways, running: None) -> Iterator[World]:
    """A namespace that the implementation looks after, with what a job names."""
    with a_world(target, ways) as made:
        made.has(*surroundings())
        yield made


@pytest.fixture
def job(world: World) -> Job:
    """A job that nothing was told yet."""
    world.has(a_job("helmets"))
    return Job(world=world, name="helmets")
