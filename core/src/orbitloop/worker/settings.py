"""A worker's settings: the environment that the Global Manager gives it, read when a job object is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from orbitloop.domain.errors import BadInput

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"", "0", "false", "no", "off"})


def environment() -> Mapping[str, str]:
    """The process's environment, as it is now."""
    return os.environ


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What the environment says; each field is the variable of the same name in capitals.

    Those that start with ``orbitloop_`` are additions, all others are Sedna's. URLs are paths, ``file://`` or
    ``http(s)://``; durations are seconds in the environment.

    Args:
        job_name: of the job; where it is not set, ``service_name`` names the owner.
        model_url: the model to serve; for training the folder (or file) that the new model goes to.
        base_model_url: what training starts from.
        model_urls: ``;``-separated, newest first: what an evaluation compares.
        model_name: file name of a trained model; where it is not set, ``model`` with the base model's suffix.
        model_load_mode: ``file``, or where else ``model_url`` is resolved, by the estimator itself.
        model_path: a path that replaces ``model_url`` where that is no file.
        backend_type: ``TORCH``, ``ONNX``, ``TENSORFLOW``, ``KERAS``, ``MINDSPORE``; found out where it is not set.
        mining_mode: ``inference-then-mining`` or ``mining-then-inference``.
        lc_server: the Local Controller; nothing is reported where it is not set.
        lc_period: between two reports of statistics.
        rank: this process among those that train together, as torchrun numbers them: only rank 0 saves and reports.
        local_rank: the same among those of its pod.
        orbitloop_termination_log: the file for the result of a training or evaluation, from which Kubernetes takes the
            container's termination message.
        orbitloop_report_timeout_seconds: longest silence of the Local Controller before a try has failed.
        orbitloop_report_tries: how often a report is tried; waits between tries double from half a second.
        orbitloop_cloud_timeout_seconds: longest silence of the big model before the edge's result is used.
        orbitloop_cloud_pause_seconds: how long the big model is not asked again after it did not answer.
        orbitloop_cloud_encoding: ``json`` as Sedna's servers read it, or ``npz``.
        orbitloop_most_request_bytes: largest body that a big model takes.
    """

    namespace: str = "default"
    job_name: str = ""
    service_name: str = ""
    worker_name: str = ""
    lc_server: str = ""
    lc_period: timedelta = timedelta(seconds=30)
    base_model_url: str = ""
    pretrained_model_url: str = ""
    model_url: str = ""
    model_urls: str = ""
    model_name: str = ""
    model_load_mode: str = "file"
    model_path: str = ""
    train_dataset_url: str = ""
    test_dataset_url: str = ""
    original_dataset_url: str = ""
    data_path_prefix: str = "/home/data"
    hem_name: str = ""
    hem_parameters: str = ""
    mining_mode: str = "inference-then-mining"
    model_hot_update: bool = False
    model_poll_period_seconds: timedelta = timedelta(seconds=60)
    model_hot_update_config: str = "/model-hot-update/model_config.json"
    big_model_ip: str = ""
    big_model_port: int = 5000
    big_model_bind_ip: str = ""
    big_model_bind_port: int = 5000
    device_category: str = "CPU"
    backend_type: str = ""
    log_level: str = "INFO"
    rank: int = 0
    local_rank: int = 0
    parameters: str = ""
    transmitter: str = "ws"
    agg_data_path: str = ""
    s3_endpoint_url: str = ""
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    orbitloop_termination_log: str = ""
    orbitloop_report_timeout_seconds: timedelta = timedelta(seconds=5)
    orbitloop_report_tries: int = 5
    orbitloop_cloud_timeout_seconds: timedelta = timedelta(seconds=5)
    orbitloop_cloud_pause_seconds: timedelta = timedelta(seconds=10)
    orbitloop_cloud_encoding: str = "json"
    orbitloop_most_request_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        _one_of("MINING_MODE", self.mining_mode, ("inference-then-mining", "mining-then-inference"))
        _one_of("ORBITLOOP_CLOUD_ENCODING", self.orbitloop_cloud_encoding, ("json", "npz"))
        for name in ("big_model_port", "big_model_bind_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise BadInput(f"{name.upper()} is {getattr(self, name)}; a port lies between 0 and 65535")
        for name in ("orbitloop_report_tries", "orbitloop_most_request_bytes"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name.upper()} is {getattr(self, name)}; it must be at least 1")

    @property
    def owner(self) -> str:
        """The job or service that the worker belongs to."""
        return self.job_name or self.service_name

    @property
    def urls_to_evaluate(self) -> tuple[str, ...]:
        """The models that an evaluation compares, newest first."""
        return tuple(url for url in self.model_urls.split(";") if url)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadInput(f"{name} is {value!r}; it must be one of {', '.join(known)}")


def read_settings(given: Mapping[str, str]) -> WorkerSettings:
    """The settings in ``given``, usually :func:`environment`; what is empty or missing has its default.

    Raises:
        BadInput: a variable cannot be read; the message names it.
    """
    defaults = WorkerSettings()
    read: dict[str, object] = {}
    for name in WorkerSettings.__slots__:
        text = given.get(name.upper(), "")
        if text:
            read[name] = _as_like(name.upper(), text, getattr(defaults, name))
    return WorkerSettings(**read)  # type: ignore[arg-type]  # each is of its default's type


def _as_like(name: str, text: str, default: object) -> object:
    match default:
        case bool():
            return _as_flag(name, text)
        case int():
            return int(_as_number(name, text, whole=True))
        case timedelta():
            return timedelta(seconds=_as_number(name, text, whole=False))
        case _:
            return text


def _as_flag(name: str, text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise BadInput(f"{name} is {text!r}; write true or false")
    return text.lower() in TRUE


def _as_number(name: str, text: str, *, whole: bool) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError as error:
        raise BadInput(f"{name} is {text!r}, which is no {'whole ' if whole else ''}number") from error
    if not 0 <= number < 10**12 or (not whole and number > 10**8):
        raise BadInput(f"{name} is {text!r}; it must be a number from 0 on, and finite")
    return number
