"""A cluster read as its user may read it, for the commands that look and change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from orbitloop.domain.errors import BadInput, NotYet, Refused
from orbitloop_operators.adapters.api_server import Answer, Connection, Request, configuration_from, path_to
from orbitloop_operators.handlers.changes import Document

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_AWAY = frozenset({0, 408, 429, 500, 502, 503, 504})
_PAGE = 500
"""Objects a page of a listing."""


class Away(NotYet):
    """The API server does not answer, or says that it cannot now."""


class NotAllowed(Refused):
    """The API server does not let this user see it."""


class NotServed(Refused):
    """The cluster has no such kind."""


class ClusterReader:
    """Asks one API server, in the thread that calls.

    Args:
        kubeconfig: how to reach it; by default as a pod does, else as kubectl does.
        context: of the kubeconfig; by default its current one.

    Raises:
        BadInput: there is no such kubeconfig or context, or it cannot be read.
    """

    def __init__(self, kubeconfig: Path | None = None, context: str | None = None) -> None:
        try:
            configuration = configuration_from(kubeconfig, context)
        except yaml.YAMLError as error:
            why = " ".join(str(error).split())
            raise BadInput(f"{kubeconfig or 'the kubeconfig'} is no YAML ({why}); give --kubeconfig another") from None
        self.server = str(configuration.host)
        self._connection = Connection(configuration)

    def ask(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """What is at ``path``; whatever the server says of it is the caller's to judge."""
        return self._connection.ask(Request(verb="GET", path=path, resource="", query=query or {}))

    def tries(self, path: str, document: Document) -> Answer:
        """What the server would say to an object that is created at ``path``; nothing is (``dryRun=All``)."""
        request = Request(verb="POST", path=path, resource="", body=document, query={"dryRun": "All"})
        return self._connection.ask(request)

    def read(self, path: str) -> Document | None:
        """The object at ``path``; ``None``: there is none. Raises as :meth:`listed`."""
        answer = self.ask(path)
        return None if answer.status == _NOT_FOUND else self._good(answer, f"read {path}")

    def listed(self, api_version: str, plural: str, namespace: str = "") -> Sequence[Document]:
        """All objects of a kind, in one namespace or in all.

        Raises:
            NotServed: the cluster has no such kind.
            NotAllowed: this user may not list it.
            Away: the API server does not answer.
            Refused: it answers something else.
        """
        found: list[Document] = []
        query = {"limit": str(_PAGE)}
        while True:
            answer = self.ask(path_to(api_version, plural, namespace), query)
            if answer.status == _NOT_FOUND:
                raise NotServed(
                    f"{self.server} serves no {plural} of {api_version}; install the definitions: "
                    "kubectl apply -f crds/, or the chart, docs/howto/install-with-helm.md"
                )
            page = self._good(answer, f"list {plural}" + (f" in namespace {namespace}" if namespace else ""))
            found += page.get("items") or ()
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return found
            query = {"limit": str(_PAGE), "continue": following}

    def _good(self, answer: Answer, what: str) -> Document:
        if answer.is_good:
            return answer.document
        if answer.status in _AWAY:
            raise Away(f"the API server {self.server} does not answer ({answer.message})")
        if answer.status == _UNAUTHORIZED:
            raise NotAllowed(f"{self.server} does not know this user; log in again, or give --kubeconfig or --context")
        if answer.status == _FORBIDDEN:
            raise NotAllowed(
                f"this user may not {what} ({answer.message}); give --namespace where that is allowed, or bind the "
                "ClusterRole orbitloop-view to the user"
            )
        raise Refused(f"{self.server} will not {what}: {answer.message}")
