"""The worker of a stage where it is several pods: all of them must do well, and one of them has the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orbitloop.api.sedna_v1alpha1.parts import ConditionType
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Document, Key
from orbitloop_operators.handlers.pod_states import (
    Blocked,
    Ended,
    Pending,
    PodState,
    Running,
    has_ended,
    is_leaving,
    pod_state,
)
from orbitloop_operators.handlers.queues import is_held
from orbitloop_operators.handlers.stage_groups import Group, group_there, stage_objects
from orbitloop_operators.handlers.stage_worker import StageWorker
from orbitloop_operators.handlers.whereabouts import Step
from orbitloop_operators.handlers.worker_groups import is_over, is_suspended, size_of, why_failed, worker_of
from orbitloop_operators.handlers.worker_results import Result

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupWorker(StageWorker):
    """The pods of the stage, at its round and attempt."""

    @property
    def _group(self) -> Group:
        return group_there(self.scene, self.name)

    def start(self) -> Step:
        """Start the worker, once no other one of the stage is left, and none of this one that is not wanted so."""
        if self._others():
            return StageWorker.start(self)
        wanted = stage_objects(self.scene, self.status, self.platform)
        if outdated := self._group.others_than(wanted):
            return Step(status=self.saying(f"waits until the pods of {self.name} are made anew"), delete=outdated)
        if taken := self._taken(wanted):
            return Step(status=self.saying(taken))
        step = self.to(ConditionType.STARTING, message=self._made(wanted))
        return Step(status=step.status, create=wanted, again=step.again)

    def _is_wanted(self, document: Document) -> bool:
        return worker_of(document) == self.name

    def _taken(self, wanted: tuple[Document, ...]) -> str:
        keys = [Key.of(one) for one in wanted]
        taken = (self.scene.taken(key.name, key.api_version, key.kind) for key in keys)
        return next((why for why in taken if why), "")

    def _made(self, wanted: tuple[Document, ...]) -> str:
        if wanted[-1]["kind"] == "Pod":
            return f"{len(wanted) - 1} pods of worker {self.name} are made"
        return f"{wanted[-1]['kind']} {self.name} is made"

    def look(self) -> Step:
        """How the pods do."""
        group = self._group
        states = {name: pod_state(pod) for name, pod in group.members.items()}
        if bad := _first_failed(states):
            name, ended = bad
            return self._given_up(self.fail("WorkerFailed", self._why(name, ended)))
        if group.maker is not None and (why := why_failed(group.maker)):
            return self.fail("WorkerFailed", f"{group.maker['kind']} {self.name} failed: {why}")
        for name, pod in group.members.items():
            if is_leaving(pod) and not has_ended(pod):
                return Step(status=self.saying(self._leaving(name)))
        if (incomplete := self._incomplete(group)) is not None:
            return incomplete
        return self._complete(group, states)

    def _given_up(self, step: Step) -> Step:
        """One has failed: those of the others that we have made go; what else has made some ends them itself."""
        left = [one for one in self._group.members.values() if self.scene.owns(one)]
        delete = tuple(Key.of(one) for one in left if not has_ended(one) and not is_leaving(one))
        return replace(step, delete=delete)

    def _incomplete(self, group: Group) -> Step | None:
        """What is done about parts that are not there; ``None``: all are."""
        if self.status.state is ConditionType.RUNNING:
            return self._lost(group)
        wanted = stage_objects(self.scene, self.status, self.platform)
        absent = tuple(one for one in wanted if self.scene.view.get(Key.of(one)) is None)
        if absent:
            if outdated := group.others_than(wanted):
                return Step(status=self.saying(f"the pods of {self.name} are made anew"), delete=outdated)
            again = self.start()
            return Step(status=self.saying(again.status.message), create=again.create, delete=again.delete)
        if group.maker is not None and len(group.members) < size_of(group.maker):
            return Step(status=self.saying(self._awaited(group.maker, len(group.members))))
        return None

    def _lost(self, group: Group) -> Step | None:
        """A pod that ran is gone; of a Job and the like we hear what becomes of it."""
        if not group.members and (group.maker is None or is_over(group.maker)):
            return self.fail("WorkerGone", f"all of worker {self.name} was deleted while it ran")
        if group.maker is not None:
            return None
        number = max(size_of(one) for one in group.members.values())
        gone = [name for name in (f"{self.name}-{one}" for one in range(number)) if name not in group.members]
        if not gone:
            return None
        return self._given_up(self.fail("WorkerGone", f"pod {gone[0]} was deleted while it ran"))

    def _awaited(self, maker: Document, count: int) -> str:
        what, number = f"{maker['kind']} {self.name}", size_of(maker)
        if is_suspended(maker):
            return f"{what} waits in its queue"
        who = "the cluster" if maker["kind"] == "Job" else "Kubeflow"
        return f"{what} has {count} of its {number} pods; {who} makes them"

    def _complete(self, group: Group, states: Mapping[str, PodState]) -> Step:
        for name, pod in group.members.items():
            state = states[name]
            lacks = self._lacks_node(pod) if isinstance(state, Pending) else None
            if isinstance(found := lacks or state, Blocked):
                return self._blocked(pod, found)
        waiting = [name for name, state in states.items() if isinstance(state, Pending)]
        if waiting:
            held = is_held(group.members[waiting[0]])
            return Step(status=self.saying(f"pod {', '.join(waiting)} {'waits in its queue' if held else 'starts'}"))
        if self.status.state is ConditionType.STARTING:
            return self.to(ConditionType.RUNNING, message=f"{len(states)} pods of worker {self.name} run")
        running = [name for name, state in states.items() if isinstance(state, Running)]
        if running or self._is_short(group):
            return Step(status=self.saying(f"{len(running)} pods of worker {self.name} run"))
        return self._all_ended(group, {name: end for name, end in states.items() if isinstance(end, Ended)})

    def _is_short(self, group: Group) -> bool:
        """Whether there are to be more pods, which a Job and the like has lost, and makes again or fails over."""
        maker = group.maker
        return maker is not None and not is_over(maker) and len(group.members) < size_of(maker)

    def _outdated(self) -> tuple[Key, ...]:
        """All parts of the worker, if one of them would be made otherwise now."""
        group = self._group
        wanted = stage_objects(self.scene, self.status, self.platform)
        return tuple(Key.of(one) for one in group.parts()) if group.others_than(wanted) else ()

    def _all_ended(self, group: Group, ends: Mapping[str, Ended]) -> Step:
        """All did well by their exit codes; one of them, of whatever rank it was, says what was made."""
        found: dict[str, Result] = {}
        complaints: list[str] = []
        for name, end in ends.items():
            try:
                result = self._result(group.members[name], end)
            except BadInput as error:
                complaints.append(f"pod {name}: {error}")
                continue
            if result is not None and not result.well:
                return self.fail("WorkerFailed", f"pod {name}: {result.why}")
            if result is not None and result.models:
                found[name] = result
        last = max(ends, key=lambda name: ends[name].at or _LONG_AGO)
        name = next(iter(found), last)
        try:
            if found:
                return self._done(group.members[name], found[name])
            if complaints:
                return self.fail("BadResult", complaints[0])
            return self._without_result(group.members[name], ends[name])
        except BadInput as error:
            return self.fail("BadResult", f"pod {name}: {error}")


def _first_failed(states: Mapping[str, PodState]) -> tuple[str, Ended] | None:
    """The pod that failed first: the others fail because of it."""
    failed = {name: state for name, state in states.items() if isinstance(state, Ended) and not state.well}
    if not failed:
        return None
    name = min(failed, key=lambda one: (failed[one].at is None, failed[one].at or _LONG_AGO, one))
    return name, failed[name]
