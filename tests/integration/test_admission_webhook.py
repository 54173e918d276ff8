"""Admission on a real API server: who writes what is wrong is told so at once, by kubectl."""

from __future__ import annotations

import asyncio
import copy
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_plane import Cluster

from orbitloop.adapters.wall_clock import WallClock
from orbitloop.api.kinds import KINDS
from orbitloop.domain.errors import BadInput
from orbitloop_operators.adapters.api_server import ApiServer, configuration_from
from orbitloop_operators.adapters.authority import Authority, Serving
from orbitloop_operators.adapters.metrics import Metrics
from orbitloop_operators.adapters.registration import Registration
from orbitloop_operators.http.webhook import LARGEST_REVIEW, Webhook
from orbitloop_operators.usecases.admission import Admission
from orbitloop_operators.usecases.reviews import answer

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "tests" / "golden" / "manifests"
NAMESPACE = "reviewed"
DOCUMENTS: list[dict[str, Any]] = [
    document for path in sorted(MANIFESTS.iterdir()) for document in yaml.safe_load_all(path.read_text())
]


def a(kind: str) -> dict[str, Any]:
    return copy.deepcopy(next(document for document in DOCUMENTS if document["kind"] == kind))


def judge(review: Any) -> Any:
    return answer(review, lambda version: False)


# The webhook alone


@pytest.fixture(scope="module")
def serving() -> Serving:
    return Authority().make(["127.0.0.1"], WallClock().now())


@pytest.fixture
def webhook(serving: Serving) -> Iterator[Webhook]:
    made = Webhook("127.0.0.1", 0, judge)
    made.start(serving.chain, serving.key)
    yield made
    made.stop()


def trusting(serving: Serving) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=serving.authority.decode())


def asked(
    webhook: Webhook, serving: Serving, body: bytes, path: str = "/review", **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPSConnection("127.0.0.1", webhook.port, context=trusting(serving), timeout=20)
    try:
        connection.request("POST", path, body, headers)
        said = connection.getresponse()
        return said.status, json.loads(said.read())
    finally:
        connection.close()


def review(written: Any) -> bytes:
    request = {"uid": "u-1", "object": written}
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    ).encode()  # fmt: skip


def test_a_review_is_answered(webhook: Webhook, serving: Serving) -> None:
    status, said = asked(webhook, serving, review(a("Dataset")))
    assert (status, said["kind"], said["response"]) == (200, "AdmissionReview", {"uid": "u-1", "allowed": True})


@pytest.mark.parametrize(
    ("body", "path", "status", "said"),
    [
        pytest.param(b"{", "/review", 400, "a review is JSON", id="no JSON"),
        pytest.param(b"[" * 100_000, "/review", 400, "a review is JSON", id="brackets without end"),
        pytest.param(b"\xff\xfe", "/review", 400, "a review is JSON", id="no text"),
        pytest.param(b"[]", "/review", 400, "a review is an object", id="no object"),
        pytest.param(b"{}", "/review", 400, "no AdmissionReview of admission.k8s.io/v1", id="no review"),
        pytest.param(b"{}", "/", 404, "ask for /review", id="another path"),
    ],
)
def test_what_is_no_review_is_told_why(
    webhook: Webhook, serving: Serving, body: bytes, path: str, status: int, said: str
) -> None:
    got, document = asked(webhook, serving, body, path)
    assert got == status
    assert said in document["message"]
    assert asked(webhook, serving, review(a("Dataset")))[0] == 200


def test_a_body_without_bounds_is_not_read(webhook: Webhook, serving: Serving) -> None:
    assert asked(webhook, serving, b"", **{"Content-Length": str(LARGEST_REVIEW + 1)})[0] == 413
    assert asked(webhook, serving, b"", **{"Content-Length": "9" * 5000})[0] == 413
    assert asked(webhook, serving, b"", **{"Content-Length": "-1"})[0] == 411


def test_several_reviews_go_over_one_connection(webhook: Webhook, serving: Serving) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", webhook.port, context=trusting(serving), timeout=20)
    for _ in range(3):
        connection.request("POST", "/review", review(a("Model")))
        assert json.loads(connection.getresponse().read())["response"]["allowed"]
    connection.close()


def test_who_says_nothing_or_speaks_no_tls_holds_up_nobody(webhook: Webhook, serving: Serving) -> None:
    silent = [socket.create_connection(("127.0.0.1", webhook.port)) for _ in range(5)]
    silent[0].sendall(b"POST /review HTTP/1.1\r\n\r\n")
    assert asked(webhook, serving, review(a("Dataset")))[0] == 200
    for one in silent:
        one.close()


