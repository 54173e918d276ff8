"""The ground's gateway over HTTP: tus 1.0.0 for bundles down, byte ranges for updates up."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from orbitloop.domain.errors import BadInput, LinkClosed, NotYet, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.gateway import Crossed, Transfer
from orbitloop.wire.messages import Goodbye, Hello, Message, Receipt, Telemetry, UpdateReport, Welcome
from orbitloop.wire.node_messages import NodeEvents
from orbitloop_edge.adapters.credentials import GATEWAY_NAME, Credentials
from orbitloop_edge.adapters.egress import Turn, at_once

_TUS = {"Tus-Resumable": "1.0.0"}
_BODY = "application/offset+octet-stream"
_LARGEST_ANSWER = 64 * 2**10
_PIECE = 2 * 2**10
_SENT_PIECE = 4 * 2**10
"""Bytes of one TLS record: a cut costs the record that it falls into, so they are small."""
_MISSING = "Orbitloop-Missing"
_MOST_GAPS = 1_000
_LONGEST_NUMBER = 15

Answer = TypeVar("Answer", bound=BaseModel)


class GatewayClient:
    """The :class:`~orbitloop.ports.gateway.Gateway` at ``url``, by mutual TLS. Threads may share one.

    The gateway is known by the name in its certificate: its address is the link's.

    Args:
        url: ``https://``, host and port.
        credentials: what this satellite proves itself by.
        patience: how long the link may be silent before it counts as lost; the ground needs some of it to
            store a bundle before it answers.
        turn: asked before each piece of a bundle is sent, and nothing else.

    Raises:
        BadInput: the address is not one of ``https``.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        patience: timedelta = timedelta(seconds=30),
        turn: Turn = at_once,
    ) -> None:
        if not url.startswith("https://"):
            raise BadInput(f"the gateway's address {url!r} does not begin with https://; nothing crosses unprotected")
        self._turn = turn
        self._client = httpx.Client(
            base_url=url,
            headers={"Accept-Encoding": "identity"},
            verify=credentials.tls,
            timeout=patience.total_seconds(),
            trust_env=False,  # a proxy of the host is not the space link
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def hello(self, hello: Hello) -> Welcome:
        """Open the session."""
        return _read(self._tell("/v1/contacts", hello), Welcome)

    def report(self, report: UpdateReport) -> None:
        """Say what became of an update."""
        self._tell("/v1/reports", report)

    def telemetry(self, telemetry: Telemetry) -> None:
        """Say what happened since launch."""
        self._tell("/v1/telemetry", telemetry)

    def events(self, events: NodeEvents) -> None:
        """Say what happened at the node."""
        self._tell("/v1/events", events)

    def goodbye(self, goodbye: Goodbye) -> None:
        """End the session."""
        self._tell("/v1/goodbyes", goodbye)

    def begin(self, bundle: Digest, size: Bytes) -> Transfer:
        """Announce a bundle, or find how far it came before."""
        metadata = f"digest {base64.b64encode(bundle.encode()).decode()}"
        headers = _TUS | {"Upload-Length": str(size), "Upload-Metadata": metadata}
        with self._request("POST", "/v1/bundles", headers=headers) as response:
            return _standing(response, bundle, size)

    def send(self, transfer: Transfer, data: memoryview, most: Bytes, crossed: Crossed) -> Transfer:
        """Send up to ``most`` bytes of the first gap of the bundle ``data``; returns where it stands now.

        Raises:
            Untrusted: the ground has other bytes than were announced, and threw them away.
            BadInput: the ground cannot read the bundle, and threw it away.
            NotYet: the ground has no room, stands elsewhere or kept nothing; what it has is kept.
        """
        gap = next(iter(transfer.missing.first(most)), None)
        if gap is None:
            return transfer
        headers = _TUS | {"Content-Type": _BODY, "Content-Length": str(len(gap)), "Upload-Offset": str(gap.start)}
        # Not to the Location that was answered: bundles go nowhere but to the ground.
        path = f"/v1/bundles/{transfer.bundle}"
        pieces = _pieces(data[gap.start : gap.end], self._turn, crossed)
        with self._request("PATCH", path, headers=headers, content=pieces) as response:
            now = _standing(response, transfer.bundle, transfer.size)
        if not now.held.holds(gap.start, gap.end):
            raise NotYet(
                f"the ground kept bundle {transfer.bundle} up to {now.held.prefix} of {now.size} bytes; go on there"
            )
        return now

    def receipt(self, bundle: Digest) -> Receipt | None:
        """The ground's word that it holds the bundle durably."""
        with self._request("GET", f"/v1/bundles/{bundle}/receipt", allowed=(404,)) as response:
            body = _body(response)
            return None if response.status_code == HTTPStatus.NOT_FOUND else _read(body, Receipt)

    @contextmanager
    def fetch(self, artifact: Digest, size: Bytes, missing: Spans) -> Iterator[Iterator[tuple[int, bytes]]]:
        """Bytes of an artifact with their offsets: each missing span, or all from 0 where the ground cannot resume.

        Raises:
            BadInput: the ground has no such artifact, or none of that length; from the iterator.
        """
        with closing(self._spans_of(artifact, size, missing)) as pieces:
            yield pieces

    def _spans_of(self, artifact: Digest, size: Bytes, missing: Spans) -> Generator[tuple[int, bytes], None, None]:
        for span in missing:
            whole = len(span) == size
            wanted = {"Range": f"bytes={span.start}-{span.end - 1}", "If-Range": f'"{artifact}"'}
            with self._request("GET", f"/v1/artifacts/{artifact}", headers={} if whole else wanted) as response:
                resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
                expected = f"bytes {span.start}-{span.end - 1}/{size}"
                if resumed and (given := response.headers.get("Content-Range", "")) != expected:
                    raise BadInput(f"ground: asked for {expected} of artifact {artifact}, the answer is {given!r}")
                position = span.start if resumed else 0
                for piece in response.iter_raw(_PIECE):
                    yield position, piece
                    position += len(piece)
            if not resumed:
                return

    def _tell(self, path: str, message: Message) -> bytes:
        headers = {"Content-Type": "application/json"}
        with self._request("POST", path, headers=headers, content=message.model_dump_json().encode()) as response:
            return _body(response)

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(
                method, path, headers=headers, content=content, extensions={"sni_hostname": GATEWAY_NAME}
            ) as response:
                if not response.is_success and response.status_code not in allowed:
                    raise _fault(response)
                yield response
        except httpx.TransportError as error:
            if (why := _mistrust(error)) is not None:
                raise Untrusted(f"{method} {path}: {why}") from error
            raise LinkClosed(
                f"{method} {path}: the link was lost ({type(error).__name__}); go on next contact"
            ) from error


def _mistrust(error: BaseException) -> str | None:
    """What TLS says if one side turned the other away; a lost signal says nothing of that kind."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"whoever answers is not the ground ({error.verify_message}); check the keys' folder and the address"
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            return f"the ground does not take this satellite's certificate ({error.reason}); renew its keys"
    return None


def _fault(response: httpx.Response) -> Untrusted | BadInput | NotYet:
    said = _body(response).decode(errors="replace")[:500]
    message = f"ground: {response.request.method} {response.url.path}: {response.status_code} {said}"
    match response.status_code:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN | 460:  # 460: tus, checksum mismatch
            return Untrusted(message)
        case HTTPStatus.CONFLICT | HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.TOO_MANY_REQUESTS:
            return NotYet(message)
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            wait = response.headers.get("Retry-After", "")
            return NotYet(message, retry_after=timedelta(seconds=int(wait)) if wait.isdigit() else None)
        case _:
            return BadInput(message)


def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise BadInput(f"ground: an answer of more than {_LARGEST_ANSWER} bytes from {response.url.path}")
    return bytes(body)


def _read(body: bytes, kind: type[Answer]) -> Answer:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadInput(f"ground: not a {kind.__name__}: {error.errors(include_url=False)[0]['msg']}") from None


def _pieces(data: memoryview, turn: Turn, crossed: Crossed) -> Iterator[bytes]:
    for start in range(0, len(data), _SENT_PIECE):
        piece = bytes(data[start : start + _SENT_PIECE])
        turn(Bytes(len(piece)))
        yield piece
        crossed(Bytes(len(piece)))


def _standing(response: httpx.Response, bundle: Digest, size: Bytes) -> Transfer:
    """Where the ground stands; one that names no gaps has all bytes before its offset and none behind it."""
    _body(response)  # a connection whose answer was not read to its end is not used again
    text = response.headers.get("Upload-Offset", "")
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise BadInput(f"ground: {response.url.path} answers Upload-Offset {text!r}; it must be a number of bytes")
    offset = int(text)
    if offset > size:
        raise BadInput(f"ground: bundle {bundle} of {size} bytes cannot stand at {offset}")
    if (named := response.headers.get(_MISSING)) is None:
        return Transfer(bundle=bundle, size=size, held=Spans.up_to(offset))
    missing = _gaps(named)
    if missing.missing(size).prefix != offset or any(gap.end > size for gap in missing):
        raise BadInput(f"ground: {response.url.path} answers {_MISSING} {named!r} and Upload-Offset {offset}")
    return Transfer(bundle=bundle, size=size, held=missing.missing(size))


def _gaps(named: str) -> Spans:
    words = [gap.strip().partition("-") for gap in named.split(",")]
    if len(words) > _MOST_GAPS or not all(
        first.isdecimal() and last.isdecimal() and max(len(first), len(last)) <= _LONGEST_NUMBER
        for first, _, last in words
    ):
        raise BadInput(f"ground: {_MISSING} {named[:200]!r} names no byte ranges such as 100-199,500-899")
    return Spans.of((int(first), int(last) + 1) for first, _, last in words)
