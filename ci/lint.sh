#!/usr/bin/env bash
# Clippy on everything that is built, a warning being an error. Arguments replace `--all-targets`.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if ! cargo clippy --version >/dev/null 2>&1; then
    skip "clippy" "clippy is not installed"
    exit 0
fi
[ $# -gt 0 ] || set -- --all-targets
others=(--manifest-path tests/monkey_programs/Cargo.toml --features "$(program_features)")
check "clippy, all features" cargo clippy --locked --all-features "$@" -- -D warnings
CARGO_TARGET_DIR=$TARGET_DIR check "clippy, programs of others" cargo clippy --locked "${others[@]}" --all-targets -- -D warnings
finish
