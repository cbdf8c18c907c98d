#!/usr/bin/env bash
# A TPU slice by queued resources, and a run on all of its hosts:
#
#   launch/tpu_vm.sh create NAME --zone ZONE --type v5litepod-16 [--spot] [--slices N]
#   launch/tpu_vm.sh setup  NAME --zone ZONE               this checkout, installed on every host
#   launch/tpu_vm.sh train  NAME --zone ZONE --type v5litepod-16 [--spot] -- PLACE_TRAIN_ARGUMENTS
#   launch/tpu_vm.sh status|logs|delete NAME --zone ZONE
#
# `train` waits for the slice, checks it on all hosts (`place preflight`), trains, and starts the
# same command again after a failure. A spot slice that was taken away is asked for anew, set up,
# and training goes on from the last checkpoint, so --workdir has to be in a bucket. Every verb
# takes --dry-run, which prints its commands and runs none. Also: --project P, --runtime VERSION
# (else by type), --network N, --subnetwork N, --service-account A, --restarts N (5).
set -euo pipefail
LAUNCH="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=launch/commands.sh
source "$LAUNCH/commands.sh"

POLL="${PLACE_POLL_SECONDS:-30}"
BAD_INPUT=1
SILENT=20 # answers in a row that may fail to come

[ "$#" -ge 2 ] || usage
VERB="$1" NAME="$2"
shift 2
ZONE="" TYPE="" SLICES=1 SPOT="" RUNTIME="" RESTARTS=5 WIDE=() CREATE=() TRAIN=()
while [ "$#" -gt 0 ]; do
  case "$1" in
    --zone) ZONE="$(value_of "$@")"; shift 2 ;;
    --type) TYPE="$(value_of "$@")"; shift 2 ;;
    --slices) SLICES="$(value_of "$@")"; shift 2 ;;
    --runtime) RUNTIME="$(value_of "$@")"; shift 2 ;;
    --restarts) RESTARTS="$(value_of "$@")"; shift 2 ;;
    --project) WIDE+=("--project=$(value_of "$@")"); shift 2 ;;
    --network | --subnetwork | --service-account) CREATE+=("$1=$(value_of "$@")"); shift 2 ;;
    --spot) SPOT=1; shift ;;
    --dry-run) DRY_RUN=1; shift ;;
    --) shift; TRAIN=("$@"); break ;;
    *) fail "$1 is not known: see the first lines of this script" ;;
  esac
done
[ -n "$ZONE" ] || fail "give --zone, where the TPU is or shall be"
WIDE=("--zone=$ZONE" "${WIDE[@]}")
QUEUED=(gcloud compute tpus queued-resources)
exec 3>&1
cd "$LAUNCH/.."

runtime_of() {
  case "$1" in
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    *) echo tpu-ubuntu2204-base ;;
  esac
}

# ACTIVE, WAITING_FOR_RESOURCES, PROVISIONING, SUSPENDED, FAILED, ...; nothing where there is none,
# UNKNOWN where no answer came.
state() {
  show "${QUEUED[@]}" describe "$NAME" "${WIDE[@]}" "--format=value(state.state)" >&3
  if [ -n "$DRY_RUN" ]; then echo ACTIVE; return; fi
  local said errors
  errors="$(mktemp)"
  if ! said="$("${QUEUED[@]}" describe "$NAME" "${WIDE[@]}" "--format=value(state.state)" 2>"$errors")"; then
    said+="$(cat "$errors")"
    case "$said" in
      *NOT_FOUND* | *"not found"*) said="" ;;
      *) said=UNKNOWN && head -n 1 "$errors" >&2 ;;
    esac
  fi
  rm -f "$errors"
  echo "$said"
}

ask_for_it() {
  [ -n "$TYPE" ] || fail "give --type, such as v5litepod-16"
  chips_of "$TYPE" >/dev/null
  local nodes=("--node-id=$NAME") spot=()
  [ "$SLICES" -eq 1 ] || nodes=("--node-count=$SLICES" "--node-prefix=$NAME")
  [ -z "$SPOT" ] || spot=(--spot)
  run "${QUEUED[@]}" create "$NAME" "${WIDE[@]}" "--accelerator-type=$TYPE" \
    "--runtime-version=${RUNTIME:-$(runtime_of "$TYPE")}" "${nodes[@]}" "${spot[@]}" "${CREATE[@]}"
}

