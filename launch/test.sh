#!/usr/bin/env bash
# Makes the environment and runs all tests:   launch/test.sh [pytest arguments]
#
# The full suite runs on the oldest supported Python of this machine; before it, the smoke tests run
# on the newest, where that is another one. PLACE_REAL_DATA may name a folder of real radiographs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$ROOT"
export JAX_PLATFORMS=cpu

if [ "$#" -eq 0 ] && [ -n "$NEWEST_PYTHON" ] && [ "$NEWEST_PYTHON" != "$PYTHON" ]; then
  make_environment "$NEWEST_PYTHON" "$VENV-newest"
  echo "tests: the smoke tests on $("$NEWEST_PYTHON" -V)"
  "$VENV-newest/bin/python" -m pytest -q -n 2 --dist loadfile -m "smoke and not slow"
fi

add_libtpu "$VENV" || echo "tests: libtpu is not to be had here: those that compile for TPUs skip"
echo "tests: $([ "$#" -eq 0 ] && echo "all but the slow ones" || echo "$*") on $("$PYTHON" -V)"
if [ "$#" -eq 0 ]; then set -- -m "not slow"; fi
exec "$VENV/bin/python" -m pytest -q -n 2 --dist loadfile --durations=15 "$@"
