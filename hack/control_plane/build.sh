#!/usr/bin/env bash
# Builds kube-apiserver and kube-controller-manager from Debian's source package: build.sh FOLDER
# For machines that reach Debian's packages and no others. Nothing is done while FOLDER matches this script.
set -euo pipefail

version='1.20.5+really1.20.2-1.1+deb12u1' # what bookworm calls it
really=v1.20.2                            # what it is
folder=${1:?usage: build.sh FOLDER}
work=$folder/work
go=/usr/lib/go-1.19
binaries=(kube-apiserver kube-controller-manager)

log() { printf '%s\n' "build: $*" >&2; }
die() { log "$*"; exit 1; }

inputs=$( (echo "$version"; cat "${BASH_SOURCE[0]}") | sha256sum | cut -c1-16)
done_already=yes
for binary in "${binaries[@]}"; do [[ -x $folder/$binary ]] || done_already=; done
if [[ $done_already && $(cat "$folder/.inputs" 2>/dev/null) == "$inputs" ]]; then exit 0; fi

packages=(golang-1.19-go golang-1.19-src rsync make gcc libc6-dev dpkg-dev)
command -v etcd >/dev/null || packages+=(etcd-server)
command -v kubectl >/dev/null || packages+=(kubernetes-client)
missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *installed ]] || missing+=("$package")
done
if ((${#missing[@]})); then
  [[ $(id -u) == 0 ]] || die "needs ${missing[*]}: apt-get install them, or set KUBEBUILDER_ASSETS"
  log "apt-get install ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >"${TMPDIR:-/tmp}/orbitloop-apt.log" 2>&1 \
    || { tail "${TMPDIR:-/tmp}/orbitloop-apt.log" >&2; die "apt-get install failed"; }
fi
mkdir -p "$work"

# The mirror is the one that this machine's apt uses; its own lists stay as they are.
mirror=${DEBIAN_MIRROR:-$( (cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true) \
  | sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' | grep -v security | head -n1)}
[[ $mirror ]] || mirror=$( (cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true) \
  | sed -n 's/^deb[[:space:]]\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' | grep -v security | head -n1)
[[ $mirror ]] || die "apt names no Debian mirror; set DEBIAN_MIRROR"
apt=$work/apt
mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial
key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
printf '%s\n' "deb $key $mirror bookworm main" "deb-src $key $mirror bookworm main" >"$apt/sources.list"
apt_of_its_own() {
  apt-get -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root "$@"
}

source=$work/kubernetes
if [[ ! -e $source/Makefile ]]; then
  log "fetching kubernetes $version"
  apt_of_its_own update -qq
  mkdir -p "$work/download"
  rm -rf "$source"
  (cd "$work/download" && apt_of_its_own source --download-only -qq "kubernetes=$version" \
    && apt_of_its_own download -qq golang-github-modern-go-reflect2-dev/bookworm)
  dpkg-source --no-check -x "$work"/download/kubernetes_*.dsc "$source" >/dev/null
fi

export GOPATH=$source/.go PATH=$go/bin:$PATH CGO_ENABLED=0 GO111MODULE=off GOFLAGS='' \
  GOCACHE=${GOCACHE:-$work/gocache} HOME=${HOME:-/root}
mkdir -p "$GOPATH/src/k8s.io"
ln -sfn ../../.. "$GOPATH/src/k8s.io/kubernetes"
tree=$GOPATH/src/k8s.io/kubernetes

# reflect2 1.0.1, which is in the tree, crashes when built with Go 1.18 or later.
reflect2=vendor/github.com/modern-go/reflect2
if [[ ! -e $tree/$reflect2/.from-debian ]]; then
  rm -rf "$work/unpacked" "${tree:?}/$reflect2"
  dpkg -x "$work"/download/golang-github-modern-go-reflect2-dev_*.deb "$work/unpacked"
  cp -r "$work/unpacked/usr/share/gocode/src/github.com/modern-go/reflect2" "$tree/$reflect2"
  touch "$tree/$reflect2/.from-debian"
fi

# Built with Go 1.18 or later, these take every zero value for null, and refuse empty strings in custom resources.
for file in "$tree"/vendor/{github.com/go-openapi/validate,k8s.io/kube-openapi/pkg/validation/validate}/type.go; do
  sed -i 's/if data == nil || reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data)) {/if data == nil {/' "$file"
  grep -q 'if data == nil {' "$file" || die "cannot mend $file"
done

if [[ ! -e $source/.generated ]]; then
  log "generating code"
  (cd "$source" && make generated_files) >"$work/generate.log" 2>&1 || { tail -20 "$work/generate.log" >&2; die "make generated_files failed"; }
  touch "$source/.generated"
fi

flags='-s -w'
for package in k8s.io/kubernetes/vendor/k8s.io/{component-base/version,client-go/pkg/version}; do
  flags+=" -X $package.gitVersion=$really -X $package.gitMajor=1 -X $package.gitMinor=20 -X $package.gitTreeState=clean"
done
log "compiling ${binaries[*]}: about five minutes on two cores"
built=$(mktemp -d "$work/builtXXXX")
(cd "$tree" && go build -trimpath -ldflags "$flags" -o "$built/" "${binaries[@]/#/./cmd/}")
mv -f "$built"/* "$folder/"
echo "$inputs" >"$folder/.inputs"
rm -rf "$work"
log "done in ${SECONDS} s"
