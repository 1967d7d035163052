#!/usr/bin/env bash
# Everything that `ci/test.sh` runs in debug, with the hooks of libc there, and the tests of the hooks themselves.
# Arguments replace the choice of tests.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need "monkey" nm

[ $# -gt 0 ] || set -- --lib --bins --tests --examples
tests cargo test --locked --no-fail-fast --features monkey "$@"
finish
