#!/usr/bin/env bash
# Everything that `ci/test.sh` runs in debug, with the hooks of libc there, and the tests of the hooks themselves.
# Arguments replace the choice of tests.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need "monkey" nm cc

if [ $# -eq 0 ]; then
    # Some tests run the examples, which `--examples` builds only as tests.
    tests cargo build --locked --features monkey --examples
    set -- --lib --bins --tests --examples
fi
tests cargo test --locked --no-fail-fast --features monkey "$@"
finish
