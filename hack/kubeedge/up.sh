#!/usr/bin/env bash
# Gives a kind cluster satellites that are KubeEdge nodes: up.sh CLUSTER SATELLITE...
# cloudcore runs on the control plane. Each satellite is a container of the same node image, in which keadm has
# edgecore run and no kubelet does. Run again, it does what is left to do.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/nodes.sh"

(($# >= 2)) || die 'usage: up.sh CLUSTER SATELLITE...'
cluster=$1 ground=$1-control-plane
shift
version=${KUBEEDGE_VERSION:-v1.23.1}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/orbitloop/kubeedge
releases=https://github.com/kubeedge/kubeedge/releases/download

check() {
  "$docker" version >/dev/null 2>&1 || die "$docker does not answer; start it, or set DOCKER"
  running "$ground" || die "there is no running container $ground; first: kind create cluster --name $cluster"
  local satellite
  for satellite; do
    [[ $satellite =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] || die "$satellite cannot be a node's name: a-z, 0-9 and - only"
    exists "$satellite" || continue
    [[ $("$docker" inspect -f "{{index .Config.Labels \"$label\"}}" "$satellite") == "$cluster" ]] \
      || die "there is a container $satellite already, which is not ours; choose another name"
  done
}

# Sets keadm to a program that runs in the nodes, and version to its version.
find_keadm() {
  local arch
  if [[ ${KEADM:-} ]]; then
    keadm=$KEADM
    [[ -f $keadm && -x $keadm ]] || die "KEADM is $keadm, which is no program; correct it"
  else
    case $(inside "$ground" uname -m) in
      x86_64) arch=amd64 ;;
      aarch64) arch=arm64 ;;
      *) die "KubeEdge has no release for $(inside "$ground" uname -m); build keadm and set KEADM" ;;
    esac
    keadm=$cache/$version/$arch/keadm
    [[ -x $keadm ]] || download "keadm-$version-linux-$arch" "$keadm"
  fi
  bring "$ground"
  version=$(inside "$ground" keadm version --output short) || die "$keadm does not run in $ground; it must be for its architecture"
}

download() {
  local name=$1 to=$2
  log "fetching $name from KubeEdge's releases"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  local curl=(curl -fsSL --retry 2 --connect-timeout 20)
  "${curl[@]}" -o "$work/archive" "$releases/$version/$name.tar.gz" \
    && "${curl[@]}" -o "$work/sum" "$releases/$version/checksum_$name.tar.gz.txt" \
    || die "cannot fetch $releases/$version/$name.tar.gz; bring keadm $version from elsewhere and name it: KEADM=/path/to/keadm"
  [[ $(sha512sum <"$work/archive" | cut -d' ' -f1) == "$(tr -d '[:space:]' <"$work/sum")" ]] \
    || die "$name.tar.gz is not what its checksum says; try again, or set KEADM"
  tar -xzf "$work/archive" -C "$work" "$name/keadm/keadm"
  mkdir -p "$(dirname "$to")"
  install -m 0755 "$work/$name/keadm/keadm" "$to.part"
  mv "$to.part" "$to"
}

bring() { "$docker" cp -q "$keadm" "$1:/usr/local/bin/keadm" >/dev/null 2>&1 || "$docker" cp "$keadm" "$1:/usr/local/bin/keadm" >/dev/null; }

# An image of KubeEdge into a node, by way of the host's docker, so that it crosses the Internet once.
image() {
  local node=$1 name=$2:$version
  [[ $(inside "$node" ctr -n k8s.io images ls -q "name==docker.io/$name") ]] && return
  "$docker" image inspect "$name" >/dev/null 2>&1 || "$docker" pull -q "$name" >/dev/null \
    || die "docker has no image $name and cannot pull it; docker load it, or try where docker.io is reached"
  "$docker" save "$name" | inside -i "$node" ctr -n k8s.io images import - >/dev/null
}

# KubeEdge's nodes have no API server: what kind runs on every node would fail there.
keep_off_satellites() {
  local affinity='{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"node-role.kubernetes.io/edge","operator":"DoesNotExist"}]}]}}}}}}}'
  local daemons daemon
  daemons=$(kube -n kube-system get daemonsets -o name)
  for daemon in $daemons; do kube -n kube-system patch "$daemon" -p "$affinity" >/dev/null; done
}

cloudcore() {
  if ! kube -n kubeedge get deployment cloudcore >/dev/null 2>&1; then
    log "cloudcore $version on $ground"
    image "$ground" kubeedge/cloudcore
    inside "$ground" keadm init --kube-config=/etc/kubernetes/admin.conf --kubeedge-version="$version" \
      --advertise-address="$(address "$ground")" --set "cloudCore.modules.cloudHub.dnsNames[0]=$ground" \
      --set 'cloudCore.tolerations[0].operator=Exists' --set cloudCore.modules.cloudStream.enable=false \
      --set iptablesManager.enable=false --set mosquitto.enable=false --force >&2 || die 'keadm init failed, as said above'
  fi
  kube -n kubeedge rollout status deployment/cloudcore --timeout=180s >/dev/null \
    || die "cloudcore does not start; look with: kubectl -n kubeedge describe pods"
  local tries
  for ((tries = 60; tries > 0; tries--)); do
    token=$(kube -n kubeedge get secret tokensecret -o 'jsonpath={.data.tokendata}' 2>/dev/null | base64 -d) && [[ $token ]] && return
    sleep 1
  done
  die 'cloudcore has made no token; look with: kubectl -n kubeedge logs deployment/cloudcore'
}

