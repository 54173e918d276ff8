#!/usr/bin/env bash
# Everything that a kind cluster needs on a machine that reaches Debian's packages and no registry of images.
# Each step is done only when its inputs have changed; what came of it is named in $CACHE/result.env.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

for step in install-host build-binaries build-node-image; do
  began=$EPOCHSECONDS
  "$HERE/$step.sh"
  log "$step: $((EPOCHSECONDS - began)) s"
done

binaries=$("$HERE/build-binaries.sh" --where)
cat >"$CACHE/result.env.new" <<RESULT
KIND=$binaries/kind
KUBECTL=$binaries/kubectl
NODE_IMAGE=$NODE_IMAGE
DOCKER=$DOCKER
RESULT
mv "$CACHE/result.env.new" "$CACHE/result.env"
cat "$CACHE/result.env"
