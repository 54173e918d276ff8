"""The token by which kopf is let in: in a pod as outside of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.config.incluster_config import InClusterConfigLoader

from orbitloop_operators.adapters.watches import bearer_token


def test_a_pod_shows_its_token_and_nothing_before_it(tmp_path: Path) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("abc.def")
    authority.write_text("an authority")
    told = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    made = client.Configuration()
    loader = InClusterConfigLoader(token_filename=token, cert_filename=authority, environ=told)  # type: ignore[no-untyped-call]
    loader.load_and_set(made)  # type: ignore[no-untyped-call]
    assert bearer_token(made) == "abc.def"


@pytest.mark.parametrize(
    ("key", "token"), [("Bearer abc", "abc"), ("bearer abc", "abc"), ("abc", "abc"), ("", None), ("Basic abc", None)]
)
def test_a_kubeconfig_s_token_comes_behind_a_word(key: str, token: str | None) -> None:
    made = client.Configuration()
    made.api_key["authorization"] = key
    assert bearer_token(made) == token
