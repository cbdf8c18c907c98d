#!/usr/bin/env bash
# Resolves pyproject.toml anew into the locks that the other scripts install:   launch/lock.sh
#
# requirements.lock is one resolution for all supported Pythons, checked by hash; a version that is in
# it already stays if it still fits (--upgrade, or --upgrade-package NAME, moves it).
# requirements-tpu.lock is libtpu alone, as jax's own `tpu` extra pins it: it is 700 MB, compiles for
# TPUs that are not there, and makes JAX look for a TPU at every start, so it is kept apart.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$ROOT"
COMPILE=("$VENV/bin/uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate)

"${COMPILE[@]}" pyproject.toml --extra train --extra test -o requirements.lock "$@"
WITH_TPU="$(mktemp)"
trap 'rm -f "$WITH_TPU"' EXIT
"${COMPILE[@]}" pyproject.toml --extra tpu -c requirements.lock -o "$WITH_TPU" >/dev/null
awk '/^[^ ]/ { keep = /^libtpu==/ } keep' "$WITH_TPU" >requirements-tpu.lock
echo "lock: requirements.lock and requirements-tpu.lock are written"
