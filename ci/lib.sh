# shellcheck shell=bash
# Sourced by every leg. A leg prints what it runs and, for what is not `cargo test`, one line a check:
#
#     check ok: NAME        check FAILED: NAME        check SKIPPED: NAME: why
#
# Those lines and cargo's own `test result:` lines are all that ci/run.sh counts.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# Nobody debugs what is built here, and thin LTO of every test binary would cost more than all tests together.
# An exported value wins, so `CARGO_PROFILE_RELEASE_LTO=thin ci/test.sh` tests what is published.
export CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-0}
export CARGO_PROFILE_RELEASE_DEBUG=${CARGO_PROFILE_RELEASE_DEBUG:-0}
export CARGO_PROFILE_RELEASE_LTO=${CARGO_PROFILE_RELEASE_LTO:-off}
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=${CARGO_PROFILE_RELEASE_CODEGEN_UNITS:-4}

# The legs with compiler flags of their own name their target, so that build scripts are built once, without them.
TRIPLE=x86_64-unknown-linux-gnu
TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export TRIPLE TARGET_DIR

failures=0

# say COMMAND...: prints a command as it could be typed.
say() {
    local words
    printf -v words ' %q' "$@"
    printf '+%s\n' "$words"
}

# check NAME COMMAND...: runs a command and says whether it succeeded.
check() {
    local name=$1
    shift
    say "$@"
    if "$@" </dev/null; then
        printf 'check ok: %s\n' "$name"
    else
        printf 'check FAILED: %s\n' "$name"
        failures=$((failures + 1))
    fi
}

# tests COMMAND...: runs a `cargo test` command, whose own result lines are counted.
tests() {
    say "$@"
    "$@" </dev/null || failures=$((failures + 1))
}

# skip NAME WHY: for what cannot run here.
skip() {
    printf 'check SKIPPED: %s: %s\n' "$1" "$2"
}

# need NAME PROGRAM...: ends the leg as skipped when a program is missing.
need() {
    local name=$1 program
    shift
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            skip "$name" "$program is not installed"
            exit 0
        fi
    done
}

# finish: the last line of every leg.
finish() {
    [ "$failures" -eq 0 ] || exit 1
}
