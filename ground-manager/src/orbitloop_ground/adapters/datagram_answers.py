"""What the ground does with each question of a datagram session; the same use cases that HTTP calls."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel

from orbitloop.adapters.datagram_session import Session
from orbitloop.domain.errors import BadInput, OrbitloopError
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.node_ledger import Artifact
from orbitloop.ports.uploads import Upload
from orbitloop.wire.datagram_messages import (
    About,
    Announcement,
    Purpose,
    Question,
    Reply,
    Request,
    Standing,
    bounded,
    failed,
    packed,
    read,
    spans_of,
    unpacked,
)
from orbitloop.wire.messages import Goodbye, Hello, Telemetry, UpdateReport
from orbitloop.wire.node_messages import NodeEvents
from orbitloop_ground.adapters.datagrams import Answered, Effect, Peer
from orbitloop_ground.usecases.converse import Reception
from orbitloop_ground.usecases.receive import Receiver
from orbitloop_ground.usecases.refusals import refusal_of
from orbitloop_ground.usecases.watch import NobodyWatches, Watch


class DatagramAnswers:
    """The :class:`~orbitloop_ground.adapters.datagrams.Answers` of a gateway.

    Args:
        artifact_of: what a satellite may fetch, its file whole; raises ``NotYet`` if it is not.
        watch: told of what is turned away.
    """

    def __init__(
        self,
        receiver: Receiver,
        reception: Reception,
        artifact_of: Callable[[str, Digest], Artifact | None],
        watch: Watch | None = None,
    ) -> None:
        self._receiver, self._reception, self._artifact_of = receiver, reception, artifact_of
        self._watch = watch or NobodyWatches()

    def answer(self, satellite: str, question: bytes, peer: Peer) -> Answered:
        """The reply, and what it changes in the session."""
        try:
            asked = unpacked(question, Question)
            body, effect = self._do(satellite, asked, peer)
        except OrbitloopError as error:
            if (why := refusal_of(error)) is not None:
                self._watch.refused(why)
            return packed(failed(error)), None
        return packed(Reply(body=body)), effect

    def write(self, upload: Upload, start: int, data: bytes) -> Upload:
        """Keep bytes of an upload."""
        return self._receiver.write(upload, start, data)

    def _do(self, satellite: str, asked: Question, peer: Peer) -> tuple[str, Effect | None]:
        match asked.purpose:
            case Purpose.HELLO:
                return _text(self._reception.hello(satellite, read(asked.body, Hello))), None
            case Purpose.REPORT:
                self._reception.report(satellite, read(asked.body, UpdateReport))
            case Purpose.TELEMETRY:
                self._reception.telemetry(satellite, read(asked.body, Telemetry))
            case Purpose.EVENTS:
                self._reception.events(satellite, read(asked.body, NodeEvents))
            case Purpose.GOODBYE:
                self._reception.goodbye(satellite, read(asked.body, Goodbye))
            case Purpose.BEGIN:
                return self._begin(satellite, read(asked.body, Announcement), peer)
            case Purpose.RECEIPT:
                receipt = self._receiver.receipt(satellite, read(asked.body, About).bundle)
                return "" if receipt is None else _text(receipt), None
            case Purpose.FETCH:
                return self._fetch(satellite, read(asked.body, Request))
        return "", None

    def _begin(self, satellite: str, announced: Announcement, peer: Peer) -> tuple[str, Effect]:
        upload = self._receiver.begin(satellite, announced.bundle, Bytes(announced.size))
        missing = bounded(upload.held.missing(upload.size), upload.size)
        known = spans_of(missing, upload.size).missing(upload.size)
        base = Upload(satellite=satellite, digest=upload.digest, size=upload.size)

        def expect(session: Session) -> None:
            peer.uploads[announced.number] = base
            session.take(announced.number, upload.size, known, peer.keep(announced.number))

        return _text(Standing(missing=missing)), expect

    def _fetch(self, satellite: str, request: Request) -> tuple[str, Effect]:
        artifact = self._artifact_of(satellite, request.artifact)
        if artifact is None:
            raise BadInput(f"no artifact {request.artifact} was published for {satellite}")
        if request.size != artifact.size:
            raise BadInput(f"artifact {artifact.digest} has {artifact.size} bytes, not {request.size}")
        data = memoryview(artifact.path.read_bytes())
        missing: Spans = spans_of(request.missing, artifact.size)

        def serve(session: Session) -> None:
            session.send(request.number, data, missing)

        return "", serve


def _text(message: BaseModel) -> str:
    return message.model_dump_json()
