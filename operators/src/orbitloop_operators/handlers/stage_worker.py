"""The worker of a round's stage: its pod is made, watched, and what it made is taken over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import Phase, RoundModel
from orbitloop.api.sedna_v1alpha1.parts import ConditionType
from orbitloop.domain.errors import BadInput
from orbitloop.domain.learning import Stage
from orbitloop.domain.triggers import deployment_metrics
from orbitloop.wire.worker_messages import WorkerKind
from orbitloop_operators.handlers.changes import Document, Key, Severity
from orbitloop_operators.handlers.pod_states import Blocked, Ended, Pending, Running, has_ended, is_leaving, pod_state
from orbitloop_operators.handlers.queues import is_held
from orbitloop_operators.handlers.round_state import output_data
from orbitloop_operators.handlers.stage_groups import stage_objects
from orbitloop_operators.handlers.stage_pods import (
    candidate_of,
    named_by_template,
    old_model,
    pod_name,
    stage_pod,
    worker_type_of,
)
from orbitloop_operators.handlers.whereabouts import Step, Whereabouts
from orbitloop_operators.handlers.worker_groups import is_over
from orbitloop_operators.handlers.worker_pods import is_made_from
from orbitloop_operators.handlers.worker_results import (
    Result,
    check_digest,
    measured,
    metrics_text,
    read_last_words,
    read_report,
    trained_model,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageWorker(Whereabouts):
    """The pod of the stage, at its round and attempt."""

    @property
    def name(self) -> str:
        """The name of the stage's pod."""
        return pod_name(self.scene.owner.name, self.stage, self.status.round, self.status.attempt)

    def start(self) -> Step:
        """Start the worker, once no other one of the stage is left."""
        if others := self._others():
            names = ", ".join(one["metadata"]["name"] for one in others)
            delete = tuple(Key.of(one) for one in others if not is_leaving(one))
            return Step(status=self.saying(f"waits until pod {names} has ended"), delete=delete)
        if taken := self.scene.taken(self.name):
            return Step(status=self.saying(taken))
        pod = stage_pod(self.scene, self.status, self.platform)
        step = self.to(ConditionType.STARTING, message=f"pod {self.name} is made")
        return Step(status=step.status, create=(pod,), again=step.again)

    def _others(self) -> tuple[Document, ...]:
        """What must end first: pods of the stage whose containers may still run, or what makes them."""
        ours = (*self.scene.pods.values(), *self.scene.makers)
        there = [one for one in ours if worker_type_of(one) == self.stage.lower() and not self._is_wanted(one)]
        makers = [one for one in there if one["kind"] != "Pod" and not is_over(one)]
        pods = [one for one in there if one["kind"] == "Pod" and not has_ended(one)]
        return (*makers, *(pod for pod in pods if self.scene.maker_of(pod) not in makers))

    def _is_wanted(self, document: Document) -> bool:
        """Whether an object is a part of the worker that is to be started."""
        return (document["kind"], document["metadata"]["name"]) == ("Pod", self.name)

    def look(self) -> Step:
        """How the pod does."""
        pod = self.scene.pods.get(self.name)
        if pod is None:
            return self._gone()
        state = pod_state(pod)
        if is_leaving(pod) and not isinstance(state, Ended):
            return Step(status=self.saying(self._leaving(self.name)))
        match state:
            case Pending():
                return self._pending(pod)
            case Blocked():
                return self._blocked(pod, state)
            case _ if self.status.state is ConditionType.STARTING:
                return self.to(ConditionType.RUNNING, message=f"pod {self.name} runs")
            case Running():
                return Step(status=self.saying(f"pod {self.name} runs"))
            case Ended():
                return self._ended(pod, state)
            case _:
                assert_never(state)

    def _gone(self) -> Step:
        if self.status.state is ConditionType.RUNNING:
            return self.fail("WorkerGone", f"pod {self.name} was deleted while it ran")
        again = self.start()
        if not again.create:
            return again
        return Step(status=self.saying(f"pod {self.name} is made"), create=again.create)

    def _leaving(self, name: str) -> str:
        return (
            f"pod {name} was deleted, and has not ended yet; if its node is gone for good: kubectl delete pod "
            f"-n {self.scene.owner.namespace} {name} --force"
        )

    def _pending(self, pod: Document) -> Step:
        if (lacks := self._lacks_node(pod)) is not None:
            return self._blocked(pod, lacks)
        if is_held(pod):
            return Step(status=self.saying(f"pod {self.name} waits in its queue"))
        return Step(status=self.saying(f"pod {self.name} starts"))

    def _lacks_node(self, pod: Document) -> Blocked | None:
        node = (pod.get("spec") or {}).get("nodeName", "")
        if not node or not self.scene.lacks_node(node):
            return None
        remedy = "join it to the cluster, or correct nodeName in the template or in the Dataset"
        return Blocked(reason="UnknownNode", message=f"there is no node {node}; {remedy}")

    def _blocked(self, pod: Document, state: Blocked) -> Step:
        """The pod cannot start: that is no failed attempt. If the job's spec has changed, the pod is made anew."""
        if state.subject and state.subject in self.status.last_error and self.status.phase is Phase.BLOCKED:
            message = self.status.last_error  # between two tries the kubelet says less than at the first one
        else:
            message = f"pod {pod['metadata']['name']} cannot start: {state.message}"
        status = self.saying(message).model_copy(update={"phase": Phase.BLOCKED, "last_error": message})
        if outdated := self._outdated():
            return Step(status=status, delete=outdated)
        return Step(status=status).telling(Severity.WARNING, state.reason, message)

    def _outdated(self) -> tuple[Key, ...]:
        """The pod, if another one is wanted now."""
        wanted = {Key.of(one): one for one in stage_objects(self.scene, self.status, self.platform)}
        key = self.key(self.name)
        return () if key in wanted and is_made_from(self.scene.pods[self.name], wanted[key]) else (key,)

    def _ended(self, pod: Document, state: Ended) -> Step:
        if not state.well:
            return self.fail("WorkerFailed", self._why(self.name, state))
        try:
            result = self._result(pod, state)
            if result is None:
                return self._without_result(pod, state)
            if not result.well:
                return self.fail("WorkerFailed", f"pod {self.name}: {result.why}")
            return self._done(pod, result)
        except BadInput as error:
            return self.fail("BadResult", f"pod {self.name}: {error}")

    def _why(self, name: str, state: Ended) -> str:
        """Why a worker failed: what it says itself, where that can be read."""
        try:
            result = read_last_words(state.said, WorkerKind(self.stage.lower()))
        except BadInput:
            result = None  # the last lines of its log, which are in ``why``
        said = result.why if result is not None and result.why else state.why
        return f"pod {name} failed: {said}"

    def _result(self, pod: Document, state: Ended) -> Result | None:
        kind = WorkerKind(self.stage.lower())
        report = self._report(pod, kind)
        if report is not None and not _is_json(state.said):
            return report
        words = read_last_words(state.said, kind)
        if report is not None and report.well and words is not None and words.well and words.why:
            return report  # last words are short: where they leave something out, they say so
        return words

    def _report(self, pod: Document, kind: WorkerKind) -> Result | None:
        report = self.scene.report((pod.get("spec") or {}).get("nodeName", ""))
        if report is None:
            return None
        return read_report(report.worker(self.scene.owner.namespace, pod["metadata"]["name"]), kind)

    def _without_result(self, pod: Document, state: Ended) -> Step:
        """The worker did well, and says nothing: perhaps its node will."""
        until = None if state.at is None else state.at + self.patience.for_report
        if until is not None and until > self.now:
            return Step(
                status=self.saying(f"waits for the report of pod {pod['metadata']['name']}"), again=until - self.now
            )
        named = named_by_template(self.scene, self.status) if self.stage is Stage.TRAIN else None
        if named is not None:
            return self._done(pod, Result(well=True, models=(named,)))
        raise BadInput(
            "it ended well, and neither its last words nor its node's Local Controller say what it made; use the "
            "worker library of orbitloop, or run a Local Controller at LC_SERVER for the original one"
        )

    def _done(self, pod: Document, result: Result) -> Step:
        """The worker did its part: what it made is in the status."""
        match self.stage:
            case Stage.TRAIN:
                made = trained_model(result.models, self.scene.spec.output_dir)
                node = (pod.get("spec") or {}).get("nodeName", "")
                return self._succeeded((made,), _noted(f"trained {made.url}", result), candidate=made, node=node)
            case Stage.EVAL:
                return self._evaluated(result)
            case Stage.DEPLOY:
                return self._deployed(result)
            case _:
                assert_never(self.stage)

    def _evaluated(self, result: Result) -> Step:
        candidate = candidate_of(self.status)
        new, old = measured(result.models, candidate.digest)
        judged = candidate.model_copy(update={"metrics": metrics_text(deployment_metrics(new, old))})
        before = old_model(self.scene, self.status).model_copy(update={"metrics": metrics_text(old)})
        shown = (candidate.model_copy(update={"metrics": metrics_text(new)}), before)
        return self._succeeded(shown, _noted("evaluated", result), candidate=judged)

    def _deployed(self, result: Result) -> Step:
        new = candidate_of(self.status)
        for model in result.models[:1]:
            check_digest(model, new.digest, "deployed")
            new = new.model_copy(update={"digest": model.digest or new.digest})
        inference = self.status.inference
        if not self.scene.spec.deploy_spec.model.hot_update_enabled:
            inference = tuple(one.model_copy(update={"revision": one.revision + 1}) for one in inference)
        return self._succeeded((new,), f"deployed {new.url}", deployed=new, flying=new.digest, inference=inference)

    def _succeeded(self, models: tuple[RoundModel, ...], message: str, **more: Any) -> Step:
        step = self.to(ConditionType.COMPLETED, message=message, data=output_data(models), last_error="", **more)
        return step.telling(Severity.NORMAL, f"{self.stage}Completed", f"round {self.status.round}: {message}")


def _noted(message: str, result: Result) -> str:
    return f"{message}; {result.why}" if result.why else message


def _is_json(said: tuple[str, ...]) -> bool:
    return any(text.lstrip().startswith("{") for text in said)
