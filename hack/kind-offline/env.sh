# Sourced by the scripts here: settings, which the environment may change, and what the scripts share.
# shellcheck shell=bash disable=SC2034

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/orbitloop/kubernetes # what is made stays here, by the digest of what it is made of
NODE_IMAGE=orbitloop/node:v1.20.2
DOCKER=${DOCKER:-$(command -v /usr/bin/docker docker | sed -n 1p)}
DOCKER=${DOCKER:-/usr/bin/docker} # where install-host.sh puts it

export KIND_OFFLINE_START=${KIND_OFFLINE_START:-$EPOCHSECONDS}
log() { printf '[%4d s] %s\n' $((EPOCHSECONDS - KIND_OFFLINE_START)) "$*" >&2; }
die() { log "error: $*"; exit 1; }
trap 'log "error: ${BASH_SOURCE[0]##*/}, line $LINENO: $BASH_COMMAND"' ERR

# One run at a time fills the cache; the others wait, and then find it full.
lock() {
  mkdir -p "$CACHE" || die "cannot make $CACHE; name another place by XDG_CACHE_HOME"
  exec 9>"$CACHE/lock"
  flock --nonblock 9 || { log "waiting for another run, which holds $CACHE/lock"; flock 9; }
}

# need_space GB FOLDER WHAT
need_space() {
  local free
  free=$(df --output=avail -BM "$2" | tail -n1 | tr -dc 0-9)
  ((free >= $1 * 1024)) || die "$3 needs $1 GB in $2, which has $((free / 1024)) GB; make room, or name another place by XDG_CACHE_HOME"
}

# apt_install PACKAGE...: those that are missing
apt_install() {
  local package missing=()
  command -v apt-get >/dev/null || die "there is no apt here, and everything is made of Debian's packages; use a kind with a registry"
  for package; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  [[ $(id -u) == 0 ]] || die "needs ${missing[*]}; as root: apt-get install ${missing[*]}"
  log "apt-get install ${missing[*]}"
  local said
  said=$(mktemp)
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    9>&- >"$said" 2>&1 || { tail -n5 "$said" >&2; rm "$said"; die "apt-get install failed, as said above"; }
  rm "$said"
}

# The mirrors are those that this machine's apt uses.
mirrors() {
  { (cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true) | sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p'
    (cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true) \
      | sed -n 's/^deb[[:space:]]\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p'
  } | sort -u
}
mirror() { # empty where there is none
  if [[ ${DEBIAN_MIRROR:-} ]]; then echo "$DEBIAN_MIRROR"; else mirrors | grep '/debian/*$' | sed -n 1p; fi
}
need_mirror() { [[ $(mirror) ]] || die "apt names no mirror of Debian; name one by DEBIAN_MIRROR"; }
security_mirror() { mirrors | grep '/debian-security/*$' | sed -n 1p; }
