"""What runs in the chart's pods, run as there: the gateway, an exporter, a satellite."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from s3fs import S3FileSystem
from tests.helm import Document, only, pod_specs, rendered
from tests.pods import USER, Pod, asks, free_port
from tests.postgresql import PostgreSQL

FIRST_MODEL = Path(__file__).parents[2] / "examples" / "models" / "airplane-1m"
FOLDER_MODE = "2775"


def gateway_pod(spec: Document, node: Path, keys: Path, token: Path) -> Pod:
    """The gateway's, with the volumes that a cluster gives it."""
    pod = Pod(spec, node)
    pod.folder_of("/secret/keys", "0755", *(path for path in (keys / "ground").iterdir() if path.is_file()))
    pod.folder_of("/secret/links", "0755", *(keys / "ground" / "links").iterdir())
    pod.folder_of("/token", "0755", token)
    pod.folder_of("/keys", "2777")
    pod.folder_of("/var/lib/orbitloop", FOLDER_MODE)
    pod.folder_of("/data", "0755")
    return pod


def test_a_gateway_finds_ledger_and_pixels_elsewhere_and_says_no_secret(
    keys: Path, tmp_path: Path, postgresql: PostgreSQL, s3_server: str
) -> None:
    admin = free_port()
    objects = {"kind": "s3", "bucket": "from-a-pod", "region": "us-east-1", "endpoint": s3_server}
    spec = pod_specs(rendered({"database": {"kind": "external"}, "objects": objects}))["orbitloop-gateway"]
    token = tmp_path / "token"
    token.write_text("a token that is long enough")
    place = postgresql.database()
    secrets = {
        "ORBITLOOP_GROUND_DATABASE": place.replace("postgres@", "postgres:sesame@"),
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "open-sesame",
    }
    [gateway] = [one for one in spec["containers"] if one["name"] == "gateway"]
    assert {entry["name"] for entry in gateway["env"] if "valueFrom" in entry} == secrets.keys()

    pod = gateway_pod(spec, tmp_path / "node", keys, token)
    pod.begins()
    pod.runs("keys")
    log = f"{tmp_path}/node/tmp/log"
    pod.runs("gateway", told=secrets, further=f" --port=0 --admin-port={admin} >{log} 2>&1 & gateway=$!")
    pod.says(asks(admin, "/healthz"))
    pod.says("kill $gateway; wait $gateway; cat @/tmp/log; ls -A @/var/lib/orbitloop")

    said = pod.ends()
    assert '{"status":"ok"}' in said
    assert '"admin"' in said
    assert "sesame" not in said
    assert not {"ledger.db", "blobs"} & set(said.split())
    schema = place.rpartition("%3D")[2]
    assert postgresql.does(f"SELECT count(*) FROM {schema}.positions") == "1"
    files = S3FileSystem(endpoint_url=s3_server, key="a-key", secret="a-secret", skip_instance_cache=True)
    assert files.exists("from-a-pod/in-use")


def test_gateway_and_exporter_run_as_nobody(keys: Path, tmp_path: Path) -> None:
    admin = free_port()
    values = {"gateway": {"exports": [{"satellite": "sat-1", "to": "/data/sat-1"}]}}
    spec = pod_specs(rendered(values))["orbitloop-gateway"]
    token = tmp_path / "token"
    token.write_text("a token that is long enough")
    pod = gateway_pod(spec, tmp_path / "node", keys, token)
    pod.begins()
    pod.runs("keys")
    pod.runs("folders")
    pod.runs("gateway", further=f" --port=0 --admin-port={admin} & gateway=$!")
    pod.says(asks(admin, "/healthz"))
    [exporter] = [one for one in spec["containers"] if one["name"] == "export-sat-1"]
    once = [argument for argument in exporter["args"] if not argument.startswith("--every")]
    pod.does(shlex.join([*exporter["command"], *once]), exporter, {})
    [root] = [one for one in spec["initContainers"] if one["name"] == "folders"]
    pod.does("touch /programs/mine 2>/dev/null && exit 1 || true", root, {})  # read only, for root too
    pod.says(
        "kill $gateway; wait $gateway; stat -c %u:%a @/var/lib/orbitloop/ledger.db @/keys/gateway.key @/data/sat-1"
    )

    said = pod.ends().splitlines()
    assert '{"status":"ok"}' in said
    assert '{"index": "/data/sat-1/index.txt", "lines": 0}' in said
    assert said[-3:] == [f"{USER}:644", f"{USER}:600", f"{USER}:755"]


def test_a_satellite_starts_on_a_node_that_is_root_s_and_takes_its_first_model_once(keys: Path, tmp_path: Path) -> None:
    port = free_port()
    local: dict[str, Any] = {
        "enabled": True,
        "model": "/srv/model",
        "stations": {"ground": {"gateway": f"https://127.0.0.1:{free_port()}"}},
    }
    documents = rendered({"localController": local})
    spec = pod_specs(documents)["orbitloop-local-controller"]
    config = tmp_path / "satellite.toml"
    text = only(documents, "ConfigMap", "orbitloop-local-controller")["data"]["satellite.toml"]
    config.write_text(text.replace("[local_controller]", f"[local_controller]\nport = {port}"))
    node = tmp_path / "node"

    pod = Pod(spec, node)
    pod.folder_of("/from", "0700", *(keys / "satellites" / "sat-1").iterdir())
    pod.folder_of("/config", "0755", config)
    pod.folder_of("/var/lib/orbitloop", "0755")
    pod.folder_of("/var/lib/orbitloop-frames", "0755")
    pod.folder_of("/node/var/lib/sedna/model-hot-update", "0755")
    pod.folder_of("/model", "0755", *FIRST_MODEL.iterdir())
    pod.begins()
    for _ in range(2):
        pod.runs("prepare", told={"SATELLITE": "sat-1"})
        pod.runs("install")
    pod.runs("local-controller", further=" 2>@/tmp/log & controller=$!".replace("@", str(node)))
    pod.says(asks(port, "/healthz"))
    pod.says("kill $controller; wait $controller")
    [runs] = spec["containers"]
    pod.does("orbitloop-edge status --json --config /run/orbitloop/satellite.toml", runs, {})

    said = pod.ends()
    assert said.count("flies from the next start on") == 1
    status = json.loads(said[said.index("{\n") :])
    assert status["satellite"] == "sat-1"
    assert status["flying"] is not None
