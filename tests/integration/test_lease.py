"""Of several operators one writes: the lease on a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.control_plane import Cluster

from orbitloop_operators.adapters.api_server import ApiServer, configuration_from
from orbitloop_operators.adapters.lease import Lease, LeaseLost, LeaseRule
from orbitloop_operators.adapters.metrics import Metrics

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def server(cluster: Cluster) -> Iterator[ApiServer]:
    made = ApiServer(configuration_from(cluster.plane.kubeconfig), Metrics(lambda: 0), threads=1)
    yield made
    made.close()


def lease(server: ApiServer, name: str, holder: str, time: Time) -> Lease:
    rule = LeaseRule(namespace="default", name=name, holder=holder, duration_s=1, period_s=0.05)
    return Lease(server, rule, time, time)


def spec(cluster: Cluster, name: str) -> dict[str, object]:
    return dict(json.loads(cluster.kubectl("get", "lease", name, "-o", "json"))["spec"])


async def waits(doing: asyncio.Task[None]) -> bool:
    """Whether it is still at it after a few tries."""
    await asyncio.sleep(0.3)
    return not doing.done()


def test_the_second_waits_until_the_first_has_not_renewed_for_its_duration(cluster: Cluster, server: ApiServer) -> None:
    time = Time()

    async def scenario() -> None:
        await lease(server, "in-turn", "first", time).take()
        second = asyncio.create_task(lease(server, "in-turn", "second", time).take())
        assert await waits(second)
        time.seconds += 0.9
        assert await waits(second)
        time.seconds += 0.2
        await second

    asyncio.run(scenario())
    assert spec(cluster, "in-turn")["holderIdentity"] == "second"
    assert spec(cluster, "in-turn")["leaseTransitions"] == 2


def test_one_that_is_given_back_is_free_at_once(cluster: Cluster, server: ApiServer) -> None:
    time = Time()

    async def scenario() -> None:
        first = lease(server, "given-back", "first", time)
        await first.take()
        await first.give_back()
        await lease(server, "given-back", "second", time).take()

    asyncio.run(scenario())
    assert spec(cluster, "given-back")["holderIdentity"] == "second"


def test_whoever_reads_anothers_name_ends(cluster: Cluster, server: ApiServer) -> None:
    time = Time()

    async def scenario() -> None:
        first = lease(server, "taken", "first", time)
        await first.take()
        cluster.kubectl("patch", "lease", "taken", "--type=merge", "-p", '{"spec":{"holderIdentity":"thief"}}')
        with pytest.raises(LeaseLost, match="another operator holds the lease default/taken"):
            await first.keep()

    asyncio.run(scenario())


def test_writes_are_held_while_the_lease_may_have_run_out(server: ApiServer) -> None:
    time = Time()

    async def scenario() -> None:
        first = lease(server, "held", "first", time)
        await first.take()
        await first.held()
        time.seconds += 2
        write = asyncio.create_task(first.held())
        assert await waits(write)
        keeping = asyncio.create_task(first.keep())
        await write
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(scenario())


def test_an_api_server_that_is_away_loses_no_lease(cluster: Cluster, server: ApiServer) -> None:
    time = Time()

    async def scenario() -> None:
        first = lease(server, "away", "first", time)
        await first.take()
        cluster.plane.stop_api()
        keeping = asyncio.create_task(first.keep())
        try:
            assert await waits(keeping)
        finally:
            cluster.plane.start_api()
        time.seconds += 5
        await first.held()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(scenario())


def test_a_lease_that_is_renewed_too_rarely_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be renewed every 10 s"):
        LeaseRule(namespace="a", name="b", holder="c", duration_s=15, period_s=10)
