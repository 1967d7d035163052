#!/usr/bin/env bash
# The library compiles, without a warning, with no feature and with each one alone.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need "features" jq

features() {
    cargo metadata --locked --no-deps --format-version 1 | jq -r '.packages[0].features | keys[] | select(. != "default")'
}

# alone ARGUMENT...: warnings are denied for the library only; RUSTFLAGS would build all dependencies anew.
alone() {
    check "${*:-no feature}" cargo rustc --locked --lib --profile check --no-default-features "$@" -- -D warnings
}

alone
while read -r feature; do
    alone --features "$feature"
done < <(features)
finish
