"""What the operators are told from outside; read once.

Options of the command come before ``ORBITLOOP_OPERATORS_*`` of the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orbitloop.domain.errors import BadInput
from orbitloop.wire.complaints import first_complaint
from orbitloop_operators.handlers.registry import Rules

_PREFIX = "ORBITLOOP_OPERATORS_"


class OperatorSettings(BaseSettings):
    """Settings of the Global Manager.

    Attributes:
        kubeconfig: how to reach the API server; by default as a pod does, else as kubectl does.
        namespaces: watch only these; none: all.
        lease: whether to wait for, and hold, a Lease, so that of several operators one writes.
        lease_namespace: where the Lease is.
        lease_name: what it is called.
        lease_identity: who we are to it, where no second process can have the same name: the name of a pod. One that
            is started again then need not wait for its own lease to run out. By default no two processes are the same.
        probes_host: address that /healthz, /readyz and /metrics are served on.
        probes_port: their TCP port; 0 takes a free one.
        admission: whether what users write is reviewed, where a ValidatingWebhookConfiguration is there for it.
        admission_name: what that is called.
        admission_host: address that reviews are answered on, over TLS.
        admission_port: their TCP port.
        gateway: admin port of the ground's gateway, ``http://host:port``, where nodes are that the cluster does not
            reach; ``None``: there are none.
        gateway_token: file with the token that it demands.
        at_once: objects that are worked on at a time.
        local_controller: what workers are told their Local Controller is at.
        tools_image: image with orbitloop's worker tools, for the init containers of worker pods.
        transformer_image: image of transformations whose template names none.
        autoscaling_version: of HorizontalPodAutoscalers: v2, or v2beta2 before Kubernetes 1.23; by default the API
            server is asked.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    kubeconfig: Path | None = None
    namespaces: tuple[str, ...] = ()
    lease: bool = True
    lease_namespace: str = Field(default="orbitloop-system", min_length=1)
    lease_name: str = Field(default="orbitloop-operators", min_length=1)
    lease_identity: str = ""
    probes_host: str = "127.0.0.1"
    probes_port: int = Field(default=8402, ge=0, lt=2**16)
    admission: bool = True
    admission_name: str = Field(default="orbitloop", min_length=1)
    admission_host: str = "127.0.0.1"
    admission_port: int = Field(default=8403, ge=0, lt=2**16)
    gateway: str | None = None
    gateway_token: Path | None = None
    at_once: int = Field(default=8, ge=1, le=64)
    local_controller: str = "http://localhost:9100"
    tools_image: str = "ghcr.io/orbitloop/orbitloop-edge:0.1.0"
    transformer_image: str = "ghcr.io/orbitloop/orbitloop-transformer:0.1.0"
    autoscaling_version: str | None = Field(default=None, pattern="^v2(beta2)?$")

    @model_validator(mode="after")
    def _gateway_is_let_in(self) -> Self:
        if (self.gateway is None) != (self.gateway_token is None):
            raise ValueError("gateway and gateway_token go together: give both, or neither")
        return self

    def rules(self, autoscaling_version: str, *, indexed_jobs: bool) -> Rules:
        """What the reconcilers are told."""
        return Rules(
            local_controller=self.local_controller,
            tools_image=self.tools_image,
            transformer_image=self.transformer_image,
            autoscaling_version=autoscaling_version,
            indexed_jobs=indexed_jobs,
        )

    @classmethod
    def read(cls, given: dict[str, Any]) -> Self:
        """Settings of the command: ``given`` options, then the environment.

        Raises:
            BadInput: one of them is unknown or out of range.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise BadInput(
                f"settings of the operators: {first_complaint(error)}; give it as {_PREFIX}… or as an option"
            ) from None
