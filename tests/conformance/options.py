"""What the command line says of the implementation."""

from __future__ import annotations

import pytest

OPTIONS = {
    "kubeconfig": "FILE of the API server that the implementation runs on; else KUBECONFIG_CONFORMANCE, else ours is "
    "started",
    "local-controller": "URL of its Local Controller's port for workers; else ours is started",
    "count": "COMMAND that tells it how many samples a Dataset has; it is given namespace, Dataset and number",
    "node-root": "FOLDER that holds the node's files, where it makes what its jobs write",
}


def given_for(config: pytest.Config, name: str) -> str:
    """What the command line gives for an option, if anything."""
    return str(config.getoption(f"--conformance-{name}", default=""))
