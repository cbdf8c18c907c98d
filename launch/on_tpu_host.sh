#!/usr/bin/env bash
# Runs on each host of a TPU slice, from launch/tpu_vm.sh setup: unpacks the checkout and makes its
# environment. TPU VMs come with an older Python than is supported; uv brings one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 -m pip install --quiet --user "uv>=0.8"
UV="$HOME/.local/bin/uv"
"$UV" python install --quiet 3.12
PYTHON="$("$UV" python find 3.12)"
export PYTHON
# shellcheck source=launch/environment.sh
source launch/environment.sh
# The lock holds no TPU runtime, which jax names by version, and nothing for Google's buckets, where
# Orbax needs these to delete old checkpoints.
JAX="$(python -c 'import importlib.metadata as m; print(m.version("jax"))')"
VIRTUAL_ENV="$VENV" uv pip install --quiet "jax[tpu]==$JAX" \
  google-cloud-storage google-cloud-storage-control
touch "$HOME/place_jax.ready"
