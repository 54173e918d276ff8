"""What a release leaves when it is changed, goes back, and goes."""

from __future__ import annotations

import json

import pytest
from hack.kind.programs import GROUND
from hack.kind.site import NAMESPACE
from tests.cluster.constellation import JOB, SATELLITE, Constellation

pytestmark = pytest.mark.timeout(900)


def test_upgrade_and_removal_leave_the_data(constellation: Constellation) -> None:
    programs = constellation.programs
    release = ["orbitloop", "-n", NAMESPACE, "--kube-context", "kind-orbitloop"]
    flying = constellation.on_board()["flying"]
    index = programs.inside(GROUND, f"wc -l </data/{SATELLITE}/index.txt").strip()

    chart = "charts/orbitloop"
    programs.run(
        programs.helm,
        "upgrade",
        *release[:1],
        chart,
        *release[1:],
        "--reuse-values",
        "--set",
        "gateway.settings.access_log=true",
    )
    constellation.kube("-n", NAMESPACE, "rollout", "status", "statefulset/orbitloop-gateway", "--timeout=300s")
    programs.run(programs.helm, "rollback", *release)
    constellation.kube("-n", NAMESPACE, "rollout", "status", "statefulset/orbitloop-gateway", "--timeout=300s")
    assert constellation.on_board()["flying"] == flying
    assert int(programs.inside(GROUND, f"wc -l </data/{SATELLITE}/index.txt")) >= int(index)

    programs.run(programs.helm, "uninstall", *release)
    constellation.until(lambda: not constellation.objects("pods"), "no pod of ours is left", 180)
    kinds = "deployments,statefulsets,daemonsets,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies"
    left = json.loads(
        constellation.kube("-n", NAMESPACE, "get", kinds, "-o", "json", "-l", "app.kubernetes.io/instance=orbitloop")
    )
    assert left["items"] == []
    wide = "clusterroles,clusterrolebindings,validatingwebhookconfigurations"
    left = json.loads(constellation.kube("get", wide, "-o", "json", "-l", "app.kubernetes.io/instance=orbitloop"))
    assert left["items"] == []
    assert constellation.object("incrementallearningjob", JOB)["status"]["round"] > 1
    assert "state.json" in programs.inside(SATELLITE, "ls /var/lib/orbitloop/slots")
    assert "ledger.db" in programs.inside(GROUND, "ls /var/lib/orbitloop-ground")
