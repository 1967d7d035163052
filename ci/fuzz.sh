#!/usr/bin/env bash
# Fuzzes each parser that a stranger's bytes reach: the saved corpus first, then a short search from it.
# Arguments name the targets; IORA_FUZZ_SECONDS is the length of each search. What a search finds stays in
# target/ci/fuzz; an input worth keeping is copied to ci/fuzz/corpus by hand.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need "fuzz" g++

SECONDS_EACH=${IORA_FUZZ_SECONDS:-15}
# As cargo-fuzz does it; a stable compiler takes -Z flags only with RUSTC_BOOTSTRAP.
flags=(
    --cfg fuzzing -Zsanitizer=address -Ccodegen-units=1 -Cdebug-assertions -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
)
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$TARGET_DIR

# search TARGET: libFuzzer writes what it finds to the first folder and reads the second too.
search() {
    local found="$TARGET_DIR/ci/fuzz/$1" log="$TARGET_DIR/ci/fuzz-$1.log"
    mkdir -p "$found"
    if ! "$TARGET_DIR/$TRIPLE/release/fuzz_$1" -max_total_time="$SECONDS_EACH" -timeout=10 -rss_limit_mb=2048 \
        -max_len=4096 -print_final_stats=1 -artifact_prefix="$TARGET_DIR/ci/fuzz-$1-" \
        "$found" "ci/fuzz/corpus/$1" >"$log" 2>&1; then
        grep -A 2 'panicked at' "$log" || true
        tail -n 40 "$log"
        return 1
    fi
    grep -E '^stat::(number|average)' "$log"
}

if [ $# -eq 0 ]; then
    for source in ci/fuzz/src/bin/fuzz_*.rs; do
        name=$(basename "$source" .rs)
        set -- "$@" "${name#fuzz_}"
    done
fi
say cargo build --locked --release --target "$TRIPLE" --manifest-path ci/fuzz/Cargo.toml
cargo build --locked --release --target "$TRIPLE" --manifest-path ci/fuzz/Cargo.toml </dev/null
for target in "$@"; do
    check "fuzz $target for $SECONDS_EACH s" search "$target"
done
finish
