"""The two directions of a contact: bundles down, an update up; both go on where they were cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from orbitloop.domain.errors import BadInput, NotYet, Refused, Untrusted
from orbitloop.domain.units import Bytes, Digest
from orbitloop.ports.gateway import Downlink, Inbox, Transfer, Uplink
from orbitloop.ports.spool import Spool
from orbitloop.wire.messages import Offer, Receipt

Crossed = Callable[[Bytes], None]
"""Told of bytes that have just crossed."""

_PIECE = 16 * 2**10
"""Bytes between two calls of ``Crossed``: about an eighth of a second at 1 Mbit/s."""


def send_bundles(ground: Downlink, spool: Spool, budget: Bytes, crossed: Crossed) -> Iterator[Receipt]:
    """Send what waits, most value per byte first, until nothing waits or ``budget`` bytes were sent.

    Yields:
        A receipt for each bundle that the ground holds, after it has left the spool.

    Raises:
        LinkClosed: the signal was lost; what the ground has is kept there.
        NotYet: the ground cannot take more now.
        BadInput: the ground will never take the bundle; its samples wait again, to be sealed afresh.
        Untrusted: the ground does not want this satellite's bundles, or had one of them damaged twice.
    """
    left = budget
    sent_again: Digest | None = None
    while left > 0 and (sealed := spool.seal(left)) is not None:
        bundle, data = sealed
        try:
            transfer = ground.begin(bundle, Bytes(len(data)))
            count = Bytes(min(left, transfer.size - transfer.offset))
            left = Bytes(left - count)
            whole = _send(ground, transfer, memoryview(data)[transfer.offset :][:count], crossed)
        except BadInput:
            spool.unseal(bundle)
            raise
        except Untrusted:
            if sent_again == bundle:
                raise
            sent_again = bundle  # damaged on the way, and thrown away by the ground: from 0, once
            continue
        if whole:
            receipt = _receipt(ground, bundle)
            spool.delivered(bundle)
            yield receipt


def _send(ground: Downlink, transfer: Transfer, data: memoryview, crossed: Crossed) -> bool:
    """Send ``data``; returns whether it was the rest of the bundle."""
    if data:
        now = ground.send(transfer, _pieces(data, crossed), Bytes(len(data)))
        if now.offset != transfer.offset + len(data):
            raise NotYet(
                f"the ground kept bundle {transfer.bundle} up to {now.offset} of {now.size} bytes; go on there"
            )
        return now.offset == now.size
    return True


def _receipt(ground: Downlink, bundle: Digest) -> Receipt:
    receipt = ground.receipt(bundle)
    if receipt is None or receipt.bundle != bundle:
        raise NotYet(f"the ground has all of bundle {bundle} and gives no receipt; ask again next contact")
    return receipt


def _pieces(data: memoryview, crossed: Crossed) -> Iterator[bytes]:
    for start in range(0, len(data), _PIECE):
        piece = bytes(data[start : start + _PIECE])
        yield piece
        crossed(Bytes(len(piece)))


def fetch_update(ground: Uplink, offer: Offer, inbox: Inbox, crossed: Crossed) -> Path:
    """The file of an offered update, its digest checked; resumes what an earlier contact began.

    Raises:
        LinkClosed: the signal was lost; what arrived is kept.
        NotYet: the ground, or the disk on board, does not go on now; what arrived is kept.
        Untrusted: what the ground serves under this digest is something else.
        BadInput: the ground serves more than it offered.
    """
    held = inbox.held(offer.digest)
    try:
        return _fetch_from(held, ground, offer, inbox, crossed)
    except Untrusted:
        if not held:
            raise
        return _fetch_from(Bytes(0), ground, offer, inbox, crossed)  # the part that was here belonged to other bytes


def _fetch_from(held: Bytes, ground: Uplink, offer: Offer, inbox: Inbox, crossed: Crossed) -> Path:
    start = held if held <= offer.size else Bytes(0)
    if start < offer.size:
        with ExitStack() as open_for:
            try:
                begins, parts = open_for.enter_context(ground.fetch(offer.digest, start))
            except Refused as error:  # says nothing against the update: the offer stands
                raise NotYet(f"update {offer.digest} is not served now ({error}); ask again next contact") from error
            inbox.keep(offer.digest, begins, _counted(parts, Bytes(offer.size - begins), crossed))
        if (now := inbox.held(offer.digest)) < offer.size:
            raise NotYet(f"update {offer.digest}: the ground ended after {now} of {offer.size} bytes; go on there")
    return inbox.take(offer.digest)


def _counted(parts: Iterable[bytes], most: Bytes, crossed: Crossed) -> Iterator[bytes]:
    for part in parts:
        crossed(Bytes(len(part)))
        most = Bytes(most - len(part))
        if most < 0:
            raise BadInput("the ground sends more of the update than it offered; it was not kept")
        yield part
