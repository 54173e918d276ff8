#!/usr/bin/env bash
# Makes orbitloop-base:bookworm from Debian packages: Python, its venv, root certificates, and no more.
# For machines that reach Debian's packages and no registry of images: build-base-image.sh [TAG]
# Nothing is done while the image was made by this very script; FORCE=1 makes it anew, with newer packages.
set -euo pipefail

tag=${1:-orbitloop-base:bookworm}
docker=${DOCKER:-docker}
suite=bookworm
label=io.orbitloop.inputs

log() { printf '%s\n' "base image: $*" >&2; }
die() { log "$*"; exit 1; }

inputs=$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-16)
made_of=$("$docker" image inspect -f "{{index .Config.Labels \"$label\"}}" "$tag" 2>/dev/null || true)
if [[ $made_of == "$inputs" && ${FORCE:-0} != 1 ]]; then exit 0; fi

"$docker" version >/dev/null || die "docker does not answer; start dockerd, or name a client: DOCKER=/usr/bin/docker"
[[ $(id -u) == 0 ]] || die "debootstrap needs root; run it by sudo, once"
if ! command -v debootstrap >/dev/null; then
  log "apt-get install debootstrap"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap >/dev/null \
    || die "apt-get install debootstrap failed"
fi

# The mirror is the one that this machine's apt uses.
mirror=${DEBIAN_MIRROR:-$( (cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true) \
  | sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' | grep '/debian/*$' | head -n1)}
[[ $mirror ]] || mirror=$( (cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true) \
  | sed -n 's/^deb[[:space:]]\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' | grep '/debian/*$' | head -n1)
mirror=${mirror:-http://deb.debian.org/debian}

work=$(mktemp -d "${TMPDIR:-/tmp}/orbitloop-base-XXXX")
root=$work/root
trap 'rm -rf "$work"' EXIT
log "debootstrap $suite from $mirror: a minute"
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$root" "$mirror" \
  >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; die "debootstrap failed; DEBIAN_MIRROR names another mirror"; }

printf '%s\n' "deb $mirror $suite main" "deb $mirror $suite-updates main" \
  "deb ${mirror%/}-security $suite-security main" >"$root/etc/apt/sources.list"
# Nothing that a reader of manuals wants goes into an image, now or by a later apt-get install; licences stay.
cat >"$root/etc/dpkg/dpkg.cfg.d/orbitloop" <<'NO_MANUALS'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
NO_MANUALS
printf '%s\n' 'APT::Install-Recommends "false";' 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/orbitloop"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
log "security updates"
(chroot "$root" apt-get update -qq && DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -y -qq upgrade) \
  >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; log "no security updates: ${mirror%/}-security was not reached"; }
: >"$root/etc/resolv.conf"
chroot "$root" apt-get clean
find "$root"/usr/share/doc ! -type d ! -name copyright -delete
find "$root"/usr/share/doc -type d -empty -delete
rm -rf "$root"/usr/share/{info,locale,man}/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
  "$root"/var/cache/{apt/*.bin,debconf/*-old} "$root"/{run,tmp}/*
find "$root"/usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +

tar -C "$root" --numeric-owner --sort=name -cf - . \
  | "$docker" import -c 'CMD ["python3"]' -c "LABEL $label=$inputs" - "$tag" >/dev/null
log "$tag made in ${SECONDS} s"
