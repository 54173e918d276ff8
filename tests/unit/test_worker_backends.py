"""Estimators of any framework in the shape that jobs use."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from orbitloop.domain.errors import BadInput, Refused
from orbitloop.worker.backends import Backend, set_backend
from orbitloop.worker.backends.calls import call, is_maker
from orbitloop.worker.backends.onnx_backend import OnnxBackend
from orbitloop.worker.backends.torch_backend import TorchBackend
from orbitloop.worker.settings import read_settings


class Data:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y


class Net(torch.nn.Module):
    """Two classes from two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.layer(given)  # type: ignore[no-any-return]


def separable(count: int = 200) -> Data:
    x = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
    return Data(x, (x[:, 0] > x[:, 1]).astype(int))


def linear_graph(path: Path, weights: np.ndarray[Any, Any]) -> Path:
    """An ONNX file of ``y = x @ weights``."""
    rows, columns = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def backend(estimator: Any, **environment: str) -> Backend:
    return set_backend(estimator, read_settings(environment))


@pytest.mark.parametrize(
    ("estimator", "asked", "kind", "suffix"),
    [
        (Net, "", TorchBackend, ".pth"),
        (Net(), "", TorchBackend, ".pth"),
        (object(), "TORCH", TorchBackend, ".pth"),
        (None, "", OnnxBackend, ".onnx"),
        (object(), "onnx", OnnxBackend, ".onnx"),
        (object(), "", Backend, ""),
        (object(), "TENSORFLOW", Backend, ".pb"),
        (object(), "KERAS", Backend, ".pb"),
        (object(), "MINDSPORE", Backend, ".ckpt"),
        (object(), "SKLEARN", Backend, ""),
    ],
    ids=[
        "torch class",
        "torch module",
        "torch asked for",
        "nothing but a model",
        "onnx asked for",
        "other",
        "tensorflow",
        "keras",
        "mindspore",
        "sklearn",
    ],
)
def test_the_backend_is_the_one_asked_for_or_found_out(
    estimator: Any, asked: str, kind: type[Backend], suffix: str
) -> None:
    made = backend(estimator, BACKEND_TYPE=asked)
    assert (type(made), made.suffix) == (kind, suffix)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [(Net, True), (functools.partial(Net), True), (separable, True), (Net(), False), (object(), False)],
    ids=["class", "partial", "function", "module that can be called", "instance"],
)
def test_a_model_that_can_be_called_is_not_taken_for_its_class(estimator: Any, expected: bool) -> None:
    assert is_maker(estimator) is expected


def test_user_code_gets_only_the_arguments_that_it_takes() -> None:
    assert call(lambda data, a=0: (data, a), "data", 1, a=2, b=3) == (1, 2)
    assert call(lambda samples, **more: (samples, more), "data", 1, b=3) == (1, {"b": 3})
    assert call(lambda *, data: data, "data", 1) == 1


# --- torch


def test_sednas_bug_that_torch_does_not_train_is_fixed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = separable()
    made = backend(Net)
    history = made.train(data, epochs=40, learning_rate=0.05, batch_size=64)
    assert history[-1] < history[0]
    path = made.save(str(tmp_path / "deep" / "model.pth"))
    assert made.evaluate(data, path)["accuracy"][0] > 0.95
    assert made.predict(data.x[:3]).shape == (3, 2)


def test_sednas_bug_that_torch_ignores_the_models_url_is_fixed(tmp_path: Path) -> None:
    for number in (1, 2):
        module = Net()
        torch.nn.init.constant_(module.layer.weight, number)
        torch.nn.init.zeros_(module.layer.bias)
        torch.save(module.state_dict(), tmp_path / f"{number}.pth")
    made = backend(Net)
    for number in (1, 2):
        made.load(str(tmp_path / f"{number}.pth"))
        assert made.predict([[1.0, 0.0]]).tolist() == [[number, number]]


def test_a_plain_module_starts_from_the_base_model(tmp_path: Path) -> None:
    trained = Net()
    torch.save(trained.state_dict(), tmp_path / "base.pth")
    made = backend(Net)
    made.start_from(str(tmp_path / "base.pth"))
    made.train(separable(8), epochs=0)
    assert torch.equal(made.estimator.layer.weight, trained.layer.weight)


