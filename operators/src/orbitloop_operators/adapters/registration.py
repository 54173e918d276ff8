"""The ValidatingWebhookConfiguration of our webhook: who it is called as, and whom the API server trusts for it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from orbitloop.domain.errors import Refused
from orbitloop_operators.adapters.api_server import Answer, ApiServer, Request, path_to
from orbitloop_operators.usecases.admission import Registered
from orbitloop_operators.usecases.errors import Stale

_API_VERSION, _PLURAL = "admissionregistration.k8s.io/v1", "validatingwebhookconfigurations"
_STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_CONFLICT = 409


class Registration:
    """One ValidatingWebhookConfiguration, which somebody else made: ours are only the authorities in it.

    Args:
        server: requests go to it.
        name: of the configuration.
    """

    def __init__(self, server: ApiServer, name: str) -> None:
        self._server = server
        self._name = name
        self._path = path_to(_API_VERSION, _PLURAL, name=name)

    async def read(self) -> Registered:
        """What is registered.

        Raises:
            Refused: nothing is, or we may not see it.
        """
        answer = await self._server.ask(Request(verb="GET", path=self._path, resource=_PLURAL))
        if not answer.is_good:
            raise Refused(
                f"cannot read the ValidatingWebhookConfiguration {self._name} ({answer.message}); "
                "kubectl apply -f operators/manifests/ makes it, and gives the permission"
            )
        document = answer.document
        webhooks = document.get("webhooks") or []
        return Registered(
            names=tuple(dict.fromkeys(_names(webhooks))),
            bundles={webhook["name"]: _bundle(webhook["clientConfig"]) for webhook in webhooks},
            version=document["metadata"]["resourceVersion"],
        )

    async def announce(self, registered: Registered, bundle: bytes) -> None:
        """Have the API server trust these authorities for every webhook of what was read.

        Raises:
            Stale: it changed meanwhile.
            Refused: we may not change it.
        """
        said = base64.b64encode(bundle).decode()
        body = {
            "metadata": {"resourceVersion": registered.version},
            "webhooks": [{"name": name, "clientConfig": {"caBundle": said}} for name in registered.bundles],
        }
        _check(
            await self._server.ask(
                Request(verb="PATCH", path=self._path, resource=_PLURAL, body=body, content_type=_STRATEGIC_MERGE_PATCH)
            ),
            self._name,
        )


def _check(answer: Answer, name: str) -> None:
    if answer.status == _CONFLICT:
        raise Stale(f"the ValidatingWebhookConfiguration {name} changed meanwhile; it is read again")
    if not answer.is_good:
        raise Refused(
            f"cannot put our certificate authority into the ValidatingWebhookConfiguration {name} ({answer.message}); "
            "give the permission to patch it: kubectl apply -f operators/manifests/"
        )


def _names(webhooks: list[Mapping[str, Any]]) -> Iterator[str]:
    """By which names the API server calls the webhooks."""
    for webhook in webhooks:
        client = webhook["clientConfig"]
        if client.get("url"):
            yield urlsplit(client["url"]).hostname or ""
        else:
            yield f"{client['service']['name']}.{client['service']['namespace']}.svc"


def _bundle(client: Mapping[str, Any]) -> bytes:
    """The authorities of a webhook; none where somebody wrote what is no base64."""
    try:
        return base64.b64decode(client.get("caBundle") or "", validate=True)
    except binascii.Error:
        return b""