remove() {
  run "${QUEUED[@]}" delete "$NAME" "${WIDE[@]}" --force --quiet
}

# Waits until the slice is there. Returns 1 where it was taken away or could not be given.
wait_for_it() {
  local now before="" silent=0
  while true; do
    now="$(state)"
    [ "$now" = "$before" ] || echo "tpu_vm.sh: $NAME is ${now:-not there}"
    before="$now"
    case "$now" in
      ACTIVE) return 0 ;;
      "" | FAILED | SUSPENDED) return 1 ;;
      UNKNOWN) silent=$((silent + 1)) ;;
      *) silent=0 ;;
    esac
    [ "$silent" -lt "$SILENT" ] || fail "$SILENT answers in a row did not come: see to the login, the zone and the project"
    sleep "$POLL"
  done
}

on_all_hosts() {
  run "${QUEUED[@]}" ssh "$NAME" "${WIDE[@]}" --node=all --worker=all "--command=$1"
}

setup() {
  local archive
  archive="${TMPDIR:-/tmp}/place_jax_$NAME.tar.gz"
  run git archive --format=tar.gz "--output=$archive" HEAD
  run "${QUEUED[@]}" scp "$archive" "$NAME:place_jax.tar.gz" "${WIDE[@]}" --node=all --worker=all
  on_all_hosts "mkdir -p place_jax && tar -xzf place_jax.tar.gz -C place_jax && place_jax/launch/on_tpu_host.sh"
}

train() {
  [ "${#TRAIN[@]}" -gt 0 ] || fail "give the arguments of place train after --"
  [ -n "$TYPE" ] || fail "give --type: preflight counts the chips"
  local chips arguments command status=0 left="$RESTARTS"
  chips="$(chips_of "$TYPE")"
  arguments="--devices $((chips * SLICES))$(printf ' %q' "${TRAIN[@]}")"
  command="set -o pipefail; PATH=\$HOME/place_jax/.venv/bin:\$PATH; { place preflight $arguments && place train $arguments; } 2>&1 | tee -a place_jax.log"
  while true; do
    if ! wait_for_it; then
      # Only what is over is removed: a place in the queue is not given up for a lost answer.
      case "$(state)" in
        "") ;;
        FAILED | SUSPENDED) remove || { sleep "$POLL" && continue; } ;;
        *) continue ;;
      esac
      ask_for_it
      continue
    fi
    on_all_hosts "test -e place_jax.ready" || setup
    status=0
    on_all_hosts "$command" || status=$?
    if [ "$status" -eq 0 ]; then
      echo "tpu_vm.sh: done. The slice is still there and costs: launch/tpu_vm.sh delete $NAME --zone $ZONE"
      return 0
    fi
    [ "$status" -ne "$BAD_INPUT" ] || fail "place ended with status 1, bad input: its last line says what to change"
    [ "$(state)" = ACTIVE ] || continue
    [ "$left" -gt 0 ] || fail "ended with status $status after $RESTARTS restarts: launch/tpu_vm.sh logs $NAME --zone $ZONE"
    left=$((left - 1))
    echo "tpu_vm.sh: ended with status $status; starts again from the last checkpoint, $left restarts left"
  done
}

case "$VERB" in
  create)
    ask_for_it
    wait_for_it || fail "$NAME was not given: launch/tpu_vm.sh status $NAME --zone $ZONE says why"
    ;;
  setup) setup ;;
  train) train ;;
  status) run "${QUEUED[@]}" describe "$NAME" "${WIDE[@]}" ;;
  logs) run "${QUEUED[@]}" ssh "$NAME" "${WIDE[@]}" --node=0 --worker=0 "--command=tail -n 200 -f place_jax.log" ;;
  delete) remove ;;
  *) usage ;;
esac
