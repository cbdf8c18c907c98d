# shellcheck shell=bash
# Makes the Python environment that the other scripts run in. Meant to be sourced:
#
#   source launch/environment.sh
#
# Sets ROOT (the checkout), PYTHON, NEWEST_PYTHON, VENV and PATH. The packages are those of requirements.lock, checked by
# hash. Set PYTHON to choose an interpreter, PLACE_VENV to choose where the environment lies.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Fewer page faults where XLA takes and gives back large buffers (benchmarks/page_faults.py).
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"

# Prints the interpreters of this machine that are supported, "version path", oldest first.
supported_pythons() {
  local candidate
  {
    for candidate in python3 python3.11 python3.12 python3.13; do command -v "$candidate"; done
    ls "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[123].*/bin/python3
  } 2>/dev/null | while read -r candidate; do
    "$candidate" -c 'import sys
v = sys.version_info
if (3, 11) <= v[:2] <= (3, 13): print("%d.%d" % v[:2], sys.executable)' 2>/dev/null
  done | sort -t. -k2,2n -u
}

# Makes the environment in folder $2 with interpreter $1, or leaves it as it is if it is current.
make_environment() {
  local python="$1" venv="$2" stamp
  stamp="$("$python" -V) $(cat "$ROOT/requirements.lock" "$ROOT/pyproject.toml" | cksum) $ROOT"
  if [ -x "$venv/bin/place" ] && [ "$(cat "$venv/place_jax.stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "environment: $venv is ready"
    return 0
  fi
  echo "environment: making $venv with $("$python" -V) (a few minutes at most, about 3 GB)"
  "$python" -m venv "$venv" || {
    echo "environment: $python cannot make a virtual environment: install its venv package" \
      "(Debian and Ubuntu: python3-venv)" >&2
    return 1
  }
  "$venv/bin/python" -m pip install --quiet "uv>=0.8" || return 1
  # uv takes seconds where pip takes minutes; pip is there where uv cannot reach the packages.
  VIRTUAL_ENV="$venv" "$venv/bin/uv" pip install --quiet -r "$ROOT/requirements.lock" \
    || "$venv/bin/python" -m pip install --quiet -r "$ROOT/requirements.lock" || return 1
  VIRTUAL_ENV="$venv" "$venv/bin/uv" pip install --quiet --no-deps -e "$ROOT" \
    || "$venv/bin/python" -m pip install --quiet --no-deps -e "$ROOT" || return 1
  echo "$stamp" >"$venv/place_jax.stamp"
}

# Puts libtpu, which compiles for TPUs that are not there, beside environment $1 and on PYTHONPATH.
# In the environment itself it would make JAX look for a TPU at every start.
add_libtpu() {
  local folder="$1/libtpu" stamp
  stamp="$(cksum <"$ROOT/requirements-tpu.lock")"
  if [ "$(cat "$folder/place_jax.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "environment: adding libtpu in $folder (700 MB)"
    VIRTUAL_ENV="$1" "$1/bin/uv" pip install --quiet --target "$folder" -r "$ROOT/requirements-tpu.lock" \
      || "$1/bin/python" -m pip install --quiet --target "$folder" -r "$ROOT/requirements-tpu.lock" \
      || return 1
    echo "$stamp" >"$folder/place_jax.stamp"
  fi
  export PYTHONPATH="$folder${PYTHONPATH:+:$PYTHONPATH}"
}

PYTHON="${PYTHON:-$(supported_pythons | head -n 1 | cut -d' ' -f2)}"
# shellcheck disable=SC2034  # test.sh reads it
NEWEST_PYTHON="$(supported_pythons | tail -n 1 | cut -d' ' -f2)"
if [ -z "$PYTHON" ]; then
  echo "environment: no Python 3.11, 3.12 or 3.13 found: install one, or set PYTHON to it" >&2
  exit 1
fi
VENV="${PLACE_VENV:-$ROOT/.venv}"
make_environment "$PYTHON" "$VENV" || exit 1
export PATH="$VENV/bin:$PATH"
