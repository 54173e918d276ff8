#!/usr/bin/env bash
# orbitloop-base:bookworm: Debian with Python, its venv and root certificates, and no more, for images of what runs in
# pods: build-base-image.sh [TAG]. Nothing is done while the image was made by this very script; FORCE=1 makes it anew,
# with the packages of today.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

tag=${1:-orbitloop-base:bookworm}
label=io.orbitloop.inputs
inputs=$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-16)
made_of() { "$DOCKER" image inspect -f "{{index .Config.Labels \"$label\"}}" "$tag" 2>/dev/null || true; }
if [[ ${FORCE:-0} != 1 && $(made_of) == "$inputs" ]]; then exit 0; fi

"$DOCKER" info >/dev/null 2>&1 || die "docker does not answer; start it, or name a client of it: DOCKER=/usr/bin/docker"
apt_install mmdebstrap
mkdir -p "$CACHE" || die "cannot make $CACHE; name another place by XDG_CACHE_HOME"
need_space 1 "$CACHE" "a base image"

# Nothing that a reader of manuals wants, now or by a later apt-get install; licences stay. What Python compiles is made
# anew where it is used.
options=(--format=tar --variant=minbase --include=python3,python3-venv,ca-certificates)
options+=(--dpkgopt='path-exclude=/usr/share/'{doc,info,locale,man}'/*' --dpkgopt='path-include=/usr/share/doc/*/copyright')
options+=(--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr)
options+=(--customize-hook='find "$1"/usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +')
options+=(--customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/debconf/*-old')
need_mirror
from=$(mirror)
sources=("deb $from bookworm main" "deb $from bookworm-updates main")
[[ ! $(security_mirror) ]] || sources+=("deb $(security_mirror) bookworm-security main")

log "unpacking Debian: a minute"
work=$(mktemp -d "$CACHE/base-XXXX")
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet "${options[@]}" bookworm "$work/root.tar" "${sources[@]}" >"$work/log" 2>&1 \
  || { tail -n5 "$work/log" >&2; die "mmdebstrap failed, as said above"; }
"$DOCKER" import -c 'CMD ["python3"]' -c "LABEL $label=$inputs" "$work/root.tar" "$tag" >/dev/null
log "$tag is made"
