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

# Features of tests/monkey_programs, and the C libraries that they need as pkg-config knows them.
declare -rA PROGRAM_LIBRARIES=([curl]=libcurl [libpq]=libpq [openssl]=openssl)
# Where Debian keeps PostgreSQL's server: not on the search path.
readonly POSTGRESQL='/usr/lib/postgresql/*/bin/initdb'

# has_library FEATURE: whether the library that the feature needs is installed, headers and all.
has_library() {
    command -v pkg-config >/dev/null && pkg-config --exists "${PROGRAM_LIBRARIES[$1]}"
}

# program_features: the features of tests/monkey_programs that can be built here.
program_features() {
    local feature
    for feature in "${!PROGRAM_LIBRARIES[@]}"; do
        if has_library "$feature"; then
            echo "$feature"
        fi
    done | sort | paste -sd,
}

# program_lacks: a line for each module of tests/monkey_programs that cannot run here, and what is missing.
program_lacks() {
    local feature
    for feature in "${!PROGRAM_LIBRARIES[@]}"; do
        has_library "$feature" || echo "$feature ${PROGRAM_LIBRARIES[$feature]} with its headers is"
    done
    command -v redis-server >/dev/null || echo "redis redis-server is"
    command -v /usr/sbin/mariadbd >/dev/null || echo "mysql mariadbd is"
    compgen -G "$POSTGRESQL" >/dev/null || printf '%s PostgreSQL is\n' postgres libpq
}

# finish: the last line of every leg.
finish() {
    [ "$failures" -eq 0 ] || exit 1
}
