#!/usr/bin/env bash
# A run on TPU slices of a GKE cluster that has JobSet:
#
#   launch/gke/train.sh pool   NAME --cluster C --location L --type v5e --topology 4x4 [--spot] [--slices N]
#   launch/gke/train.sh train  NAME --type v5e --topology 4x4 --image IMAGE [--slices N] -- PLACE_TRAIN_ARGUMENTS
#   launch/gke/train.sh status|logs|delete NAME
#
# `pool` makes a node pool a slice; `train` applies launch/gke/jobset.yaml, filled in. JobSet starts
# all pods again where one has failed, and training goes on from the last checkpoint, so --workdir
# has to be in a bucket. --dry-run prints the commands and the manifest and runs nothing. Also:
# --service-account A (default), --restarts N (100), --namespace N.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=launch/commands.sh
source "$HERE/../commands.sh"

CHIPS_A_HOST=4

[ "$#" -ge 2 ] || usage
VERB="$1" NAME="$2"
shift 2
TYPE="" TOPOLOGY="" IMAGE="" CLUSTER="" LOCATION="" SLICES=1 SPOT="" ACCOUNT=default RESTARTS=100
SPACE=() TRAIN=()
while [ "$#" -gt 0 ]; do
  case "$1" in
    --type) TYPE="$(value_of "$@")"; shift 2 ;;
    --topology) TOPOLOGY="$(value_of "$@")"; shift 2 ;;
    --image) IMAGE="$(value_of "$@")"; shift 2 ;;
    --cluster) CLUSTER="$(value_of "$@")"; shift 2 ;;
    --location) LOCATION="$(value_of "$@")"; shift 2 ;;
    --slices) SLICES="$(value_of "$@")"; shift 2 ;;
    --service-account) ACCOUNT="$(value_of "$@")"; shift 2 ;;
    --restarts) RESTARTS="$(value_of "$@")"; shift 2 ;;
    --namespace) SPACE=("--namespace=$(value_of "$@")"); shift 2 ;;
    --spot) SPOT=1; shift ;;
    --dry-run) DRY_RUN=1; shift ;;
    --) shift; TRAIN=("$@"); break ;;
    *) fail "$1 is not known: see the first lines of this script" ;;
  esac
done

# The machine and the accelerator label of a type whose hosts have four chips each.
machine_and_label() {
  case "$TYPE" in
    v4) echo ct4p-hightpu-4t tpu-v4-podslice ;;
    v5e) echo ct5lp-hightpu-4t tpu-v5-lite-podslice ;;
    v5p) echo ct5p-hightpu-4t tpu-v5p-slice ;;
    v6e) echo ct6e-standard-4t tpu-v6e-slice ;;
    *) fail "--type=$TYPE: v4, v5e, v5p or v6e" ;;
  esac
}

# The chips of a topology such as 4x4 or 2x2x4.
chips() {
  local product=1 side
  [[ "$TOPOLOGY" =~ ^[0-9]+(x[0-9]+)+$ ]] || fail "--topology=$TOPOLOGY: give it as 4x4 or 2x2x4"
  for side in ${TOPOLOGY//x/ }; do product=$((product * side)); done
  [ $((product % CHIPS_A_HOST)) -eq 0 ] || fail "--topology=$TOPOLOGY has $product chips: a multiple of $CHIPS_A_HOST is needed"
  echo "$product"
}

pool() {
  local kind machine count slice spot=()
  [ -n "$CLUSTER" ] && [ -n "$LOCATION" ] || fail "give --cluster and --location"
  kind="$(machine_and_label)"
  machine="${kind% *}"
  count="$(chips)"
  [ -z "$SPOT" ] || spot=(--spot)
  for ((slice = 0; slice < SLICES; slice++)); do
    run gcloud container node-pools create "$NAME-$slice" "--cluster=$CLUSTER" "--location=$LOCATION" \
      "--machine-type=$machine" "--tpu-topology=$TOPOLOGY" "--num-nodes=$((count / CHIPS_A_HOST))" "${spot[@]}"
  done
}

# A string as JSON, which is YAML too.
quoted() {
  local text="${1//\\/\\\\}"
  printf '"%s"' "${text//\"/\\\"}"
}

manifest() {
  local kind count arguments argument text
  kind="$(machine_and_label)"
  count="$(chips)"
  arguments="\"train\", \"--devices\", \"$((count * SLICES))\""
  for argument in "${TRAIN[@]}"; do arguments+=", $(quoted "$argument")"; done
  text="$(cat "$HERE/jobset.yaml")"
  text="${text//__NAME__/$NAME}"
  text="${text//__RESTARTS__/$RESTARTS}"
  text="${text//__SLICES__/$SLICES}"
  text="${text//__HOSTS__/$((count / CHIPS_A_HOST))}"
  text="${text//__SERVICE_ACCOUNT__/$ACCOUNT}"
  text="${text//__ACCELERATOR__/${kind#* }}"
  text="${text//__TOPOLOGY__/$TOPOLOGY}"
  text="${text//__IMAGE__/$IMAGE}"
  text="${text//__ARGUMENTS__/[$arguments]}"
  echo "$text"
}

train() {
  local made file
  [ -n "$IMAGE" ] || fail "give --image, made by launch/gke/Dockerfile"
  [ "${#TRAIN[@]}" -gt 0 ] || fail "give the arguments of place train after --"
  made="$(manifest)"
  file="${TMPDIR:-/tmp}/$NAME.jobset.yaml"
  if [ -n "$DRY_RUN" ]; then echo "$made"; else echo "$made" >"$file"; fi
  run kubectl apply "${SPACE[@]}" -f "$file"
}

case "$VERB" in
  pool) pool ;;
  train) train ;;
  status)
    run kubectl get jobset "$NAME" "${SPACE[@]}"
    run kubectl get pods "${SPACE[@]}" --selector "jobset.sigs.k8s.io/jobset-name=$NAME" -o wide
    ;;
  logs) run kubectl logs "${SPACE[@]}" --follow --selector "jobset.sigs.k8s.io/jobset-name=$NAME,batch.kubernetes.io/job-completion-index=0" ;;
  delete) run kubectl delete jobset "$NAME" "${SPACE[@]}" ;;
  *) usage ;;
esac
