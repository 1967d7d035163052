#!/usr/bin/env bash
# The tests: unit, integration, examples and documentation in debug, all but documentation again in release.
# With arguments: one `cargo test` in debug with them.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ $# -gt 0 ]; then
    tests cargo test --locked --no-fail-fast "$@"
else
    # Some tests run the examples, which `--tests` does not build, nor `cargo test` all of them.
    tests cargo build --locked --examples
    tests cargo test --locked --no-fail-fast
    tests cargo build --locked --release --examples
    tests cargo test --locked --no-fail-fast --release --lib --tests
fi
finish
