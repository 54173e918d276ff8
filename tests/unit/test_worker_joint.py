"""Joint inference: the small model, the big one, and what lies between them."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from orbitloop.domain.errors import BadInput, NotYet, Refused
from orbitloop.testing.local_controller import RecordingLocalController
from orbitloop.worker import BigModelService, ClassFactory, ClassType, JointInference
from orbitloop.worker.cloud import BigModelClient
from orbitloop.worker.settings import WorkerSettings, read_settings
from orbitloop.worker.wire_data import read_request, request_body

HARD = {"method": "CloudOnly"}
EASY = {"method": "EdgeOnly"}


class Sum:
    """Adds everything up, and a number of its own."""

    def __init__(self, more: float = 0.0) -> None:
        self.more = more

    def predict(self, data: Any, **_: Any) -> Any:
        return np.asarray(data, float).sum(axis=-1) + self.more


@ClassFactory.register(ClassType.CALLBACK, alias="negated")
def negated(result: Any) -> Any:
    return -result


def settings(**given: str) -> WorkerSettings:
    return read_settings(
        {"SERVICE_NAME": "helmets", "BIG_MODEL_BIND_IP": "127.0.0.1", "BIG_MODEL_IP": "127.0.0.1"} | given
    )


@contextmanager
def served(estimator: Any, **given: str) -> Iterator[BigModelService]:
    service = BigModelService(estimator, settings=settings(BIG_MODEL_BIND_PORT="0", **given))
    service.bind()
    thread = threading.Thread(target=service.start, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join()


def edge(port: int, hem: dict[str, Any], **given: str) -> JointInference:
    return JointInference(Sum(), hem, settings=settings(BIG_MODEL_PORT=str(port), **given))


@contextmanager
def nobody() -> Iterator[int]:
    """A port where connections are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_hard_example_is_answered_by_the_big_model_and_an_easy_one_at_the_edge() -> None:
    with served(Sum(100)) as service:
        assert edge(service.port, HARD).inference([1, 2]) == [True, 103.0, 3.0, 103.0]
        assert edge(service.port, EASY).inference([1, 2]) == [False, 3.0, 3.0, None]


@pytest.mark.parametrize("encoding", ["json", "npz"])
def test_both_encodings_give_the_same_answer(encoding: str) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    with served(Sum(1)) as service:
        found = edge(service.port, HARD, ORBITLOOP_CLOUD_ENCODING=encoding).inference(image)
    assert found[1] == [7.0, 23.0, 39.0]


@pytest.mark.parametrize(
    ("post_process", "final"), [("negated", -103.0), (negated, 103.0)], ids=["a name", "a callable of the edge"]
)
def test_sednas_bug_that_the_big_model_never_post_processes_is_fixed(post_process: Any, final: float) -> None:
    with served(Sum(100)) as service:
        assert edge(service.port, HARD).inference([1, 2], post_process=post_process) == [True, final, 3.0, final]


def test_sednas_bug_that_mining_first_gives_the_whole_answer_is_fixed() -> None:
    with served(Sum(100)) as service:
        first = edge(service.port, HARD, MINING_MODE="mining-then-inference")
        assert first.inference([1, 2]) == [True, 103.0, None, 103.0]
    assert first.inference([1, 2]) == [True, 3.0, 3.0, None]  # the big model is gone: the edge answers
    easy = edge(1, EASY, MINING_MODE="mining-then-inference")
    assert easy.inference([1, 2]) == [False, 3.0, 3.0, None]


def test_mining_first_needs_a_miner() -> None:
    with pytest.raises(BadInput, match="HEM_NAME"):
        edge(1, {}, MINING_MODE="mining-then-inference")


def test_without_the_big_model_the_edges_result_stands() -> None:
    with nobody() as port:
        assert edge(port, HARD).inference([1, 2], post_process="negated") == [True, -3.0, 3.0, None]


def test_sednas_bug_that_every_frame_waits_for_a_lost_link_is_fixed() -> None:
    now = [0.0]
    with nobody() as port:
        client = BigModelClient(settings(BIG_MODEL_PORT=str(port)), seconds=lambda: now[0])
        with pytest.raises(NotYet, match="does not answer"):
            client.inference([1])
        now[0] = 9.9
        with pytest.raises(NotYet, match="a moment ago"):
            client.inference([1])
        now[0] = 10.1
        with pytest.raises(NotYet, match="does not answer"):
            client.inference([1])


