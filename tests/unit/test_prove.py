"""From received bytes to a flying model, or to a reason why not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.cut_updates import EYE, OneEyed

from orbitloop.domain.delta import Change, Gain, Shift, Sparse, apply
from orbitloop.domain.detection import Detections
from orbitloop.domain.errors import BadInput, NotYet, Untrusted
from orbitloop.domain.rollout import CanaryRule, Outcome
from orbitloop.domain.shadow import ShadowRule
from orbitloop.domain.units import Digest
from orbitloop.domain.versions import weights_digest
from orbitloop.testing.builders import (
    Box,
    a_digest,
    a_model,
    an_offer,
    plain_ground,
    some_detections,
    some_truth,
    some_weights,
    with_squares,
)
from orbitloop.testing.clocks import VirtualClock
from orbitloop.testing.samples import LAUNCH
from orbitloop.wire.messages import UpdateReport
from orbitloop.wire.model_folder import DETECTOR, WEIGHTS, Model
from orbitloop.wire.update import CanaryTruth, Step, Update, pack_update
from orbitloop_edge.adapters.shadow_log import FileShadowLog
from orbitloop_edge.adapters.shelf import Shelf
from orbitloop_edge.adapters.slots import Slots
from orbitloop_edge.usecases.detector import Detector
from orbitloop_edge.usecases.prove import ProveUpdate
from orbitloop_edge.usecases.shadow import Shadow

GROUND_KEY = Ed25519PrivateKey.from_private_bytes(b"g" * 32)
STRANGERS_KEY = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
PLANE: Box = (4, 4, 14, 14)
OLD = {**some_weights(), EYE: np.array([1, 0, 0, 0, 0, 0], np.float32)}
BLINDED = Shift(tensor=EYE, exponent=0, quanta=np.array([-2, 0, 0, 0, 0, 0], np.int8))
IMPROVED = Sparse(tensor=EYE, exponent=-3, where=np.array([1, 4], np.uint32), quanta=np.array([3, -2], np.int8))
WIDENED = Gain(tensor="backbone.0.conv.weight", exponent=-7, quanta=np.array([1, 0, -1, 5], np.int8))
ENDLESS = [Gain(tensor=EYE, exponent=8, quanta=np.array([127] * 6, np.int8)) for _ in range(10)]
NO_NUMBER = [*ENDLESS, Gain(tensor=EYE, exponent=0, quanta=np.array([-1] * 6, np.int8))]


def loaded(model: Model) -> OneEyed:
    if model.graph != b"graph":
        raise BadInput("the graph does not load")
    return OneEyed(model)


def verify(signature: bytes, message: bytes) -> None:
    try:
        GROUND_KEY.public_key().verify(signature, message)
    except InvalidSignature as error:
        raise Untrusted("the update was not signed by the ground") from error


class Satellite:
    """Everything on board that an update meets, on a real disk."""

    def __init__(
        self, folder: Path, *, kept: int = 5, rule: CanaryRule | None = None, shadow: Shadow | None = None
    ) -> None:
        self.slots = Slots(folder / "slots")
        if not self.slots.installed():
            self.slots.install(a_model(OLD))
        self.swapped: list[Digest] = []
        self.folder = folder
        shelf = Shelf(folder / "canaries")
        for number in range(kept):
            shelf.keep(a_digest(number), with_squares(plain_ground(24), (4, 4, 14, 14)))
        self._prove = ProveUpdate(
            satellite="sat-1",
            slots=self.slots,
            canaries=shelf,
            load=loaded,
            swap=self._swap,
            verify=verify,
            clock=VirtualClock(LAUNCH),
            rule=rule or CanaryRule(tolerance=0.03, least=3),
            shadow=shadow,
        )

    def _swap(self, detector: Detector) -> None:
        self.swapped.append(detector.version)

    def prove(self, data: bytes, *, stored: bytes | None = None) -> UpdateReport:
        """Prove ``data``, of which the disk has made ``stored``."""
        path = self.folder / "update"
        path.write_bytes(data if stored is None else stored)
        return self._prove(path, an_offer(data, base=weights_digest(OLD), result=a_digest()))

    def flying(self) -> Digest:
        """What would fly after a restart."""
        return weights_digest(Slots(self.slots.folder).active().weights)

    def flying_bytes(self) -> list[bytes]:
        slot = self.slots.folder / self.slots.state().active
        return [(slot / name).read_bytes() for name in (WEIGHTS, DETECTOR)]


@pytest.fixture
def satellite(tmp_path: Path) -> Satellite:
    return Satellite(tmp_path)


def an_update(
    changes: Sequence[Change],
    *,
    base: Digest | None = None,
    result: Digest | None = None,
    canaries: int = 5,
    key: Ed25519PrivateKey = GROUND_KEY,
) -> bytes:
    with np.errstate(all="ignore"):
        made = weights_digest(apply(OLD, changes)) if result is None else result
    update = Update(
        base=weights_digest(OLD) if base is None else base,
        steps=(Step(changes=tuple(changes), result=made),),
        canary=tuple(CanaryTruth(sample=a_digest(number), truth=some_truth(PLANE)) for number in range(canaries)),
    )
    return pack_update(update, key.sign)


GOOD = an_update([IMPROVED, WIDENED])


def test_a_good_update_flies_and_is_reported(satellite: Satellite) -> None:
    report = satellite.prove(GOOD)
    new = weights_digest(apply(OLD, [IMPROVED, WIDENED]))
    assert (report.outcome, report.flying, report.reason) == (Outcome.APPLIED, new, "")
    assert (report.canary_before, report.canary_after) == (1.0, 1.0)
    assert satellite.flying() == new
    assert satellite.swapped == [new]
    assert Slots(satellite.slots.folder).state().last == report


def test_the_same_update_again_is_reported_as_applied_again(satellite: Satellite) -> None:
    first = satellite.prove(GOOD)
    again = satellite.prove(GOOD)
    assert (again.outcome, again.flying, again.update) == (Outcome.APPLIED, first.flying, first.update)
    assert satellite.swapped == [first.flying]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    ("data", "outcome", "reason"),
    [
        (an_update([IMPROVED], key=STRANGERS_KEY), Outcome.REFUSED, "not signed by the ground"),
        (GOOD[:50] + bytes([GOOD[50] ^ 1]) + GOOD[51:], Outcome.REFUSED, "not signed by the ground"),
        (GOOD[:-70], Outcome.REFUSED, "truncated"),
        (b"", Outcome.REFUSED, "not an orbitloop update"),
        (an_update([IMPROVED], base=a_digest("other")), Outcome.REFUSED, "the update is for sha256:.* flies"),
        (an_update([IMPROVED], result=a_digest("other")), Outcome.REFUSED, "on board, but .* on the ground; not flown"),
        (an_update([], result=a_digest("other")), Outcome.REFUSED, "not flown"),
        (an_update(ENDLESS), Outcome.REFUSED, "makes head.bias infinite or not a number; not flown"),
        (an_update(NO_NUMBER), Outcome.REFUSED, "makes head.bias infinite or not a number; not flown"),
        (
            an_update([Shift(tensor="tail", exponent=0, quanta=np.zeros(1, np.int8))], result=a_digest()),
            Outcome.REFUSED,
            "tensor 'tail', which this model does not have",
        ),
        (
            an_update([Shift(tensor=EYE, exponent=0, quanta=np.zeros(1, np.int8))], result=a_digest()),
            Outcome.REFUSED,
            "head.bias: ",
        ),
        (an_update([BLINDED]), Outcome.ROLLED_BACK, "worse on 5 canary tiles: average precision 0.000 after, 1.000"),
        (an_update([BLINDED], canaries=3), Outcome.ROLLED_BACK, "worse on 3 canary tiles"),
    ],
    ids=[
        "a stranger's signature",
        "a flipped bit",
        "cut short",
        "empty",
        "made for another model",
        "another result than promised",
        "no changes, but another result",
        "infinite weights",
        "weights that are no numbers",
        "an unknown tensor",
        "a tensor of another size",
        "worse on its canaries",
        "worse on just enough canaries",
    ],
)
def test_an_update_that_must_not_fly_leaves_the_satellite_as_it_was(
    satellite: Satellite, data: bytes, outcome: Outcome, reason: str
) -> None:
    state, flew = satellite.slots.state(), satellite.flying_bytes()
    report = satellite.prove(data)
    assert report.outcome is outcome
    assert report.flying == weights_digest(OLD) == satellite.flying()
    assert re.search(reason, report.reason)
    assert satellite.swapped == []
    assert satellite.flying_bytes() == flew
    after = Slots(satellite.slots.folder).state()
    assert (after.active, after.flying) == (state.active, state.flying)
    assert after.last == report  # so that the ground learns why, also after a restart


@pytest.mark.parametrize(
    ("kept", "named"), [(2, 5), (5, 2), (0, 5), (5, 0)], ids=["two kept", "two named", "none kept", "none named"]
)
def test_nothing_flies_that_too_few_canaries_proved(tmp_path: Path, kept: int, named: int) -> None:
    satellite = Satellite(tmp_path, kept=kept)
    report = satellite.prove(an_update([IMPROVED], canaries=named))
    assert report.outcome is Outcome.ROLLED_BACK
    assert "canary tiles are on board" in report.reason
    assert satellite.flying() == report.flying == weights_digest(OLD)


def test_damaged_canaries_are_left_out(satellite: Satellite) -> None:
    for path in sorted((satellite.folder / "canaries").glob("*.png"))[:3]:
        path.write_bytes(b"damaged")
    assert "only 2 canary tiles" in satellite.prove(an_update([IMPROVED])).reason


def test_a_refused_update_does_not_stand_in_the_way_of_a_good_one(satellite: Satellite) -> None:
    satellite.prove(an_update([IMPROVED], key=STRANGERS_KEY))
    satellite.prove(an_update([BLINDED]))
    assert satellite.prove(GOOD).outcome is Outcome.APPLIED
    assert satellite.flying() == weights_digest(apply(OLD, [IMPROVED, WIDENED]))


def test_updates_build_on_each_other(satellite: Satellite) -> None:
    first = satellite.prove(an_update([IMPROVED]))
    weights = apply(OLD, [IMPROVED])
    second = an_update([WIDENED], base=first.flying, result=weights_digest(apply(weights, [WIDENED])))
    assert satellite.prove(second).outcome is Outcome.APPLIED
    third = satellite.prove(an_update([IMPROVED]))
    assert third.outcome is Outcome.REFUSED  # it was made for what flew two updates ago


def test_a_long_reason_still_fits_its_message(satellite: Satellite) -> None:
    unknown = Shift(tensor="t" * 200, exponent=0, quanta=np.zeros(1, np.int8))
    assert len(satellite.prove(an_update([unknown], result=a_digest())).reason) <= 2_000


def test_an_update_that_the_disk_has_changed_is_fetched_again_and_not_refused(satellite: Satellite) -> None:
    data = an_update([IMPROVED])
    with pytest.raises(NotYet, match="fetched again"):
        satellite.prove(data, stored=data[:-1] + bytes([data[-1] ^ 1]))
    assert satellite.flying() == weights_digest(OLD)
    assert satellite.prove(data).outcome == Outcome.APPLIED


def test_a_class_that_is_lost_rolls_back_by_its_name(tmp_path: Path) -> None:
    lenient = CanaryRule(tolerance=1.0, class_tolerance=0.1, class_objects=5)
    report = Satellite(tmp_path, rule=lenient).prove(an_update([BLINDED]))
    assert report.outcome is Outcome.ROLLED_BACK
    assert report.reason.startswith("worse at airplane, 5 of which are on the canary tiles")


SEEN = with_squares(plain_ground(24), (4, 4, 14, 14))


class Ticking:
    """A clock on which every look at it costs ``step`` seconds."""

    def __init__(self, step: float = 0.5) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def a_shadow(folder: Path, seconds: Ticking, *, frames: int = 3) -> Shadow:
    return Shadow(ShadowRule(one_in=2, frames=frames), FileShadowLog(folder / "shadow.json"), seconds)


def show(shadow: Shadow, frames: int, sees: Detections) -> None:
    """Frames that the serving model has looked at, and seen ``sees`` in."""
    for _ in range(frames):
        shadow.see(SEEN, sees, 0.5)


SURE = some_detections((4, 4, 14, 14), scores=[0.9])


def test_a_proved_model_flies_in_shadow_and_serves_once_it_held(tmp_path: Path) -> None:
    shadow = a_shadow(tmp_path, Ticking())
    satellite = Satellite(tmp_path, shadow=shadow)
    with pytest.raises(NotYet, match="in shadow: 0 of 3 frames"):
        satellite.prove(GOOD)
    show(shadow, 4, SURE)
    with pytest.raises(NotYet, match="in shadow: 2 of 3 frames"):
        satellite.prove(GOOD)
    assert (satellite.flying(), satellite.swapped) == (weights_digest(OLD), [])
    show(shadow, 2, SURE)
    report = satellite.prove(GOOD)
    assert report.outcome is Outcome.APPLIED
    assert satellite.swapped == [report.flying] == [satellite.flying()]
    assert not (tmp_path / "shadow.json").exists()
    show(shadow, 2, SURE)  # nobody flies in shadow any more


@pytest.mark.parametrize(
    ("sees", "seconds", "reason"),
    [
        (some_detections((15, 15, 23, 23), scores=[0.9]), Ticking(), "it found 0 of the 3 objects"),
        (SURE, Ticking(2.0), "it took 2.00 s a frame, the old model 0.50 s"),
    ],
    ids=["does not agree", "slow"],
)
def test_a_model_that_does_not_hold_in_shadow_is_rolled_back(
    tmp_path: Path, sees: Detections, seconds: Ticking, reason: str
) -> None:
    shadow = a_shadow(tmp_path, seconds)
    satellite = Satellite(tmp_path, shadow=shadow)
    with pytest.raises(NotYet):
        satellite.prove(GOOD)
    show(shadow, 6, sees)
    report = satellite.prove(GOOD)
    assert report.outcome is Outcome.ROLLED_BACK
    assert reason in report.reason
    assert (satellite.flying(), satellite.swapped, shadow.model()) == (weights_digest(OLD), [], None)


def test_a_model_that_its_canaries_object_to_never_flies_in_shadow(tmp_path: Path) -> None:
    shadow = a_shadow(tmp_path, Ticking())
    assert Satellite(tmp_path, shadow=shadow).prove(an_update([BLINDED])).outcome is Outcome.ROLLED_BACK
    assert shadow.model() is None


@pytest.mark.parametrize("damage", [False, True], ids=["kept", "damaged"])
def test_what_was_seen_in_shadow_outlives_a_restart(tmp_path: Path, damage: bool) -> None:
    shadow = a_shadow(tmp_path, Ticking())
    with pytest.raises(NotYet):
        Satellite(tmp_path, shadow=shadow).prove(GOOD)
    show(shadow, 4, SURE)
    if damage:
        (tmp_path / "shadow.json").write_bytes(b"{damaged")
    again = Satellite(tmp_path, shadow=a_shadow(tmp_path, Ticking()))
    with pytest.raises(NotYet, match=f"in shadow: {0 if damage else 2} of 3 frames"):
        again.prove(GOOD)


def test_another_update_takes_the_place_of_the_one_in_shadow(tmp_path: Path) -> None:
    shadow = a_shadow(tmp_path, Ticking(), frames=1)
    satellite = Satellite(tmp_path, shadow=shadow)
    with pytest.raises(NotYet):
        satellite.prove(an_update([IMPROVED]))
    show(shadow, 4, SURE)
    with pytest.raises(NotYet, match="in shadow: 0 of 1 frames"):
        satellite.prove(GOOD)
    show(shadow, 2, SURE)
    assert satellite.prove(GOOD).outcome is Outcome.APPLIED
