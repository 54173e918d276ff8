"""The command line, and its command demo; the others stand in modules of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orbitloop.domain.errors import BadInput, NotYet
from orbitloop.domain.learning import LearningRule
from orbitloop.domain.mining import mining_rule
from orbitloop.domain.policy import LinkPolicy
from orbitloop.domain.units import Bytes
from orbitloop_mission.embedded.plan import Labels, MissionPlan

app = typer.Typer(
    help="Close the learning loop between a satellite and the ground.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

EXAMPLES = Path("examples")
DATA = EXAMPLES / "data/airbus-aircraft/annotations.json"
MODEL = EXAMPLES / "models/airplane-1m"


@app.command()
def demo(
    data: Annotated[
        Path, typer.Option(help="COCO annotations; images need a split: train, val or test.", show_default=True)
    ] = DATA,
    model: Annotated[Path, typer.Option(help="Folder of the model that is launched.")] = MODEL,
    archive: Annotated[
        Path | None,
        typer.Option(help="COCO annotations of old pictures: their split train is replayed against forgetting."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report and the mission's state; replaced.")] = Path(
        "build/demo"
    ),
    rounds: Annotated[int, typer.Option(help="Learning rounds.")] = 3,
    steps: Annotated[int, typer.Option(help="Training steps of a round.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of training, audit and the order of frames.")] = 0,
    share: Annotated[float, typer.Option(help="Share of the captured bytes that may come down.")] = 0.085,
    update_budget: Annotated[int, typer.Option(help="Largest update, in bytes.")] = 300_000,
    least_samples: Annotated[int, typer.Option(help="Samples that start a round.")] = 40,
    mining: Annotated[
        str, typer.Option(help="Which tiles count as hard: CloudOnly, IBT, CrossEntropy, Threshold, Random, EdgeOnly.")
    ] = "CloudOnly",
    parameter: Annotated[
        list[str] | None, typer.Option(help="Parameter of --mining as key=value; may be repeated.")
    ] = None,
    labels: Annotated[
        Labels, typer.Option(help="Who labels: the annotations, or a model on the ground.")
    ] = Labels.TRUTH,
    teacher: Annotated[
        Path | None, typer.Option(help="Folder of a larger model that labels; without it --model does.")
    ] = None,
    gateway_port: Annotated[int, typer.Option(help="TCP port of the gateway here; 0 takes a free one.")] = 0,
    reference: Annotated[bool, typer.Option("--reference", help="Train an all-data reference beside it.")] = False,
    realtime: Annotated[bool, typer.Option("--realtime", help="Wait for the passes at wall speed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of tables.")] = False,
) -> None:
    """Fly a whole mission on this machine: detect, send hard samples down, retrain, send a delta up, swap."""
    from orbitloop_mission.cli.console import Terminal
    from orbitloop_mission.cli.summary import print_summary
    from orbitloop_mission.embedded.flight import fly
    from orbitloop_mission.embedded.telling import report_of
    from orbitloop_mission.report.files import write_report

    _check_bundled(data, model)
    plan = MissionPlan(
        out=out,
        data=data,
        archive=archive,
        model=model,
        rounds=rounds,
        steps=steps,
        seed=seed,
        labels=labels,
        teacher=teacher,
        gateway_port=gateway_port,
        reference=reference,
        realtime=realtime,
        mining=mining_rule(mining, _parameters(parameter or [])),
        policy=LinkPolicy(downlink_share=share, update_budget=Bytes(update_budget)),
        rule=LearningRule(least_samples=least_samples),
    )
    console = Console(stderr=as_json)
    with Terminal(console) as terminal:
        flown = fly(plan, terminal)
    report, pictures = report_of(flown)
    places = write_report(out, report, pictures)
    if as_json:
        typer.echo(json.dumps(report.model_dump(mode="json"), indent=2))
    else:
        print_summary(console, report, places)
    if flown.logbook.unfinished:
        raise NotYet(
            f"the passes ran out before {rounds} rounds were closed: {flown.logbook.unfinished}; "
            "lower --least-samples or raise --share"
        )


def _check_bundled(*given: Path) -> None:
    """Refuse a default that is not there: the bundled data and model are found from the root of a checkout only."""
    for path in given:
        if path in (DATA, MODEL) and not path.exists():
            raise BadInput(f"{path}: not found from here; run from the root of the checkout or give --data and --model")


def _parameters(given: list[str]) -> dict[str, str]:
    """``key=value`` pairs, as ``hardExampleMining.parameters`` of a manifest holds them."""
    pairs = [entry.partition("=") for entry in given]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise BadInput(f"--parameter {key + equals + value!r} is no key=value, for instance threshold_img=0.9")
    return {key: value for key, _, value in pairs}
