#!/usr/bin/env bash
# The hooks of libc under programs and C libraries of others, against real servers: tests/monkey_programs.
# Arguments choose tests by name.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need "programs" cc nm

left_out=()
while read -r module what; do
    left_out+=(--skip "$module::")
    skip "$module" "$what not installed"
done < <(program_lacks)

export CARGO_TARGET_DIR=$TARGET_DIR
tests cargo test --locked --manifest-path tests/monkey_programs/Cargo.toml --test programs \
    --features "$(program_features)" -- "${left_out[@]}" "$@"
finish
