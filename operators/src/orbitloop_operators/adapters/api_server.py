"""Requests to the API server, patient while it is away."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from orbitloop.domain.errors import BadInput, NotYet

_LOG = logging.getLogger(__name__)
_TIMEOUT_S = 20.0
_FIRST_REST_S, _LONGEST_REST_S = 0.5, 15.0
_AWAY = {0, 429, 500, 502, 503, 504}
"""Statuses after which the same request may succeed; 0: nobody answered."""

MERGE_PATCH = "application/merge-patch+json"


class Unreachable(NotYet):
    """The API server does not answer, or says that it cannot now."""


class Meter(Protocol):
    """Counts requests."""

    def requested(self, verb: str, resource: str, status: int) -> None:
        """One was answered; ``status`` is 0 where nobody answered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked.

    Args:
        verb: an HTTP method.
        path: from the root, as :func:`path_to` makes it.
        resource: a plural, for metrics.
        body: a document, or a patch.
        content_type: of the body.
        query: after the path.
    """

    verb: str
    path: str
    resource: str
    body: Mapping[str, Any] | None = None
    content_type: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API server said: an HTTP status, a document, and its date as HTTP has it, where it gave one."""

    status: int
    document: dict[str, Any]
    date: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """Why it did not."""
        return str(self.document.get("message", f"status {self.status}"))


def path_to(api_version: str, plural: str, namespace: str = "", name: str = "", part: str = "") -> str:
    """Path of a kind, or of an object of it, or of a part of that (``status``)."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    within = f"/namespaces/{quote(namespace)}" if namespace else ""
    rest = "".join(f"/{quote(word)}" for word in (name, part) if word)
    return f"{root}{within}/{plural}{rest}"


def configuration_from(kubeconfig: Path | None, context: str | None = None) -> client.Configuration:
    """How to reach the API server: by ``kubeconfig``, else as a pod, else by the user's own configuration.

    Args:
        context: of the configuration; by default the one that is current there.

    Raises:
        BadInput: there is no such file, or it names no cluster.
    """
    made = client.Configuration()
    try:
        if kubeconfig is not None or context is not None:
            file = None if kubeconfig is None else str(kubeconfig)
            config.load_kube_config(config_file=file, context=context, client_configuration=made)  # type: ignore[no-untyped-call]  # kubernetes types only a part
        else:
            _load_default(made)
    except (config.ConfigException, OSError) as error:
        raise BadInput(
            f"the API server cannot be found ({error}); give --kubeconfig, set KUBECONFIG, or run in a pod"
        ) from error
    made.retries = False
    return made


def _load_default(made: client.Configuration) -> None:
    try:
        config.load_incluster_config(client_configuration=made)  # type: ignore[no-untyped-call]  # kubernetes types only a part
    except config.ConfigException:
        config.load_kube_config(client_configuration=made)  # type: ignore[no-untyped-call]  # kubernetes types only a part


class Connection:
    """The official client, in the thread that asks.

    Args:
        configuration: how to reach the API server.
        threads: how many ask at a time.
    """

    def __init__(self, configuration: client.Configuration, *, threads: int = 1) -> None:
        self._client = client.ApiClient(configuration)
        self._client.rest_client.pool_manager.connection_pool_kw["maxsize"] = threads

    def ask(self, request: Request) -> Answer:
        """The answer; its status is 0 where there was none."""
        body = None if request.body is None else dict(request.body)
        headers = {"Accept": "application/json", "Content-Type": request.content_type}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], request.path, request.verb, body)
        query = f"?{urlencode(request.query)}" if request.query else ""
        url = f"{self._client.configuration.host}{request.path.rstrip('/')}{query}"
        try:
            told = self._client.call_api(request.verb, url, headers, body, _request_timeout=_TIMEOUT_S)
            said = told.read()  # type: ignore[no-untyped-call]  # kubernetes types only a part
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            return Answer(status=0, document={"message": str(error)})
        return Answer(status=told.status, document=_document_of(said), date=str(told.headers.get("Date", "")))


class ApiServer:
    """A connection on a few threads.

    Args:
        configuration: how to reach it.
        meter: told of each request.
        threads: how many requests at a time.
        may_write: awaited before each request that changes something.
    """

    def __init__(
        self,
        configuration: client.Configuration,
        meter: Meter,
        *,
        threads: int,
        may_write: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._connection = Connection(configuration, threads=threads)
        self._meter = meter
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="api-server")
        self._may_write = may_write
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    async def ask(self, request: Request) -> Answer:
        """The answer, however long the API server is away."""
        rest = _FIRST_REST_S
        while True:
            if self._may_write is not None and request.verb != "GET":
                await self._may_write()
            try:
                return await self.ask_once(request)
            except Unreachable as error:
                _LOG.warning("api_server_away", extra={"why": str(error), "rest_s": rest})
                await asyncio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST_S)

    async def ask_once(self, request: Request) -> Answer:
        """The answer.

        Raises:
            Unreachable: there was none, or one that says to ask again.
        """
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, self._connection.ask, request)
        self._meter.requested(request.verb, request.resource, answer.status)
        if answer.status in _AWAY:
            raise Unreachable(f"{request.verb} {request.path}: {answer.message}; it is asked again")
        return answer

    async def plural(self, api_version: str, kind: str) -> str:
        """What a kind is called in paths, as the server says; asked once.

        Raises:
            NotYet: it serves no such kind.
        """
        return (await self._resource(api_version, kind))[0]

    async def has_namespaces(self, api_version: str, kind: str) -> bool:
        """Whether objects of a kind live in namespaces. Raises ``NotYet`` as :meth:`plural` does."""
        return (await self._resource(api_version, kind))[1]

    async def _resource(self, api_version: str, kind: str) -> tuple[str, bool]:
        if (api_version, kind) not in self._resources:
            answer = await self.ask(Request(verb="GET", path=path_to(api_version, ""), resource="discovery"))
            for resource in answer.document.get("resources") or ():
                if "/" not in resource["name"]:
                    self._resources[api_version, resource["kind"]] = (resource["name"], bool(resource["namespaced"]))
        try:
            return self._resources[api_version, kind]
        except KeyError:
            raise NotYet(f"{kind} of {api_version} is not served by this cluster; install its CRD") from None

    async def served(self, api_version: str) -> frozenset[str]:
        """The kinds that are served of ``api_version`` now; none if there is no such version."""
        answer = await self.ask(Request(verb="GET", path=path_to(api_version, ""), resource="discovery"))
        return frozenset(str(resource["kind"]) for resource in answer.document.get("resources") or ())

    async def version(self) -> tuple[int, int]:
        """Which Kubernetes it is: 1 and 20, for 1.20."""
        answer = await self.ask(Request(verb="GET", path="/version", resource="discovery"))
        major, minor = (str(answer.document.get(name, "")) for name in ("major", "minor"))
        return _leading_number(major), _leading_number(minor)

    def close(self) -> None:
        """Let go of the threads; what is under way still ends."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _leading_number(text: str) -> int:
    """The number that a text begins with, as ``20+`` does; 0 if with none."""
    digits = "".join(itertools.takewhile(str.isdigit, text))
    return int(digits) if digits else 0


def _document_of(said: bytes) -> dict[str, Any]:
    """The document, or as much of the text as says what is wrong: proxies answer in their own words."""
    try:
        document = json.loads(said)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {"message": said[:200].decode("utf-8", "replace")}
