#!/usr/bin/env bash
# From nothing to an evaluated model and a page to look at:   launch/demo.sh [FOLDER]
#
# Makes the environment, renders PhantomCXR (synthetic radiographs with reports), pre-trains PLACE
# on it, evaluates it on patients held out, and names the page. FOLDER is runs/demo in the checkout
# unless given. Run again, it goes on where it stopped.
set -euo pipefail
CALLED_FROM="$PWD"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
OUT="${1:-$ROOT/runs/demo}"
case "$OUT" in /*) ;; *) OUT="$CALLED_FROM/$OUT" ;; esac
mkdir -p "$OUT"

echo "demo 1/3: render PhantomCXR, synthetic radiographs with reports, into $OUT/data"
place prepare phantom --config easy --patients 4000 --size 128 --image-size 128 \
  --out-dir "$OUT/data"

echo "demo 2/3: pre-train PLACE on it, and evaluate on patients held out"
place train --config phantom_demo --workdir "$OUT/run" --config.data.dir="$OUT/data"

echo "demo 3/3: what it reached"
place evaluate zero-shot --checkpoint "$OUT/run" --data "$OUT/data" --out "$OUT/zero_shot.json"
place evaluate retrieval --checkpoint "$OUT/run" --data "$OUT/data" --out "$OUT/retrieval.json"
place evaluate grounding --checkpoint "$OUT/run" --data "$OUT/data" --out "$OUT/grounding.json"
echo "scores: $OUT/run/result.json"
echo "page:   $OUT/run/report.html"
