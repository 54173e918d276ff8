"""From what was flown to the report of it."""

from __future__ import annotations

from importlib.metadata import version

from orbitloop.domain.rollout import Outcome
from orbitloop.domain.versions import weights_size
from orbitloop_mission.embedded.flight import Flown
from orbitloop_mission.embedded.gallery import gallery
from orbitloop_mission.embedded.logbook import PassEntry, RoundEntry
from orbitloop_mission.embedded.measure import Accuracy
from orbitloop_mission.report.schema import (
    GalleryTile,
    LinkFacts,
    MissionReport,
    ModelFacts,
    PassReport,
    RoundOutcome,
    RoundReport,
    Target,
    Totals,
)


def report_of(flown: Flown) -> tuple[MissionReport, dict[str, bytes]]:
    """The report of a mission, and the pictures of its gallery by key."""
    rounds = [_round(flown, entry) for entry in flown.logbook.rounds if entry.after is not None]
    totals = _totals(flown)
    tiles, pictures = _gallery(flown)
    orbit, station = flown.plan.orbit, flown.plan.station
    report = MissionReport(
        mission=flown.plan.data.parent.name,
        seed=flown.plan.seed,
        software_version=version("orbitloop"),
        model=ModelFacts(
            parameters=sum(tensor.size for tensor in flown.base.weights.values()),
            full_bytes=weights_size(flown.base.weights),
        ),
        link=LinkFacts(
            downlink_bps=flown.plan.policy.downlink,
            uplink_bps=flown.plan.policy.uplink,
            orbit=f"circular, {orbit.altitude:g} km, inclination {orbit.inclination:g}°, SGP4",
            station=f"{station.name} ({station.latitude:g}° N, {station.longitude:g}° E), mask {station.mask:g}°",
        ),
        totals=totals,
        rounds=tuple(rounds),
        passes=tuple(_pass(entry) for entry in flown.logbook.passes),
        targets=tuple(_targets(flown, rounds, totals)),
        gallery=tuple(tiles),
    )
    return report, pictures


def _base(flown: Flown) -> Accuracy:
    return flown.gauge.accuracy(flown.base, "")


def _round(flown: Flown, entry: RoundEntry) -> RoundReport:
    assert entry.before is not None
    assert entry.after is not None
    assert entry.state is not None
    before, after = flown.gauge.known(entry.before), flown.gauge.known(entry.after)
    candidate = entry.state.candidate
    report = entry.report
    applied = report is not None and report.outcome is Outcome.APPLIED
    return RoundReport(
        round=entry.number,
        base_model=entry.before,
        flying_model=entry.after,
        map50_new_before=before.new,
        map50_new_after=after.new,
        map50_old_before=before.old,
        map50_old_after=after.old,
        map50_all_data=entry.reference,
        frames=entry.frames,
        captured_bytes=entry.captured,
        downlinked_bytes=entry.down,
        samples_sent=entry.samples,
        samples_held_out=entry.state.held_out,
        train_steps=entry.train_steps,
        train_seconds=round(entry.train_seconds, 1),
        delta_bytes=candidate.size if candidate else 0,
        uplink_seconds=round(entry.uplink_seconds, 3),
        canary_before=report.canary_before if report else None,
        canary_after=report.canary_after if report else None,
        reconstructed_identical=applied and candidate is not None and entry.after == candidate.result,
        outcome=_outcome(entry),
        reason=report.reason if report else (entry.state.closed or ""),
    )


def _outcome(entry: RoundEntry) -> RoundOutcome:
    if entry.report is not None:
        return RoundOutcome(entry.report.outcome.value)
    unconfirmed = entry.state is not None and entry.state.published
    return RoundOutcome.UNCONFIRMED if unconfirmed else RoundOutcome.NOT_SENT


def _pass(entry: PassEntry) -> PassReport:
    return PassReport(
        number=entry.number,
        aos=entry.window.aos,
        los=entry.window.los,
        station=entry.window.station,
        peak_deg=round(entry.window.peak, 1),
        bytes_down=entry.down,
        bytes_up=entry.up,
        bundles=entry.bundles,
        samples=entry.samples,
        cut=entry.cut,
        update_rounds=entry.update_rounds,
        events=tuple(entry.events),
    )


