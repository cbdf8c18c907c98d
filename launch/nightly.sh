#!/usr/bin/env bash
# Makes the environment and runs every test, the slow ones too (about an hour and a half on two cores).
exec "$(dirname "${BASH_SOURCE[0]}")/test.sh" -m "slow or not slow" "$@"