def test_another_certificate_is_shown_from_the_next_connection_on(webhook: Webhook, serving: Serving) -> None:
    another = Authority().make(["127.0.0.1"], WallClock().now())
    webhook.renew(another.chain, another.key)
    assert asked(webhook, another, review(a("Dataset")))[0] == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        asked(webhook, serving, review(a("Dataset")))


def test_whoever_is_still_connected_is_hung_up_on(webhook: Webhook, serving: Serving) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", webhook.port, context=trusting(serving), timeout=20)

    def ask_again() -> bytes:
        connection.request("POST", "/review", review(a("Model")))
        return connection.getresponse().read()

    assert ask_again()
    webhook.stop()
    with pytest.raises((OSError, http.client.HTTPException)):
        ask_again()
    connection.close()


def test_a_port_that_is_taken_is_said(webhook: Webhook, serving: Serving) -> None:
    with pytest.raises(BadInput, match="give another --admission-port, 0 for any"):
        Webhook("127.0.0.1", webhook.port, judge).start(serving.chain, serving.key)


def test_it_stops_and_starts_again(serving: Serving) -> None:
    webhook = Webhook("127.0.0.1", 0, judge)
    for _ in range(2):
        webhook.start(serving.chain, serving.key)
        assert asked(webhook, serving, review(a("Dataset")))[0] == 200
        webhook.stop()
        webhook.stop()


# On an API server


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """A cluster that asks the webhook, and the webhook."""

    cluster: Cluster
    admission: Admission
    webhook: Webhook

    def apply(self, document: dict[str, Any], *options: str) -> tuple[bool, str]:
        """Whether kubectl could, and what it said."""
        ran = self.cluster.try_kubectl("-n", NAMESPACE, "apply", *options, "-f", "-", said=json.dumps(document))
        return ran.returncode == 0, ran.stderr + ran.stdout


def registration(port: int) -> dict[str, Any]:
    """What the manifests register, for a webhook on this machine; a review that fails is seen to fail."""
    documents = yaml.safe_load_all((ROOT / "operators" / "manifests" / "3-admission.yaml").read_text())
    [made] = [one for one in documents if one["kind"] == "ValidatingWebhookConfiguration"]
    [webhook] = made["webhooks"]
    webhook |= {"failurePolicy": "Fail", "clientConfig": {"url": f"https://127.0.0.1:{port}/review"}}
    return dict(made)