def _totals(flown: Flown) -> Totals:
    base, final = _base(flown), flown.gauge.accuracy(flown.final, "what flies in the end")
    telemetry = flown.telemetry
    return Totals(
        map50_new_base=base.new,
        map50_new_final=final.new,
        map50_old_base=base.old,
        map50_old_final=final.old,
        frames_captured=telemetry.frames_captured,
        frames_processed=telemetry.frames_processed,
        dropped_frames=telemetry.frames_captured - telemetry.frames_processed,
        captured_bytes=telemetry.captured_bytes,
        downlinked_bytes=sum(entry.down for entry in flown.logbook.passes),
        samples_spooled=telemetry.samples_spooled,
        samples_received=flown.received,
        lost_samples=max(0, telemetry.samples_spooled - flown.received - flown.queued),
        passes=len(flown.logbook.passes),
        wall_seconds=round(flown.wall_seconds, 1),
    )


def _targets(flown: Flown, rounds: list[RoundReport], totals: Totals) -> list[Target]:
    """What the mission set out to reach, beside what it reached."""
    applied = sum(entry.outcome is RoundOutcome.APPLIED for entry in rounds)
    largest = max((entry.delta_bytes for entry in rounds), default=0)
    share = totals.downlinked_bytes / max(1, totals.captured_bytes)
    forgotten = totals.map50_old_base - totals.map50_old_final
    gain = totals.map50_new_final - totals.map50_new_base
    identical = all(entry.reconstructed_identical for entry in rounds if entry.outcome is RoundOutcome.APPLIED)
    reference = next((entry.map50_all_data for entry in reversed(rounds) if entry.map50_all_data is not None), None)
    full_gain = None if reference is None else reference - totals.map50_new_base
    part = None if not full_gain or full_gain <= 0 else gain / full_gain
    return [
        Target(
            name="Updates that fly",
            wanted=str(flown.plan.rounds),
            reached=str(applied),
            met=applied >= flown.plan.rounds,
        ),
        Target(name="Gain on the new domain", wanted="above 0", reached=f"{gain:+.3f} mAP@0.5", met=gain > 0),
        Target(
            name="Share of the captured bytes sent down",
            wanted="10 % or less",
            reached=f"{share:.1%}",
            met=share <= 0.1,
        ),
        Target(
            name="Share of the gain that sending everything reaches",
            wanted="95 % or more",
            reached="not measured (needs --reference)" if part is None else f"{part:.1%}",
            met=None if part is None else part >= 0.95,
        ),
        Target(
            name="Largest update",
            wanted="3 MB or less",
            reached=f"{largest:,} bytes",
            met=largest <= 3_000_000 if largest else None,
        ),
        Target(
            name="Largest update, aim",
            wanted="300 kB or less",
            reached=f"{largest:,} bytes",
            met=largest <= 300_000 if largest else None,
        ),
        Target(
            name="Lost on the old domain",
            wanted="0.02 mAP@0.5 or less",
            reached=f"{forgotten:+.3f}",
            met=forgotten <= 0.02,
        ),
        Target(
            name="Frames dropped, samples lost",
            wanted="0 and 0",
            reached=f"{totals.dropped_frames} and {totals.lost_samples}",
            met=totals.dropped_frames == 0 and totals.samples_spooled == totals.samples_received + flown.queued,
        ),
        Target(
            name="Same bits on board and on the ground",
            wanted="every update",
            reached="every update" if identical else "not every update",
            met=identical if applied else None,
        ),
    ]


def _gallery(flown: Flown) -> tuple[list[GalleryTile], dict[str, bytes]]:
    images = flown.scenery.annotated.where(split="test").images
    before, after = _base(flown).found, flown.gauge.accuracy(flown.final, "").found
    names = [image.path.name for image in images]
    return gallery(names, flown.scenery.test_new, before, after)
