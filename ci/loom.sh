#!/usr/bin/env bash
# The loom models (tests whose name starts with `loom_`): every interleaving of the lock-free and the waiting code.
# Arguments replace the `loom_` filter.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -gt 0 ] || set -- loom_
export RUSTFLAGS="--cfg loom"
# More than three preemptions find nothing that fewer do not, and take hours.
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3}
run=(cargo test --locked --release --target "$TRIPLE" --lib)

models=$("${run[@]}" "$@" -- --list | grep -c ': test$') || true
if [ "$models" -eq 0 ]; then
    echo "no model matches: $*"
    exit 1
fi
tests "${run[@]}" "$@"
finish
