#!/usr/bin/env bash
# launch/tpu_vm.sh over several slices, one replica of the model each, joined by the data center's
# network:
#
#   launch/multislice.sh train NAME 4 --zone ZONE --type v5litepod-256 [--spot] -- PLACE_TRAIN_ARGUMENTS
#
# VERB NAME SLICES, then as of tpu_vm.sh. Gradients alone cross between slices: mesh.replica is the
# number of slices unless the arguments set it.
set -euo pipefail
LAUNCH="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=launch/commands.sh
source "$LAUNCH/commands.sh"

[ "$#" -ge 3 ] || fail "give VERB NAME SLICES, then what launch/tpu_vm.sh takes"
VERB="$1" NAME="$2" SLICES="$3"
shift 3
case "$SLICES" in "" | *[!0-9]* | 0 | 1) fail "SLICES=$SLICES: 2 or more; for one slice use launch/tpu_vm.sh" ;; esac
FLAGS=() TRAIN=()
while [ "$#" -gt 0 ]; do
  if [ "$1" = "--" ]; then
    shift
    TRAIN=(-- "$@")
    case " $* " in *" --config.mesh.replica="*) ;; *) TRAIN+=("--config.mesh.replica=$SLICES") ;; esac
    break
  fi
  FLAGS+=("$1")
  shift
done
exec "$LAUNCH/tpu_vm.sh" "$VERB" "$NAME" --slices "$SLICES" "${FLAGS[@]}" "${TRAIN[@]}"
