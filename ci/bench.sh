#!/usr/bin/env bash
# Runs every bench at tiny sizes, so that none can rot, and checks each line of its output:
#     bench=NAME runtime=NAME value=NUMBER unit=UNIT
# Arguments name the benches. The figures mean nothing: measure with `cargo bench --bench NAME`.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need "bench" jq

export IORA_BENCH_QUICK=1
LINE='^bench=[a-z0-9_]+ runtime=[a-z0-9-]+ value=[0-9]+(\.[0-9]+)? unit=[^[:space:]]+$'
mkdir -p "$TARGET_DIR/ci"

benches() {
    cargo metadata --locked --no-deps --format-version 1 \
        | jq -r '.packages[0].targets[] | select(.kind == ["bench"]) | .name'
}

# run_bench NAME: it ends well, prints at least one line, iora's among them, and no line of another form.
run_bench() {
    local output="$TARGET_DIR/ci/bench-$1.out"
    local features=()
    [ "$1" != hooks ] || features=(--features monkey)
    timeout --kill-after=10 300 cargo bench --locked "${features[@]}" --bench "$1" >"$output" || { cat "$output"; return 1; }
    cat "$output"
    if grep -vE "$LINE" "$output"; then
        echo "the lines above are not of the form bench=NAME runtime=NAME value=NUMBER unit=UNIT"
        return 1
    fi
    grep -q ' runtime=iora ' "$output" || { echo "no line of iora's"; return 1; }
}

if [ $# -eq 0 ]; then
    mapfile -t names < <(benches)
    set -- "${names[@]}"
fi
if [ $# -eq 0 ]; then
    skip "bench" "there is none"
fi
for name in "$@"; do
    check "bench $name" run_bench "$name"
done
finish