@pytest.fixture(scope="module")
def reviewed(cluster: Cluster) -> Iterator[Reviewed]:
    cluster.kubectl("apply", "-f", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    cluster.kubectl("create", "namespace", NAMESPACE)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster.kubectl("apply", "-f", "-", said=json.dumps(registration(port)))
    server = ApiServer(configuration_from(cluster.plane.kubeconfig), Metrics(lambda: 0), threads=1)
    webhook = Webhook("127.0.0.1", port, judge)
    admission = Admission(Registration(server, "orbitloop"), webhook, Authority(), WallClock())
    asyncio.run(admission.keep())
    try:
        yield Reviewed(cluster=cluster, admission=admission, webhook=webhook)
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", "orbitloop")
        cluster.kubectl("-n", NAMESPACE, "delete", ",".join(f"{one.plural}.{one.group}" for one in KINDS), "--all")
        admission.stop()
        server.close()


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    holder: Any = document
    *parts, last = path.split(".")
    for part in parts:
        holder = holder[int(part)] if part.isdigit() else holder[part]
    holder[last] = value
    return document


JOB = "IncrementalLearningJob"
BAD = [
    (JOB, "spec.dataset.trainProb", 1.5, "spec.dataset.trainProb: must be above 0 and at most 1"),
    (JOB, "spec.trainSpec.trigger.timer.start", "8pm", "timer.start: must be a time of day, UTC, as HH:MM"),
    (JOB, "spec.trainSpec.trigger.condition.operator", "=>", "must be a comparison: one of gt, >, ge"),
    (JOB, "spec.trainSpec.trigger.condition.metric", "precision", "must be what is known before a round is trained"),
    (JOB, "spec.deploySpec.trigger.condition.metric", "precision[x]", "must be the name of a metric"),
    (JOB, "spec.deploySpec.hardExampleMining.name", "Hardest", "one of IBT, CrossEntropy, Threshold"),
    (JOB, "spec.deploySpec.hardExampleMining.parameters.0.value", "much", "must be a number from 0 to 1"),
    (JOB, "spec.evalSpec.template.spec.containers", [], "must have at least one container"),
    (JOB, "spec.outputDir", "output", "must be a folder: an absolute path, or s3://bucket/prefix"),
    ("Dataset", "spec.format", "coco", "must be txt or csv"),
    ("Dataset", "spec.url", "/data/../index.txt", "must not have .. in its path"),
    ("Model", "spec.url", "ftp://host/model", "must be a file: an absolute path on its node, or s3://bucket/key"),
    ("JointInferenceService", "spec.cloudWorker.hpa.maxReplicas", 0, "must have 1 <= minReplicas <= maxReplicas"),
    ("Satellite", "spec.elements", ["1 25544U", "2 25544"], "two lines of a two-line element set"),
    ("ContactPlan", "spec.windows.0.los", "2026-03-01T11:00:00Z", "must end after it begins"),
    ("SelectionLogic", "spec.digest", "md5:0", "must be the SHA-256 digest of the file"),
    ("LinkPolicy", "spec.codec", "heic", "must be an image codec: one of webp, jpeg, png, avif"),
]


@pytest.mark.parametrize(("kind", "path", "value", "said"), BAD, ids=lambda value: repr(value)[:40])
def test_kubectl_shows_what_is_wrong_where_and_what_to_do(
    reviewed: Reviewed, kind: str, path: str, value: Any, said: str
) -> None:
    document = changed(a(kind), path, value)
    accepted, told = reviewed.apply(document, "--dry-run=server")
    assert not accepted
    assert 'admission webhook "rules.orbitloop.io" denied the request: ' in told
    assert f"{kind} {document['metadata']['name']}: " in told
    assert said in told


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_what_is_right_passes(reviewed: Reviewed, document: dict[str, Any]) -> None:
    accepted, told = reviewed.apply(document)
    assert accepted, told


def test_a_change_is_reviewed_too_and_a_status_is_not(reviewed: Reviewed) -> None:
    dataset = a("Dataset")
    dataset["metadata"]["name"] = "changed"
    assert reviewed.apply(dataset)[0]
    assert not reviewed.apply(changed(copy.deepcopy(dataset), "spec.format", "coco"))[0]
    path = f"/apis/sedna.io/v1alpha1/namespaces/{NAMESPACE}/datasets/changed"
    seen = json.loads(reviewed.cluster.kubectl("get", "--raw", path))
    body = json.dumps(seen | {"status": {"numberOfSamples": 3}})
    reviewed.cluster.kubectl("replace", "--raw", f"{path}/status", "-f", "-", said=body)


def test_a_manifest_that_is_applied_again_keeps_the_authority(reviewed: Reviewed) -> None:
    reviewed.cluster.kubectl("apply", "-f", "-", said=json.dumps(registration(reviewed.webhook.port)))
    assert reviewed.apply(a("Model"))[0]


def test_a_registration_made_anew_gets_the_authority_again(reviewed: Reviewed) -> None:
    reviewed.cluster.kubectl("delete", "validatingwebhookconfiguration", "orbitloop")
    reviewed.cluster.kubectl("apply", "-f", "-", said=json.dumps(registration(reviewed.webhook.port)))
    asyncio.run(reviewed.admission.keep())
    until(lambda: reviewed.apply(a("Model"))[0])


def test_a_webhook_that_is_down_stops_no_mission(reviewed: Reviewed) -> None:
    port = reviewed.webhook.port
    ignoring = registration(port)
    ignoring["webhooks"][0]["failurePolicy"] = "Ignore"
    reviewed.cluster.kubectl("apply", "-f", "-", said=json.dumps(ignoring))
    reviewed.admission.stop()
    bad = changed(a("Dataset"), "spec.format", "coco") | {"metadata": {"name": "unseen"}}
    try:
        until(lambda: reviewed.apply(bad)[0])
    finally:
        reviewed.cluster.kubectl("apply", "-f", "-", said=json.dumps(registration(port)))
        asyncio.run(reviewed.admission.keep())
    labelled = bad | {"metadata": {"name": "unseen", "labels": {"a": "b"}}}
    until(lambda: reviewed.apply(labelled)[0])
    assert not reviewed.apply(changed(labelled, "spec.nodeName", "edge-9"))[0]


def until(holds: Callable[[], bool]) -> None:
    """Wait for what the API server does a moment after it was told; the test's own limit ends it."""
    while not holds():
        threading.Event().wait(0.1)