address() { "$docker" inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }

# As kind runs its nodes, so that `kind load`, `kind get nodes` and `kind delete cluster` know it too.
node() {
  local satellite=$1
  if ! exists "$satellite"; then
    log "node $satellite"
    "$docker" run -d --name "$satellite" --hostname "$satellite" --network kind --restart=on-failure:1 --init=false --tty \
      --label "$label=$cluster" --label "io.x-k8s.kind.cluster=$cluster" --label io.x-k8s.kind.role=worker \
      --privileged --security-opt seccomp=unconfined --security-opt apparmor=unconfined --cgroupns=private \
      --tmpfs /tmp --tmpfs /run --volume /var --volume /lib/modules:/lib/modules:ro \
      "$("$docker" inspect -f '{{.Config.Image}}' "$ground")" >/dev/null || die "docker cannot run $satellite"
  fi
  running "$satellite" || "$docker" start "$satellite" >/dev/null
  local tries
  for ((tries = 60; tries > 0; tries--)); do
    inside "$satellite" ctr version >/dev/null 2>&1 && break
    sleep 1
  done
  ((tries)) || die "containerd does not start in $satellite; look with: $docker logs $satellite"
  inside "$satellite" sh -c 'unit=/etc/systemd/system/kubelet.service
    [ -L $unit ] || { systemctl disable -q --now kubelet; ln -sf /dev/null $unit && systemctl daemon-reload; }' \
    || die "the kubelet of $satellite cannot be turned off; see what is said above"
  # keadm calls sudo, which node images lack; edgecore wants a network for pods before any may run.
  inside -i "$satellite" sh -c 'command -v sudo >/dev/null || install -m 0755 /dev/stdin /usr/local/bin/sudo' <<<$'#!/bin/sh\nexec "$@"'
  inside -i "$satellite" sh -c 'mkdir -p /etc/cni/net.d && cat >/etc/cni/net.d/10-orbitloop.conflist' <<'CNI'
{"cniVersion": "0.4.0", "name": "orbitloop", "plugins": [
  {"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CNI
}

join() {
  local satellite=$1 driver=cgroupfs kubelet=modules.edged.tailoredKubeletConfig
  if inside "$satellite" test -s /etc/kubeedge/certs/server.crt; then
    inside "$satellite" systemctl start edgecore
  else
    log "$satellite joins"
    bring "$satellite"
    image "$satellite" kubeedge/installation-package
    inside "$satellite" sh -c 'systemctl stop edgecore 2>/dev/null; rm -rf /etc/kubeedge /var/lib/kubeedge'
    kube delete node "$satellite" --ignore-not-found >/dev/null
    [[ $(inside "$satellite" containerd config dump) == *'SystemdCgroup = true'* ]] && driver=systemd
    # The disk is the host's: as kind tells its kubelets, no pod and no image goes because it is full.
    inside "$satellite" keadm join --cloudcore-ipport="$ground:10000" --token="$token" --edgenode-name="$satellite" \
      --kubeedge-version="$version" --cgroupdriver="$driver" \
      --remote-runtime-endpoint=unix:///run/containerd/containerd.sock --set modules.eventBus.mqttMode=0 \
      --set "$kubelet.imageGCHighThresholdPercent=100" \
      --set "$kubelet.evictionHard={\"nodefs.available\":\"0%\",\"nodefs.inodesFree\":\"0%\",\"imagefs.available\":\"0%\",\"imagefs.inodesFree\":\"0%\"}" >&2 \
      || lost "$satellite" 'keadm join failed'
  fi
  local tries
  for ((tries = 90; tries > 0; tries--)); do
    kube get node "$satellite" >/dev/null 2>&1 && break
    sleep 2
  done
  kube wait --for=condition=Ready "node/$satellite" --timeout=180s >/dev/null || lost "$satellite" 'edgecore runs, and its node is not Ready'
  kube taint node "$satellite" --overwrite node-role.kubernetes.io/edge=:NoSchedule >/dev/null
}

lost() {
  inside "$1" journalctl -u edgecore -n 20 --no-pager >&2 || true
  die "$1: $2, as said above; run this again, or take it away with down.sh $cluster"
}

check "$@"
find_keadm
keep_off_satellites
cloudcore
for satellite; do
  node "$satellite"
  join "$satellite"
done
log "KubeEdge $version: $* Ready after $SECONDS s"
