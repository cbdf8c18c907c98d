# shellcheck shell=bash
# What the launch scripts share: reading flags, and running commands or only printing them. Sourced.

# A failure inside $(...) ends the script too; & in a replacement stands for itself.
shopt -s inherit_errexit
shopt -u patsub_replacement 2>/dev/null || true
DRY_RUN=""

# Ends the script with one line that says what is wrong and what to do.
fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# Prints the first lines of the script, which say how it is called, and ends it.
usage() {
  sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
  exit 2
}

# Prints a command as one could type it.
show() {
  local word line=""
  for word in "$@"; do
    case "$word" in
      "" | *[!A-Za-z0-9_./:=,@%+-]*) line+="'${word//\'/\'\\\'\'}' " ;;
      *) line+="$word " ;;
    esac
  done
  echo "+ ${line% }"
}

# Runs a command, shown first; with --dry-run it is shown and not run.
run() {
  show "$@"
  [ -n "$DRY_RUN" ] || "$@"
}

# The value of a flag, or an end with a line that names the flag.
value_of() {
  [ "$#" -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value"
  echo "$2"
}

# How many chips a slice of this accelerator type has: v2 to v5p are named by their cores, two a
# chip; v5e and v6e by their chips.
chips_of() {
  local number="${1##*-}"
  case "$number" in "" | *[!0-9]*) fail "type $1 does not end in a number: give one such as v5litepod-16" ;; esac
  case "$1" in
    v5litepod-* | v6e-*) echo "$number" ;;
    v4-* | v5p-*) echo $((number / 2)) ;;
    *) fail "type $1 is not known: v4-N, v5litepod-N, v5p-N or v6e-N" ;;
  esac
}
