# What up.sh and down.sh share.
docker=${DOCKER:-docker}
label=io.orbitloop.kubeedge # on the containers that up.sh makes; its value is the cluster

log() { printf 'kubeedge: %s\n' "$*" >&2; }
die() { log "$*"; exit 1; }
exists() { "$docker" container inspect "$1" >/dev/null 2>&1; }
running() { [[ $("$docker" inspect -f '{{.State.Running}}' "$1" 2>/dev/null) == true ]]; }
inside() { "$docker" exec "$@"; }
kube() { "$docker" exec -i "$ground" kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"; }