def test_user_code_for_torch_keeps_its_own_methods(tmp_path: Path) -> None:
    class Own(Net):
        loaded = ""

        def train(self, train_data: Any = True, valid_data: Any = None, epochs: int = 1) -> Any:
            return ("trained", train_data, valid_data, epochs)

        def predict(self, data: Any, **_: Any) -> Any:
            return ("predicted", data)

        def evaluate(self, data: Any, model_path: str, **_: Any) -> Any:
            return {"precision": 0.5, "path": len(model_path)}

        def load(self, model_url: str) -> None:
            self.loaded = model_url

        def save(self, model_path: str) -> None:
            Path(model_path).write_text("mine")

    made = backend(Own)
    made.start_from("/nowhere/base.pth")
    assert made.train(1, 2, epochs=3) == ("trained", 1, 2, 3)
    assert made.predict(4) == ("predicted", 4)
    assert made.evaluate(5, "/a") == {"precision": 0.5, "path": 2}
    made.load("/b.pth")
    assert made.estimator.loaded == "/b.pth"
    assert Path(made.save(str(tmp_path / "m.pth"))).read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"no weights", None], ids=["empty", "text", "missing"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=r"m\.pth does not load into Net"):
        backend(Net).load(str(path))


def test_weights_of_another_module_are_refused_and_a_copy_is_left_alone(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "m.pth")
    module = Net()
    other = backend(module).fresh()
    assert other is not None
    with pytest.raises(BadInput, match="does not load"):
        other.load(str(tmp_path / "m.pth"))
    assert other.estimator is not module


def test_a_model_that_runs_code_when_it_is_read_is_refused(tmp_path: Path) -> None:
    torch.save(Net(), tmp_path / "whole.pth")
    with pytest.raises(BadInput, match="does not load"):
        backend(Net).load(str(tmp_path / "whole.pth"))


# --- ONNX


def test_a_graph_predicts_and_is_measured_without_an_estimator(tmp_path: Path) -> None:
    path = linear_graph(tmp_path / "m.onnx", np.array([[1.0, -1.0], [-1.0, 1.0]]))
    made = backend(None)
    data = separable()
    assert made.evaluate(Data(data.x, 1 - data.y), str(path)) == {"accuracy": [1.0]}
    made.load(str(path))
    assert made.predict([[1, 0]]).tolist() == [[1, -1]]


def test_a_second_graph_is_a_backend_of_its_own(tmp_path: Path) -> None:
    one = backend(None)
    one.load(str(linear_graph(tmp_path / "1.onnx", np.eye(2))))
    two = one.fresh()
    assert two is not None
    two.load(str(linear_graph(tmp_path / "2.onnx", 2 * np.eye(2))))
    assert one.predict([[1, 0]]).tolist() == [[1, 0]]
    assert two.predict([[1, 0]]).tolist() == [[2, 0]]


@pytest.mark.parametrize("content", [b"", b"no graph", None], ids=["empty", "text", "missing"])
def test_a_file_that_is_no_graph_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=r"m\.onnx"):
        backend(None).load(str(path))


def test_a_graph_is_not_trained_here() -> None:
    with pytest.raises(Refused, match="export it in save"):
        backend(None).train(separable())


def test_a_prediction_without_a_model_says_what_to_set() -> None:
    with pytest.raises(BadInput, match="MODEL_URL"):
        backend(None).predict([[1, 0]])


# --- by methods


@pytest.mark.parametrize(
    ("ask", "method"),
    [
        (lambda made: made.train(1), "train"),
        (lambda made: made.evaluate(1, "/m"), "evaluate"),
        (lambda made: made.predict(1), "predict"),
        (lambda made: made.load("/m"), "load"),
        (lambda made: made.save("/m"), "save"),
    ],
    ids=["train", "evaluate", "predict", "load", "save"],
)
def test_a_method_that_is_missing_is_named(ask: Any, method: str) -> None:
    class Bare: ...

    with pytest.raises(BadInput, match=rf"Bare has no method {method}\("):
        ask(Backend(Bare))


def test_an_evaluation_that_takes_no_path_has_the_model_loaded_before() -> None:
    class Own:
        loaded = ""

        def load(self, model_url: str) -> None:
            self.loaded = model_url

        def evaluate(self, data: Any) -> dict[str, Any]:
            return {"of": self.loaded, "data": data}

    assert Backend(Own).evaluate(1, "/new") == {"of": "/new", "data": 1}


@pytest.mark.parametrize("habit", ["as asked", "suffix behind", "says another"])
def test_a_saved_model_is_found_where_it_was_written(tmp_path: Path, habit: str) -> None:
    class Own:
        def save(self, path: str) -> str | None:
            if habit == "as asked":
                Path(path).write_text("m")
                return None
            if habit == "suffix behind":
                np.savez(path, a=np.zeros(1))
                return None
            Path(tmp_path, "elsewhere.pb").write_text("m")
            return str(tmp_path / "elsewhere.pb")

    written = Backend(Own).save(str(tmp_path / "model"))
    assert Path(written).is_file()


def test_a_save_that_writes_nothing_is_refused(tmp_path: Path) -> None:
    class Own:
        def save(self, path: str) -> None: ...

    with pytest.raises(BadInput, match="left no model"):
        Backend(Own).save(str(tmp_path / "model"))
