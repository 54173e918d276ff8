"""The pods that use a job's deployed model: one on the ground, or one a satellite; made again when they end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from orbitloop.api.sedna_v1alpha1.incremental_learning_job import InferenceWorker
from orbitloop.domain.errors import BadInput
from orbitloop_operators.handlers.changes import Document, Key, Severity
from orbitloop_operators.handlers.job_scene import Scene
from orbitloop_operators.handlers.pod_states import (
    Blocked,
    Ended,
    Pending,
    crash_of,
    has_ended,
    is_leaving,
    moment_of,
    pod_state,
)
from orbitloop_operators.handlers.stage_pods import Platform, inference_pod, worker_type_of
from orbitloop_operators.handlers.whereabouts import AT_ONCE, Patience, Step, soonest
from orbitloop_operators.handlers.worker_pods import Place, is_made_from

_LONGEST_ERROR = 600
"""Characters of what a node says went wrong that are passed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Post:
    """One place where the deployed model is used.

    Args:
        satellite: empty on the ground.
        prefix: of the names of its pods.
        place: where they go.
    """

    satellite: str
    prefix: str
    place: Place


def tended(scene: Scene, step: Step, platform: Platform, patience: Patience) -> Step:
    """The same step, and what is to be done about the inference workers.

    Raises:
        BadInput: the Model's URL is of a kind that a worker cannot be given.
    """
    posts = _posts(scene)
    if not posts:
        return step
    workers: list[InferenceWorker] = []
    known = {one.satellite: one for one in step.status.inference}
    create, again = list(step.create), step.again
    wanted: set[str] = set()
    for post in posts:
        before = known.get(post.satellite, InferenceWorker(satellite=post.satellite))
        done = _Tending(scene=scene, platform=platform, patience=patience, post=post, before=before).done()
        workers.append(done.worker)
        wanted.add(f"{post.prefix}{done.worker.revision}")
        create += done.create
        again = soonest(again, done.again)
        if done.worker.message and done.worker.message != before.message:
            step = step.telling(Severity.WARNING, "InferenceWorker", done.worker.message)
    delete = [Key.of(pod) for name, pod in _inference_pods(scene).items() if name not in wanted and not is_leaving(pod)]
    status = step.status.model_copy(update={"inference": tuple(workers)})
    return Step(
        status=status,
        create=tuple(create),
        delete=(*step.delete, *delete),
        notices=step.notices,
        again=again,
    )


def _posts(scene: Scene) -> tuple[_Post, ...]:
    name = scene.owner.name
    if len(scene.satellites) > 1:
        return tuple(
            _Post(
                satellite=one.name,
                prefix=f"{name}-inference-{one.name}-",
                place=Place(node=one.spec.node_name, in_orbit=True, strictly=True),
            )
            for one in scene.satellites
        )
    prefix = f"{name}-inference-"
    if scene.satellites:
        [only] = scene.satellites
        return (_Post(satellite=only.name, prefix=prefix, place=Place(node=only.spec.node_name, in_orbit=True)),)
    dataset = scene.dataset()
    return () if dataset is None else (_Post(satellite="", prefix=prefix, place=Place(node=dataset.spec.node_name)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    worker: InferenceWorker
    create: tuple[Document, ...] = ()
    again: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tending:
    """One post, as it was and as it is."""

    scene: Scene
    platform: Platform
    patience: Patience
    post: _Post
    before: InferenceWorker

    def done(self) -> _Done:
        """What is to be done."""
        model = self.scene.spec.deploy_spec.model.name
        if self.scene.model(model) is None:
            return self._as(
                "Blocked", f"there is no Model {model} in namespace {self.scene.owner.namespace}; create it"
            )
        wanted = inference_pod(self.scene, self._name, self.post.place, self.platform)
        pod = self.scene.pods.get(self._name)
        if pod is None:
            return self._absent(wanted)
        state = pod_state(pod)
        if isinstance(state, Ended):
            return self._ended(pod, state)
        if is_leaving(pod):
            return self._as("Ending")
        if not is_made_from(pod, wanted):
            return self._anew()  # its template, or the model's place, has changed
        match state:
            case Pending():
                return self._as("Pending")
            case Blocked(message=message, subject=subject):
                kept = subject and subject in self.before.message
                return self._as("Blocked", self.before.message if kept else f"pod {self._name}: {message}")
            case _:
                return self._running(pod)

    @property
    def _name(self) -> str:
        return f"{self.post.prefix}{self.before.revision}"

    def _running(self, pod: Document) -> _Done:
        crash = crash_of(pod, self.scene.now)
        if crash is None:
            return self._as("Running", self._behind())
        return _Done(worker=self._now("Running", f"pod {self._name}: {crash.message}"), again=crash.steady_after)

    def _behind(self) -> str:
        """Why the worker goes on with an older model than the one that flies; empty if nothing says that it does."""
        if not self.post.satellite:
            return ""
        head = f"{self.post.satellite} flies a model that it could not give to its inference worker: "
        report = self.scene.report(self.post.place.node)
        if report is None:  # nothing new was heard
            return self.before.message if self.before.message.startswith(head) else ""
        try:
            said = report.model(self.scene.owner.namespace, self.scene.owner.name)
        except BadInput as error:
            return f"{head}{error}"
        return f"{head}{said.error[:_LONGEST_ERROR]}" if said is not None and said.error else ""

    def _absent(self, wanted: Document) -> _Done:
        others = [
            name
            for name, pod in _inference_pods(self.scene).items()
            if name.startswith(self.post.prefix) and name[len(self.post.prefix) :].isdigit() and not has_ended(pod)
        ]
        if others:
            return self._as("Pending")  # the one before still ends
        if taken := self.scene.taken(self._name):
            return self._as("Blocked", taken)
        return _Done(worker=self._now("Pending"), create=(wanted,))

    def _ended(self, pod: Document, state: Ended) -> _Done:
        """It is made again, after a rest."""
        ended = state.at or moment_of(pod["metadata"].get("creationTimestamp"))
        rest = None if ended is None else ended + self.patience.back_off - self.scene.now
        if rest is not None and rest > AT_ONCE:
            why = f": {state.why}" if state.why else ""
            return _Done(worker=self._now("Ended", f"pod {self._name} ended, and is made again{why}"), again=rest)
        return self._anew()

    def _anew(self) -> _Done:
        worker = self.before.model_copy(update={"revision": self.before.revision + 1, "state": "Pending"})
        return _Done(worker=worker, again=AT_ONCE)

    def _as(self, state: str, message: str = "") -> _Done:
        return _Done(worker=self._now(state, message))

    def _now(self, state: str, message: str = "") -> InferenceWorker:
        return self.before.model_copy(update={"state": state, "message": message})


def _inference_pods(scene: Scene) -> dict[str, Document]:
    return {name: pod for name, pod in scene.pods.items() if worker_type_of(pod) == "inference"}
