"""Training in several processes, as torchrun has them: starting them, and being one of them.

The variables are torchrun's own: ``PET_NNODES``, ``PET_RDZV_ENDPOINT`` … stand for its options, and ``RANK``,
``WORLD_SIZE``, ``LOCAL_RANK`` are what it tells each process.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.elastic.rendezvous.api import RendezvousError, RendezvousTimeoutError

from orbitloop.domain.errors import BadInput, NotYet
from orbitloop_ground.adapters.yolo.peers import ALONE, Peers

_log = logging.getLogger(__name__)

_RESTARTS = "2"
"""How often the processes begin anew after one of them was lost, unless ``PET_MAX_RESTARTS`` says otherwise."""
_SILENCE = timedelta(minutes=5)
"""How long a process may keep the others waiting before it counts as lost."""
_STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"


def is_to_be_started(given: Mapping[str, str]) -> bool:
    """Whether several processes are asked for, and this one is not yet one of them."""
    if _STARTED_BY_TORCHRUN in given:
        return False
    pods = given.get("PET_NNODES", "1").rpartition(":")[2]
    each = given.get("PET_NPROC_PER_NODE", "1")
    return pods != "1" or each != "1"


def start(module: str, arguments: Sequence[str]) -> None:
    """Run ``python -m module arguments`` as this pod's processes of a training, until all have ended well.

    Raises:
        BadInput: a variable of torchrun's cannot be read.
        NotYet: processes failed more often than they may begin anew, or the other pods did not come. The message has
            the first failure of this pod.
    """
    from torch.distributed.run import parse_args, run

    os.environ.setdefault("PET_MAX_RESTARTS", _RESTARTS)
    # Else processes that begin anew find the addresses of those that are lost, and may wait for them for ever.
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    try:
        run(parse_args(["--module", module, *arguments]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise NotYet(f"process {rank} of the training failed: {_said(failure.message)}") from error
    except RendezvousTimeoutError as error:
        raise NotYet(
            f"not all pods of the training came in time ({error}); see why the others did not start"
        ) from error
    except RendezvousError as error:
        raise NotYet(
            f"the other pods of the training are gone, or cannot be reached ({error}); see their logs"
        ) from error
    except SignalException as error:
        raise NotYet(f"the training was ended by {error.sigval.name}") from error
    except ValueError as error:
        raise BadInput(f"the variables PET_… of torchrun cannot be used: {error}") from error


def _said(message: object) -> str:
    """The first line of why a process failed.

    What a process raised comes from torch's error file, as ``Type: text`` under ``message`` beside its call stack; how
    a process was lost comes as text.
    """
    while isinstance(message, Mapping) and "message" in message:
        message = message["message"]
    text = message if isinstance(message, str) else json.dumps(message)
    return text.strip().splitlines()[0] if text.strip() else "it does not say why"


def recording(work: Callable[[], None]) -> None:
    """Do the work; what it raises is left where :func:`start` reads it, and raised on."""
    record(work)()


@contextmanager
def joined(given: Mapping[str, str]) -> Iterator[Peers]:
    """The processes that this one trains with, for as long as the block lasts: torchrun's, or none.

    Raises:
        NotYet: the others did not come.
    """
    size = int(given.get("WORLD_SIZE", "1") or 1)
    if size == 1:
        yield ALONE
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(given.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        distributed.init_process_group("nccl" if gpu else "gloo", timeout=_SILENCE)
    except (RuntimeError, ValueError) as error:
        raise NotYet(f"the {size} processes of the training did not find each other: {error}") from error
    try:
        yield Peers(rank=distributed.get_rank(), size=size)
    finally:
        distributed.destroy_process_group()
