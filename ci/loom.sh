#!/usr/bin/env bash
# The loom models (tests whose name starts with `loom_`): the interleavings of the lock-free and the waiting code.
# Arguments replace the `loom_` filter: the models whose names contain one of them.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -gt 0 ] || set -- loom_
export RUSTFLAGS="--cfg loom"
# With up to five preemptions in each run, in seconds. `LOOM_MAX_PREEMPTIONS=100 ci/loom.sh` has no such bound.
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-5}
run=(cargo test --locked --release --target "$TRIPLE" --lib)

models=$("${run[@]}" -- --list "$@" | grep -c ': test$') || true
if [ "$models" -eq 0 ]; then
    echo "no model matches: $*"
    exit 1
fi
tests "${run[@]}" -- "$@"
finish
