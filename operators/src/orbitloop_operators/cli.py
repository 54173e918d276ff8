"""``orbitloop-operators``: the Global Manager, from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from orbitloop.domain.errors import OrbitloopError
from orbitloop_operators.app import operate
from orbitloop_operators.settings import OperatorSettings

Command = Callable[[argparse.Namespace], None]

_DESCRIPTION = """\
The Global Manager: watches Sedna's and orbitloop's kinds in a Kubernetes cluster and runs their workers.
The definitions must be there first: kubectl apply -f crds/
"""
_EXAMPLES = """\
examples:
  orbitloop-operators run --kubeconfig ~/.kube/config --no-lease
  orbitloop-operators run --namespaces missions --probes-port 0
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 1 with a line on standard error that says why."""
    told = _parser().parse_args(arguments)
    command: Command = told.command
    try:
        command(told)
    except OrbitloopError as error:
        sys.stderr.write(f"orbitloop-operators: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orbitloop-operators",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    says = "run the Global Manager until SIGTERM; its ports are one line of JSON on standard output"
    run = commands.add_parser("run", help=says, description=says)
    run.set_defaults(command=_run)
    run.add_argument("--kubeconfig", type=Path, help="how to reach the API server; else as a pod does, or as kubectl")
    run.add_argument("--namespaces", nargs="+", metavar="NAME", help="watch only these; by default all")
    run.add_argument("--no-lease", dest="lease", action="store_false", default=None, help="be the only operator")
    run.add_argument("--lease-namespace", help="where the Lease is by which one of several operators is chosen")
    run.add_argument("--lease-name", help="what it is called")
    run.add_argument("--lease-identity", help="who we are to it: the pod's name, if no other process can have it")
    run.add_argument("--probes-host", help="address of /healthz, /readyz and /metrics")
    run.add_argument("--probes-port", help="their TCP port; 0 takes a free one")
    run.add_argument("--no-admission", dest="admission", action="store_false", default=None, help="review nothing")
    run.add_argument("--admission-name", help="the ValidatingWebhookConfiguration that names this webhook")
    run.add_argument("--admission-host", help="address that reviews are answered on")
    run.add_argument("--admission-port", help="their TCP port")
    run.add_argument("--gateway", help="admin port of the ground's gateway, http://host:port, for nodes out of reach")
    run.add_argument("--gateway-token", type=Path, help="file with the token that it demands")
    run.add_argument("--at-once", help="objects that are worked on at a time")
    run.add_argument("--local-controller", help="where workers find their Local Controller")
    run.add_argument("--tools-image", help="image with orbitloop's worker tools, for init containers")
    run.add_argument("--transformer-image", help="image of transformations whose template names none")
    run.add_argument("--autoscaling-version", help="of HorizontalPodAutoscalers: v2, or v2beta2 before Kubernetes 1.23")
    return parser


def _run(told: argparse.Namespace) -> None:
    given = {name: getattr(told, name) for name in OperatorSettings.model_fields}
    operate(OperatorSettings.read({name: value for name, value in given.items() if value is not None}))
