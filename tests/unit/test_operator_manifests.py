"""What the manifests let the Global Manager do is what its code asks for, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orbitloop.api.kinds import KINDS
from orbitloop_operators.handlers.watched import watched
from orbitloop_operators.http.webhook import PATH

FOLDER = Path(__file__).parents[2] / "operators" / "manifests"
DOCUMENTS: list[dict[str, Any]] = [
    document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]


def role(kind: str, name: str) -> list[dict[str, Any]]:
    [found] = [one for one in DOCUMENTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    rules: list[dict[str, Any]] = found["rules"]
    return rules


def granted(rules: list[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """Verbs by group and resource."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                verbs.setdefault((group, resource), set()).update(rule["verbs"])
    return verbs


OPERATOR = granted(role("ClusterRole", "orbitloop-operators"))


@pytest.mark.parametrize("kind", watched("v2"), ids=lambda kind: kind.kind)
def test_what_is_watched_may_be_watched(kind: Any) -> None:
    group = kind.api_version.rpartition("/")[0]
    assert OPERATOR[group, kind.plural] >= {"get", "list", "watch"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_of_what_users_write_the_status_alone_is_written(kind: Any) -> None:
    made = {"create", "update"} if kind.name == "SelectionLogic" else set()  # of transformations
    assert OPERATOR[kind.group, kind.plural] == {"get", "list", "watch"} | made
    assert OPERATOR[kind.group, f"{kind.plural}/status"] == {"patch"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_who_may_edit_a_namespace_may_edit_every_kind_in_it(kind: Any) -> None:
    editor, reader = granted(role("ClusterRole", "orbitloop-edit")), granted(role("ClusterRole", "orbitloop-view"))
    assert editor[kind.group, kind.plural] == {"create", "delete", "deletecollection", "patch", "update"}
    assert reader[kind.group, kind.plural] == {"get", "list", "watch"}


def test_people_write_no_status() -> None:
    assert not [resource for _, resource in granted(role("ClusterRole", "orbitloop-edit")) if "/" in resource]


def test_nothing_is_granted_by_a_wildcard_and_no_secret_at_all() -> None:
    for document in DOCUMENTS:
        for rule in document.get("rules", ()):
            if "verbs" in rule:
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
                assert "secrets" not in rule["resources"]


def test_every_namespaced_object_is_in_the_operators_namespace() -> None:
    everywhere = {"Namespace", "ClusterRole", "ClusterRoleBinding", "ValidatingWebhookConfiguration"}
    for document in DOCUMENTS:
        if document["kind"] not in everywhere:
            assert document["metadata"]["namespace"] == "orbitloop-system"


def test_every_kind_is_reviewed_when_it_is_written() -> None:
    [webhooks] = [one["webhooks"] for one in DOCUMENTS if one["kind"] == "ValidatingWebhookConfiguration"]
    [webhook] = webhooks
    reviewed = {(rule["apiGroups"][0], plural) for rule in webhook["rules"] for plural in rule["resources"]}
    assert reviewed == {(kind.group, kind.plural) for kind in KINDS}
    assert all(rule["operations"] == ["CREATE", "UPDATE"] for rule in webhook["rules"])
    assert webhook["clientConfig"]["service"]["path"] == PATH
    assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Ignore", "None")
