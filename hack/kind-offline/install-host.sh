#!/usr/bin/env bash
# A docker that can run kind's nodes: Debian's, unless one answers already.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

lock
answers() { "$DOCKER" info >/dev/null 2>&1; }

apt_install jq mmdebstrap zstd
answers || command -v dockerd >/dev/null || apt_install docker.io iptables

# Nodes are privileged containers: they ask for every capability that the kernel knows, and runc refuses where the
# machine itself lacks one. There, and only there, containers run through files/runc-capfilter.
all=$(((1 << ($(cat /proc/sys/kernel/cap_last_cap) + 1)) - 1))
ours=$((16#$(awk '/^CapBnd:/ {print $2}' /proc/self/status)))
if (((ours & all) != all)) && [[ $(id -u) == 0 ]]; then
  install -m 0755 "$HERE/files/runc-capfilter" /usr/local/sbin/runc-capfilter
  mkdir -p /etc/docker
  [[ -s /etc/docker/daemon.json ]] || echo '{}' >/etc/docker/daemon.json
  jq '.runtimes["runc-capfilter"].path = "/usr/local/sbin/runc-capfilter" | ."default-runtime" = "runc-capfilter"' \
    /etc/docker/daemon.json >/etc/docker/daemon.json.new
  if cmp -s /etc/docker/daemon.json.new /etc/docker/daemon.json; then
    rm /etc/docker/daemon.json.new
  else
    log "this machine lacks a capability: docker's default runtime becomes runc-capfilter (/etc/docker/daemon.json)"
    mv /etc/docker/daemon.json.new /etc/docker/daemon.json
    # A dockerd that runs reads its runtimes again; no container stops.
    if answers && [[ -s /var/run/docker.pid ]]; then kill -HUP "$(cat /var/run/docker.pid)"; sleep 1; fi
  fi
fi

if ! answers; then
  [[ $(id -u) == 0 ]] || die "docker does not answer; start it, and let this user use it: usermod -aG docker $(id -un)"
  lock
  log "starting dockerd; its log is $CACHE/dockerd.log"
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker || die "docker does not start; see: journalctl -u docker"
  else
    setsid nohup dockerd >"$CACHE/dockerd.log" 2>&1 </dev/null 9>&- &
  fi
  for _ in $(seq 60); do
    if answers; then break; fi
    sleep 0.5
  done
  answers || { tail -n3 "$CACHE/dockerd.log" >&2 || true; die "dockerd does not answer after 30 s; see above"; }
fi
