#!/usr/bin/env bash
# The image of kind's nodes, with the images inside that Kubernetes starts from: Debian's packages, the files of kind's
# own base image, and what build-binaries.sh made. A copy is kept, for a docker that has forgotten it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

packages=(systemd conntrack iptables nftables iproute2 ethtool util-linux mount kmod libseccomp2 pigz bash ca-certificates
  curl jq procps iputils-ping containerd runc containernetworking-plugins busybox-static netbase ebtables socat)
binaries=$("$HERE/build-binaries.sh" --where)
label=io.orbitloop.inputs

inputs=$( (echo "${binaries##*/}"; cat "$HERE/build-node-image.sh" "$HERE"/files/{crictl,iptables-wrapper}) | sha256sum | cut -c1-16)
kept=$CACHE/node-$inputs.tar.zst
made_of() { "$DOCKER" image inspect -f "{{index .Config.Labels \"$label\"}}" "$NODE_IMAGE" 2>/dev/null || true; }
[[ $(made_of) != "$inputs" ]] || exit 0

# In namespaces of its own: what it mounts and starts is gone when it is, however it ends.
if [[ ! ${KIND_OFFLINE_UNSHARED:-} ]]; then
  [[ $(id -u) == 0 ]] || die "making a root file system needs root; run it by sudo"
  "$DOCKER" info >/dev/null 2>&1 || die "docker does not answer; run install-host.sh"
  lock
  KIND_OFFLINE_UNSHARED=1 exec unshare --mount --pid --fork --kill-child "${BASH_SOURCE[0]}"
fi
[[ $(made_of) != "$inputs" ]] || exit 0 # another run has made it by now
need_space 3 "$("$DOCKER" info -f '{{.DockerRootDir}}')" "the node image"
if [[ -e $kept ]]; then
  log "loading $kept"
  if zstd -dcq "$kept" | "$DOCKER" load -q >/dev/null && [[ $(made_of) == "$inputs" ]]; then exit 0; fi
  log "it is damaged; making the image again"
  rm "$kept"
fi
[[ -d $binaries ]] || die "no $binaries; run build-binaries.sh"
need_mirror
need_space 4 "$CACHE" "the node image"

# ---------------------------------------------------------------------------------------------- root file system
# Where /usr is merged from the beginning nothing needs perl, which would merge it.
options=(--format=tar --variant=minbase --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include=usr-is-merged
  "${packages[@]/#/--include=}" --dpkgopt='path-exclude=/usr/share/'{doc,info,locale,man}'/*'
  --dpkgopt=force-unsafe-io) # what loses power is made anew
base=$CACHE/root-$(echo "${options[@]}" | sha256sum | cut -c1-16).tar # packages as they were that day: rm renews them
if [[ ! -e $base ]]; then
  log "unpacking Debian: a minute"
  rm -f "$CACHE"/root-*.tar*
  sources=("deb $(mirror) bookworm main")
  [[ ! $(security_mirror) ]] || sources+=("deb $(security_mirror) bookworm-security main")
  mmdebstrap --quiet "${options[@]}" bookworm "$base.new" "${sources[@]}" >"$CACHE/mmdebstrap.log" 2>&1 \
    || { tail -n5 "$CACHE/mmdebstrap.log" >&2; die "mmdebstrap failed, as said above"; }
  sync "$base.new"
  mv "$base.new" "$base"
fi
work=$CACHE/work-node
root=$work/root
rm -rf "$work"
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$root"
tar -C "$root" -xf "$base"
mount -t proc proc "$root/proc"

