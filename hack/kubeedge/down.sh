#!/usr/bin/env bash
# Takes away what up.sh made: down.sh CLUSTER. That a part of it is gone already does not matter.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/nodes.sh"

(($# == 1)) || die 'usage: down.sh CLUSTER'
cluster=$1 ground=$1-control-plane
"$docker" version >/dev/null 2>&1 || die "$docker does not answer; start it, or set DOCKER"
mapfile -t satellites < <("$docker" ps -a --filter "label=$label=$cluster" --format '{{.Names}}')
if ((${#satellites[@]})); then "$docker" rm -f -v "${satellites[@]}" >/dev/null; fi
if running "$ground"; then
  if ((${#satellites[@]})); then kube delete node "${satellites[@]}" --ignore-not-found >/dev/null; fi
  kube delete namespace kubeedge --ignore-not-found >/dev/null
fi
log "gone from $cluster: ${satellites[*]:-no satellite}"
