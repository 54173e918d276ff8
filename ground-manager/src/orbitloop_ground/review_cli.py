"""``orbitloop-ground reviews``: labels that wait for a person, to and from labelling tools."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orbitloop.ports.reviews import Review
from orbitloop_ground.app import opened_reviews, review_files
from orbitloop_ground.settings import GroundSettings
from orbitloop_ground.usecases.review_files import State, export, listed, take_back

Settings = Callable[[argparse.Namespace], GroundSettings]

_AS_WRITTEN = argparse.RawDescriptionHelpFormatter
_TOOLS = ("coco", "cvat", "label-studio")
_REVIEWS = """Labels that are in doubt wait for a person. The quick way is the page /reviews on the admin port.
To look at them in a tool of your own instead:

  orbitloop-ground reviews export --format cvat --to out      tiles, their pictures, and the boxes that were proposed
  (correct them in the tool, and export them from there)
  orbitloop-ground reviews import --format cvat --from back.xml --who ana

--folder and the other settings name the gateway's ledger, as for every command.
"""
_EXPORT = """Write tiles with their pictures (images/) and boxes into a folder:

  coco          annotations.json
  cvat          annotations.xml (CVAT for images 1.1), labels.json for the labels of the task
  label-studio  tasks.json with predictions, label-config.xml for the project; serve the folder as
                LOCAL_FILES_DOCUMENT_ROOT, or upload the pictures by their names
"""
_IMPORT = """Take back what was corrected, all of it or nothing. Pictures are known by their names.

  coco          every image in the file is decided; "rejected": true in it rejects one, and one left out waits on
  cvat          every picture in the file is decided; the tag "rejected" rejects one, the tag "later" leaves it waiting
  label-studio  tasks with an annotation are decided by their newest one; a skipped task is rejected, the rest wait on

Where people have decided otherwise before, nothing is imported, unless --replace says that the file counts.
"""


def add_reviews(commands: Any, add_settings: Callable[[argparse.ArgumentParser], None], settings: Settings) -> None:
    """The command, beside the others."""
    says = "labels that wait for a person: list, export to a tool, import from it"
    reviews = commands.add_parser("reviews", help=says, description=_REVIEWS, formatter_class=_AS_WRITTEN)
    actions = reviews.add_subparsers(required=True, metavar="list|export|import")
    for name, says, text, takes, command in (
        ("list", "what waits, or was decided", "What waits, or was decided.", "", _list),
        ("export", "write tiles, their pictures and boxes for a tool", _EXPORT, "--format TOOL --to FOLDER ", _export),
        ("import", "take back what was corrected", _IMPORT, "--format TOOL --from PATH --who NAME ", _import),
    ):
        usage = f"orbitloop-ground reviews {name} {takes}[OPTIONS] --folder GROUND --keys KEYS"
        made = actions.add_parser(name, help=says, description=text, usage=usage, formatter_class=_AS_WRITTEN)
        made.add_argument("--json", action="store_true", help="say it as JSON")
        if name != "import":
            made.add_argument("--state", type=State, choices=list(State), default=State.PENDING, help="(pending)")
        if name != "list":
            made.add_argument("--format", choices=_TOOLS, required=True, metavar="|".join(_TOOLS))
        if name == "export":
            made.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="made if it is not there")
        if name == "import":
            made.add_argument(
                "--from", type=Path, required=True, dest="came", metavar="PATH", help="the file, or the folder it is in"
            )
            made.add_argument("--who", required=True, metavar="NAME", help="who decided")
            made.add_argument("--replace", action="store_true", help="correct earlier verdicts too")
        add_settings(made)
        made.set_defaults(command=lambda told, act=command: act(told, settings(told)))


def _list(told: argparse.Namespace, settings: GroundSettings) -> None:
    with opened_reviews(settings) as reviewing:
        rows = [_row(review) for review in listed(reviewing, told.state)]
    if told.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    for row in rows:
        said = row["verdict"] or "waits"
        by = f" by {row['who']}, {row['at']}" if row["who"] else ""
        sys.stdout.write(
            f"{row['sample']}  {row['frame']}  {row['boxes']} boxes, {row['doubtful']} doubtful  {said}{by}\n"
        )


def _row(review: Review) -> dict[str, Any]:
    verdict = review.verdict
    word = None if verdict is None else "rejected" if verdict.truth is None else "accepted"
    truth = review.proposal if verdict is None or verdict.truth is None else verdict.truth
    return {
        "sample": review.sample,
        "frame": review.frame,
        "boxes": len(truth.labels),
        "doubtful": int(review.proposal.doubtful.sum()),
        "verdict": word,
        "who": verdict and verdict.who,
        "at": verdict and verdict.at.isoformat(timespec="seconds"),
    }


def _export(told: argparse.Namespace, settings: GroundSettings) -> None:
    kind, folder = review_files(told.format, told.to)
    with opened_reviews(settings) as reviewing:
        done = export(reviewing, kind, folder, told.state)
    for why in done.left_out:
        sys.stderr.write(f"left out: {why}\n")
    if told.json:
        sys.stdout.write(
            json.dumps({"tiles": done.tiles, "left_out": len(done.left_out), "folder": str(told.to)}) + "\n"
        )
    else:
        sys.stdout.write(f"tiles in {told.to}: {done.tiles}\n")


def _import(told: argparse.Namespace, settings: GroundSettings) -> None:
    kind, folder = review_files(told.format, told.came)
    marked = kind.read(folder.returned(kind.suffix))
    with opened_reviews(settings) as reviewing:
        done = take_back(reviewing, marked, told.who, replace=told.replace)
    if told.json:
        sys.stdout.write(json.dumps(asdict(done)) + "\n")
    else:
        sys.stdout.write(
            f"tiles decided: {done.verdicts}, news: {done.news}, rejected: {done.rejected}; boxes: {done.boxes}\n"
        )
