"""The two directions of a contact: bundles down, artifacts up; both go on where they were cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from orbitloop.domain.errors import BadInput, NotYet, Refused, Untrusted
from orbitloop.domain.ranges import Spans
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.gateway import Crossed, Downlink, Inbox, Transfer, Uplink
from orbitloop.wire.messages import Receipt
from orbitloop_edge.usecases.claims import Claims


class Wanted(Protocol):
    """What the ground has for the satellite: an update, or a desired state."""

    @property
    def digest(self) -> Digest:
        """Of its bytes."""
        ...

    @property
    def size(self) -> Bytes:
        """How many they are."""
        ...


def send_bundles(ground: Downlink, claims: Claims, crossed: Crossed) -> Iterator[Receipt]:
    """Send what waits, most value per byte first, until nothing waits or the budget of ``claims`` is used up.

    Threads may do so side by side with the same ``claims``.

    Yields:
        A receipt for each bundle that the ground holds, after it has left the spool.

    Raises:
        LinkClosed: the signal was lost; what the ground has is kept there.
        NotYet: the ground cannot take more now.
        BadInput: the ground will never take the bundle; its samples wait again, to be sealed afresh.
        Untrusted: the ground does not want this satellite's bundles, or had one of them damaged twice.
    """
    sent_again: set[Digest] = set()
    while (claimed := claims.claim()) is not None:
        bundle, data = claimed
        try:
            transfer = ground.begin(bundle, Bytes(len(data)))
            most = claims.grant(transfer.missing.count)
            whole = send_missing(ground, transfer, memoryview(data), most, crossed).complete
        except BadInput:
            claims.unseal(bundle)
            raise
        except Untrusted:
            if bundle in sent_again:
                raise
            sent_again.add(bundle)  # damaged on the way, and thrown away by the ground: from 0, once
            claims.again(bundle)
            continue
        if whole:
            receipt = ask_receipt(ground, bundle)
            claims.delivered(bundle)
            yield receipt


def send_missing(ground: Downlink, transfer: Transfer, data: memoryview, most: Bytes, crossed: Crossed) -> Transfer:
    """Send up to ``most`` of the bytes of the bundle ``data`` that the ground misses, gap by gap.

    Raises:
        NotYet: the ground takes bytes and has no more of them than before.
    """
    allowed = most
    while allowed > 0 and not transfer.complete:
        now = ground.send(transfer, data, allowed, crossed)
        gained = now.held.count - transfer.held.count
        if gained <= 0:
            raise NotYet(f"the ground kept nothing more of bundle {transfer.bundle}; go on next contact")
        allowed = Bytes(allowed - gained)
        transfer = now
    return transfer


def ask_receipt(ground: Downlink, bundle: Digest) -> Receipt:
    """The ground's word for a bundle that it has all of. Raises ``NotYet`` if it does not give it."""
    receipt = ground.receipt(bundle)
    if receipt is None or receipt.bundle != bundle:
        raise NotYet(f"the ground has all of bundle {bundle} and gives no receipt; ask again next contact")
    return receipt


def fetch_artifact(ground: Uplink, offer: Wanted, inbox: Inbox, crossed: Crossed) -> Path:
    """The file of an offered artifact, its digest checked; resumes what an earlier contact began.

    Raises:
        LinkClosed: the signal was lost; what arrived is kept.
        NotYet: the ground, or the disk on board, does not go on now; what arrived is kept. Or what arrived was twice
            something else than was offered: one of the two disks damages it, which says nothing against it.
        BadInput: the ground serves more than it offered.
    """
    try:
        return _fetch_rest(inbox.held(offer.digest), ground, offer, inbox, crossed)
    except Untrusted:  # the part that was here belonged to other bytes, or the disk has changed it since: from 0, once
        try:
            return _fetch_rest(Spans(), ground, offer, inbox, crossed)
        except Untrusted as error:
            raise NotYet(f"{error}, for the second time; it is fetched again next contact") from error


def _fetch_rest(held: Spans, ground: Uplink, offer: Wanted, inbox: Inbox, crossed: Crossed) -> Path:
    if any(span.end > offer.size for span in held):  # of a file that was larger: not this one
        inbox.discard(offer.digest)
        held = Spans()
    if missing := held.missing(offer.size):
        inbox.keep(offer.digest, _bounded(_served(ground, offer, missing), offer.size, crossed))
        here = inbox.held(offer.digest)
        if here.missing(offer.size):
            raise NotYet(f"artifact {offer.digest}: {here.count} of {offer.size} bytes are here; the rest next contact")
    return inbox.take(offer.digest)


def _served(ground: Uplink, offer: Wanted, missing: Spans) -> Iterator[tuple[int, bytes]]:
    try:
        with ground.fetch(offer.digest, offer.size, missing) as pieces:
            yield from pieces
    except Refused as error:  # says nothing against it: the offer stands
        raise NotYet(f"artifact {offer.digest} is not served now ({error}); ask again next contact") from error


def _bounded(pieces: Iterable[tuple[int, bytes]], size: Bytes, crossed: Crossed) -> Iterator[tuple[int, bytes]]:
    for start, piece in pieces:
        crossed(Bytes(len(piece)))
        if start + len(piece) > size:
            raise BadInput("the ground sends more of the artifact than it offered; it was not kept")
        yield start, piece