# --------------------------------------------------------------------------------------- what kind's base image is
log "making it a node"
cp -r "$binaries/node-files/." "$root/"
rm -rf "$root/LICENSES"
chmod 0755 "$root"/kind/bin/* "$root/usr/local/bin/entrypoint"
mkdir -p "$root/kind/manifests" "$root/etc/kubernetes/manifests" "$root/opt/cni"
rm -f "$root"/lib/systemd/system/{sysinit.target.wants/systemd-tmpfiles-setup.service,multi-user.target.wants/*} \
  "$root"/lib/systemd/system/{local-fs.target.wants/*,sockets.target.wants/*{udev,initctl}*,basic.target.wants/*} \
  "$root"/etc/systemd/system/{*.wants/*,containerd-fuse-overlayfs.service} "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
echo ReadKMsg=no >>"$root/etc/systemd/journald.conf"
ln -sf /lib/systemd/systemd "$root/sbin/init"
chroot "$root" systemctl --quiet enable kubelet.service containerd.service undo-mount-hacks.service
chroot "$root" systemctl --quiet mask systemd-binfmt.service

# Debian has these elsewhere than kind expects them.
ln -sf /usr/bin/{containerd,ctr,containerd-shim-runc-v2} "$root/usr/local/bin/"
ln -sfn /usr/lib/cni "$root/opt/cni/bin"
install -m 0755 "$HERE/files/crictl" "$root/usr/local/bin/"
install -m 0755 "$binaries"/{kubelet,kubeadm,kubectl} "$root/usr/bin/"
version=$("$binaries/kubelet" --version | awk '{print $2}')
printf %s "$version" >"$root/kind/version"

# What kubeadm 1.20 and kind expect below 1.24; and no lowering of oom_score_adj, which takes a capability that some
# machines lack.
pause=k8s.gcr.io/pause:3.2
sed -i -e "s#sandbox_image = .*#sandbox_image = \"$pause\"#" -e 's/SystemdCgroup = true/SystemdCgroup = false/' \
  -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' -e '/^\[proxy_plugins\]/,/address = /d' \
  "$root/etc/containerd/config.toml"
chroot "$root" ctr oci spec | jq 'del(.process.rlimits) | .hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}]' \
  >"$root/etc/containerd/cri-base.json"

kindnetd=docker.io/orbitloop/kindnetd:$("$binaries/kind" version -q)
sed 's#` + kindnetdImage + `#'"$kindnetd#" "$binaries/default-cni.yaml" >"$root/kind/manifests/default-cni.yaml"
cat >"$root/kind/manifests/default-storage.yaml" <<'YAML'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/host-path
YAML

# ---------------------------------------------------------------------------------------------- the images inside
log "making the images that it starts from"
images=$work/images
declare -A references
# preload NAME REFERENCE INSTRUCTION...: the folder $images/NAME, as an image
preload() {
  local name=$1 instruction instructions=(-c 'ENV PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin')
  references[$name]=$2
  for instruction in "${@:3}"; do instructions+=(-c "$instruction"); done
  tar -C "$images/$name" --owner=0 --group=0 -cf - . | "$DOCKER" import "${instructions[@]}" - "orbitloop/preload:$name" >/dev/null
}
# with_libraries FOLDER FILE...: files of the node, and the libraries that they load
with_libraries() {
  { printf '%s\n' "${@:2}"; chroot "$root" ldd "${@:2}" 2>/dev/null || true; } | grep -o '/[^ :)]*' | sort -u | sed 's/^/./' \
    | tar -C "$root" --dereference --files-from=- -cf - | tar -C "$1" -xf -
}

install -D -m 0755 "$binaries/pause" "$images/pause/pause"
preload pause "$pause" 'USER 65535:65535' 'ENTRYPOINT ["/pause"]'

for name in kube-apiserver kube-controller-manager kube-scheduler; do
  install -D -m 0755 "$binaries/$name" "$images/$name/usr/local/bin/$name"
  preload $name "k8s.gcr.io/$name:$version" "ENTRYPOINT [\"$name\"]"
done

mkdir -p "$images/etcd/tmp"
install -m 0755 "$binaries/etcd" "$root/usr/bin/etcd"
with_libraries "$images/etcd" /usr/bin/etcd
rm "$root/usr/bin/etcd"
preload etcd k8s.gcr.io/etcd:3.4.13-0 'ENTRYPOINT ["etcd"]' # the version that kubeadm asks for

# What kube-proxy and kindnetd run: iptables, with a shell to choose which.
network=$work/network
mkdir -p "$network"/{bin,run,tmp,etc}
with_libraries "$network" /bin/busybox /usr/sbin/{xtables-nft-multi,xtables-legacy-multi,conntrack} \
  $(cd "$root" && printf '/%s\n' usr/lib/*/xtables/*.so) /etc/{protocols,services,ethertypes}
for name in sh cat ls ln grep basename sed ip ps sleep; do ln -s busybox "$network/bin/$name"; done
install -m 0755 "$HERE/files/iptables-wrapper" "$network/usr/sbin/"
for name in ip{,6}tables{,-save,-restore}; do ln -s iptables-wrapper "$network/usr/sbin/$name"; done
cp -r "$network" "$images/kube-proxy"
install -D -m 0755 "$binaries/kube-proxy" "$images/kube-proxy/usr/local/bin/kube-proxy"
preload kube-proxy "k8s.gcr.io/kube-proxy:$version" 'ENTRYPOINT ["kube-proxy"]'
cp -r "$network" "$images/kindnetd"
install -m 0755 "$binaries/kindnetd" "$images/kindnetd/bin/kindnetd"
preload kindnetd "$kindnetd" 'CMD ["/bin/kindnetd"]'

install -D -m 0755 "$binaries/minidns" "$images/minidns/minidns"
preload minidns k8s.gcr.io/coredns:1.7.0 'LABEL org.opencontainers.image.title="minidns, not CoreDNS"' 'ENTRYPOINT ["/minidns"]'

# They go into the store of the node's own containerd, under the names that kubeadm knows; docker forgets them.
cat >"$root/tmp/containerd.toml" <<'TOML'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
TOML
chroot "$root" containerd --config /tmp/containerd.toml >"$CACHE/containerd.log" 2>&1 &
containerd=$!
ctr() { chroot "$root" ctr --namespace k8s.io "$@"; }
for _ in $(seq 50); do
  if ctr version >/dev/null 2>&1; then break; fi
  sleep 0.2
done
made=("${!references[@]}")
"$DOCKER" save "${made[@]/#/orbitloop/preload:}" | ctr images import --all-platforms --no-unpack - >/dev/null \
  || { tail -n5 "$CACHE/containerd.log" >&2; die "the node's containerd took no images, as said above"; }
for name in "${made[@]}"; do
  ctr images tag "docker.io/orbitloop/preload:$name" "${references[$name]}" >/dev/null
  ctr images rm --sync "docker.io/orbitloop/preload:$name" >/dev/null
done
"$DOCKER" rmi "${made[@]/#/orbitloop/preload:}" >/dev/null
kill $containerd
wait $containerd || true
umount "$root/proc"

# ------------------------------------------------------------------------------------------------ the node's image
log "giving it to docker"
rm -rf "$root"/{tmp,run}/*
replaced=$("$DOCKER" image inspect -f '{{.Id}}' "$NODE_IMAGE" 2>/dev/null || true)
tar -C "$root" --numeric-owner -cf - . | "$DOCKER" import - orbitloop/node-root:new >/dev/null
# An import knows no stop signal.
printf '%s\n' 'FROM orbitloop/node-root:new' 'ENV container=docker' 'STOPSIGNAL SIGRTMIN+3' "LABEL $label=$inputs" \
  'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' | DOCKER_BUILDKIT=0 "$DOCKER" build -q -t "$NODE_IMAGE" - >/dev/null
"$DOCKER" rmi orbitloop/node-root:new >/dev/null
[[ ! $replaced ]] || "$DOCKER" rmi "$replaced" >/dev/null 2>&1 || true # nodes that run still use it

rm -f "$CACHE"/node-*.tar.zst*
"$DOCKER" save "$NODE_IMAGE" | zstd -3 -T0 -q -o "$kept.new"
mv "$kept.new" "$kept"
