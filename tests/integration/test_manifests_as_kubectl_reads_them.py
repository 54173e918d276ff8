"""Our reading of YAML beside that of kubectl, word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane import Cluster

from orbitloop_mission.manifests.documents import documents

GOLDEN = Path(__file__).parents[1] / "golden" / "manifests"

TABLE = """
20:00 1:30:15 on Yes y Y N no OFF yEs ~ Null nULL 0777 0o17 08 09.5 -010 0x1F 0X1f 0b101 -0b11 1_000 _1 1__0 1e3 1E+3
1e21 1e400 12e-1 .5 +.5 -.5 1. 1.50 1.2.3 2026-03-01 2026-3-1 2026-03-01T12:00:00Z + . 0x 0o 0b 1Gi 1500m 500 +12 -0
-0.0 +0x10 1.5e 0.1 100000000000000000 true TRUE tRUE 0.30000000000000004 127.0.0.1 1e1000 0b2 0o8 1e20 123456789012.5
"""
WORDS = TABLE.split()

TEXT = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: words}\ndata:\n"
    + "\n".join(f"  w{number}: {word}" for number, word in enumerate(WORDS))
    + """
  empty:
  tagged: [!!str 5, !!int "5", !!float 5, !!binary aGk=, ! 5]
  keys: {1: a, 1.5: b, on: c, 2026-01-01: d, 0x10: e}
  merged: {<<: [{a: 1}, {a: 2, b: 2}], c: 3}
  alias: [&x {a: 1}, *x]
  block: |
    one
      two
  folded: >-
    one
    two
"""
)


def test_each_word_is_what_kubectl_takes_it_for(cluster: Cluster) -> None:
    said = cluster.kubectl("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-", said=TEXT)
    theirs = json.loads(said)["data"]
    ours = documents(TEXT, "words", {})[0].document["data"]
    assert ours == theirs
    assert [type(ours[name]) for name in ours] == [type(theirs[name]) for name in ours]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_our_manifests_are_what_kubectl_takes_them_for(cluster: Cluster, path: Path) -> None:
    cluster.kubectl("apply", "-f", str(Path(__file__).parents[2] / "crds"))
    ours = [located.document for located in documents(path.read_text(), "golden", {})]
    said = cluster.kubectl("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", str(path))
    theirs: list[dict[str, Any]] = []
    decoder, rest = json.JSONDecoder(), said.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        theirs += document["items"] if document["kind"] == "List" else [document]
        rest = rest[end:].strip()
    for document in theirs:
        del document["metadata"]["namespace"]
    assert theirs == ours