def test_a_big_model_that_hangs_is_given_up() -> None:
    with RecordingLocalController(silent=True).running() as silent:
        port = int(silent.url.rpartition(":")[2])
        found = edge(port, HARD, ORBITLOOP_CLOUD_TIMEOUT_SECONDS="0.05").inference([1, 2])
    assert found == [True, 3.0, 3.0, None]


def test_a_server_of_sednas_is_asked_at_its_own_path() -> None:
    with served(Sum(100)) as service:
        elsewhere = edge(service.port, HARD, SERVICE_NAME="another-name")
        assert elsewhere.inference([1, 2]) == [True, 103.0, 3.0, 103.0]
        assert elsewhere.inference([1, 2])[1] == 103.0


def test_a_big_model_that_fails_leaves_the_edges_result() -> None:
    class Broken(Sum):
        def predict(self, data: Any, **_: Any) -> Any:
            raise MemoryError("no memory on the device")

    with served(Broken()) as service:
        assert edge(service.port, HARD).inference([1, 2]) == [True, 3.0, 3.0, None]


def test_the_address_of_the_big_model_is_asked_for() -> None:
    with pytest.raises(Refused, match="BIG_MODEL_IP"):
        BigModelClient(settings(BIG_MODEL_IP="")).inference([1])


def asked(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body=body, headers={name.replace("_", "-"): v for name, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["helmets", "sedna"])
def test_the_service_answers_to_its_own_name_and_to_sednas(name: str) -> None:
    body = json.dumps({"data": [[1, 2], [3, 4]], "callback": None}).encode()
    with served(Sum()) as service:
        assert asked(service.port, "POST", f"/{name}/predict", body) == (200, {"result": [3.0, 7.0]})
        status, answer = asked(service.port, "GET", f"/{name}")
    assert (status, answer["infos"][0]["service"]) == (200, "helmets")


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "says"),
    [
        ("/other/predict", b'{"data": 1}', "application/json", 404, "not served"),
        ("/helmets/predict", b"{", "application/json", 400, "no JSON"),
        ("/helmets/predict", b"[" * 100_000, "application/json", 400, "no JSON"),
        ("/helmets/predict", b"[1]", "application/json", 400, '"data"'),
        ("/helmets/predict", b'{"data": 1, "callback": 3}', "application/json", 400, "callback"),
        ("/helmets/predict", b'{"data": 1, "callback": "unheard"}', "application/json", 400, "unheard"),
        ("/helmets/predict", b"PK", "application/x-npz", 400, "npz"),
        ("/helmets/predict", b"\xff\xd8", "image/jpeg", 415, "application/x-npz"),
        ("/helmets/predict", b'{"data": "text"}', "application/json", 500, "predict failed"),
        ("/helmets/predict", b" " * 2000, "application/json", 413, "too large"),
    ],
)
def test_a_bad_request_gets_one_clear_answer_and_the_next_one_is_served(
    path: str, body: bytes, kind: str, status: int, says: str
) -> None:
    most = "1000" if status == 413 else "1000000"
    with served(Sum(), ORBITLOOP_MOST_REQUEST_BYTES=most) as service:
        found, answer = asked(service.port, "POST", path, body, Content_Type=kind)
        assert found == status
        assert says in answer["detail"]
        assert asked(service.port, "POST", "/helmets/predict", b'{"data": [1]}')[0] == 200


def test_an_array_that_would_run_code_is_refused() -> None:
    import io

    file = io.BytesIO()
    np.savez(file, data=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="npz"):
        read_request(file.getvalue(), "application/x-npz")


@pytest.mark.parametrize("encoding", ["json", "npz"])
@pytest.mark.parametrize("callback", [None, "negated"])
def test_a_request_reads_back_the_same(encoding: str, callback: str | None) -> None:
    data, named = read_request(*request_body(np.eye(2), callback, encoding, {}))
    assert (np.asarray(data).tolist(), named) == ([[1, 0], [0, 1]], callback)


def test_a_port_that_is_taken_is_named() -> None:
    with nobody() as port:
        service = BigModelService(Sum(), settings=settings(BIG_MODEL_BIND_PORT=str(port)))
        with pytest.raises(BadInput, match=rf"127\.0\.0\.1:{port} cannot be listened on"):
            service.bind()
