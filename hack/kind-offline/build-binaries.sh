#!/usr/bin/env bash
# Kubernetes, etcd and kind, and what a node needs besides, from Debian's packages and source packages, in one folder.
# build-binaries.sh          makes the folder, unless it is there; a folder that is there is whole
# build-binaries.sh --where  prints its path
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

version='1.20.5+really1.20.2-1.1+deb12u1' # what bookworm calls it
really=v1.20.2                            # what it is
programs=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubeadm kubectl kindnetd minidns)

inputs=$(cat "$HERE/build-binaries.sh" "$HERE"/minidns/*.go "$HERE/files/pause.c" | sha256sum | cut -c1-16)
folder=$CACHE/binaries-$inputs
[[ ${1:-} != --where ]] || { echo "$folder"; exit 0; }
[[ ! -d $folder ]] || exit 0

lock
[[ ! -d $folder ]] || exit 0
needed=(rsync make gcc libc6-dev dpkg-dev)
command -v kubectl >/dev/null || needed+=(kubernetes-client)
apt_install "${needed[@]}"
need_mirror
need_space 5 "$CACHE" "building Kubernetes"

# ------------------------------------------------------------------------------------------------------ packages
# Debian's own lists stay as they are: apt reads others here, of bookworm and, for kind, of trixie.
work=$CACHE/work-$inputs
download=$work/download
apt=$work/apt
mkdir -p "$download" "$apt"/lists/partial "$apt"/cache/archives/partial
key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
for suite in bookworm trixie; do printf '%s\n' "deb $key $(mirror) $suite main" "deb-src $key $(mirror) $suite main"; done \
  >"$apt/sources.list"
apt_of_its_own() {
  apt-get -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root "$@"
}

if [[ ! -e $download/.whole ]]; then
  log "fetching the sources of Kubernetes and kind"
  apt_of_its_own update || die "the mirror $(mirror) was not reached; set DEBIAN_MIRROR to one that is"
  # Of kind's source the upstream tarball is all that is needed.
  (cd "$download" && apt_of_its_own source --download-only "kubernetes=$version" \
    && apt_of_its_own source --download-only --tar-only kind/trixie \
    && apt_of_its_own download kind/trixie {etcd-server,golang-1.19-go,golang-1.19-src}/bookworm \
      golang-github-{modern-go-reflect2,coreos-go-iptables}-dev/bookworm) \
    || die "the mirror $(mirror) did not give the packages, as said above; set DEBIAN_MIRROR to another"
  touch "$download/.whole"
fi

# --------------------------------------------------------------------------------------------- the tree, and Go
packages=$work/packages # what the packages hold, as if they were installed
kind=$work/kind
tree=$work/kubernetes/.go/src/k8s.io/kubernetes # a link to where it is, for a Go without modules
export GOPATH=$work/kubernetes/.go PATH=$packages/usr/lib/go-1.19/bin:$PATH CGO_ENABLED=0 GO111MODULE=off GOFLAGS='' \
  GOCACHE=${GOCACHE:-$work/gocache} HOME=${HOME:-/root}

unpack() {
  rm -rf "$work/kubernetes" "$kind" "$packages"
  dpkg-source --no-check -x "$download"/kubernetes_*.dsc "$work/kubernetes" >/dev/null
  mkdir -p "$kind" "$(dirname "$tree")"
  ln -s ../../.. "$tree"
  tar -xf "$download"/kind_*.orig.tar.gz -C "$kind" --strip-components=1
  local package
  for package in "$download"/*.deb; do dpkg -x "$package" "$packages"; done
}

mend() {
  local module file
  # reflect2 1.0.1, which is in the tree, crashes when built with Go 1.18 or later; go-iptables, which kindnetd wants, is
  # not in the tree.
  for module in github.com/modern-go/reflect2 github.com/coreos/go-iptables; do
    rm -rf "${tree:?}/vendor/$module"
    mkdir -p "$(dirname "$tree/vendor/$module")"
    cp -r "$packages/usr/share/gocode/src/$module" "$tree/vendor/$module"
  done

  # Built with Go 1.18 or later, these take every zero value for null, and refuse empty strings in custom resources.
  for file in "$tree"/vendor/{github.com/go-openapi/validate,k8s.io/kube-openapi/pkg/validation/validate}/type.go; do
    sed -i 's/if data == nil || reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data)) {/if data == nil {/' "$file"
    grep -q 'if data == nil {' "$file" || die "cannot mend $file"
  done

  # Where cgroup v1 and v2 are both mounted, kubelet takes kind's bind mount below the cpu hierarchy for the hierarchy,
  # and finds no cgroup "kubelet" there. As in 1.21, of several mount points the shortest is the one.
  file=$tree/pkg/kubelet/cm/helpers_linux.go
  sed -i 's/^\t\t\tmountPoints\[subsystem\] = mount.Mountpoint$/\t\t\tif known := mountPoints[subsystem]; known == "" || len(mount.Mountpoint) < len(known) {\n\t\t\t\tmountPoints[subsystem] = mount.Mountpoint\n\t\t\t}/' "$file"
  grep -q 'known == ""' "$file" || die "cannot mend $file"
}

# What was cut off in the middle is begun anew: make takes half a file for a whole one.
if [[ ! -e $work/.source-whole ]]; then
  unpack
  mend
  log "generating code: a minute on two cores"
  (cd "$work/kubernetes" && make generated_files) >"$work/generate.log" 2>&1 \
    || { tail -n20 "$work/generate.log" >&2; die "make generated_files failed; the log is $work/generate.log"; }
  touch "$work/.source-whole"
fi

# kindnetd for the client-go of the tree: other sets, no joined errors, nodes known before the first reconciliation,
# and no NetworkPolicies, whose module Debian does not have.
rm -rf "$tree"/cmd/{kindnetd,minidns}
cp -r "$kind/images/kindnetd/cmd/kindnetd" "$HERE/minidns" "$tree/cmd/"
rm -f "$tree"/cmd/kindnetd/*_test.go
sed -i -e '/sigs.k8s.io\/kube-network-policies/d' \
  -e '/^\t\/\/ network policies$/,/^\t\/\/ main control loop$/{/main control loop/!d}' \
  -e 's/sets\.Set\[string\]/sets.String/; s/sets\.New\[string\]()/sets.NewString()/' \
  -e 's/^\tinformersFactory.Start(ctx.Done())$/&\n\tinformersFactory.WaitForCacheSync(ctx.Done())/' \
  "$tree/cmd/kindnetd/main.go"
sed -i -e '/^\t"errors"$/d' \
  -e 's/return errors.Join(errs...)/if len(errs) > 0 {\n\t\t\t\treturn errs[len(errs)-1]\n\t\t\t}\n\t\t\treturn nil/' \
  "$tree/cmd/kindnetd/masq.go"

# --------------------------------------------------------------------------------------------------- the folder
flags='-s -w'
for package in k8s.io/kubernetes/vendor/k8s.io/{component-base/version,client-go/pkg/version}; do
  flags+=" -X $package.gitVersion=$really -X $package.gitMajor=1 -X $package.gitMinor=20 -X $package.gitTreeState=clean"
done
log "compiling ${programs[*]}: four minutes on two cores"
made=$work/made
rm -rf "$made"
mkdir "$made"
(cd "$tree" && go build -trimpath -ldflags "$flags" -o "$made/" "${programs[@]/#/./cmd/}") || die "go build failed, as said above"
cp "$packages/usr/bin/etcd" "$packages/usr/bin/kind" "$made/"
gcc -Os -static -s -o "$made/pause" "$HERE/files/pause.c"
cp -r "$kind/images/base/files" "$made/node-files"
sed -n '/^const defaultCNIManifest = `/,/^`/p' "$kind/pkg/build/nodeimage/const_cni.go" | sed '1d;$d' >"$made/default-cni.yaml"
sync -f "$made"
mv "$made" "$folder"
rm -rf "$work"
