#!/usr/bin/env bash
# The tests under AddressSanitizer, whose runtime comes with the stable toolchain. Arguments replace `--lib --tests`.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ ! -e "$(rustc --print sysroot)/lib/rustlib/$TRIPLE/lib/librustc-stable_rt.asan.a" ]; then
    skip "asan" "the toolchain has no AddressSanitizer runtime"
    exit 0
fi
# A stable compiler takes -Z flags only so.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address"
# Fake stacks would move locals out of the greenlets' stacks. Leaks are not looked for: what is still parked when a
# thread ends is leaked on purpose. The overflow report needs its own SIGSEGV handler.
export ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0:handle_segv=0:allow_user_segv_handler=1
if [ $# -eq 0 ]; then
    # Some tests run the examples, which `--tests` does not build.
    tests cargo build --locked --examples --target "$TRIPLE" --features sanitizer
    set -- --lib --tests
fi
tests cargo test --locked --no-fail-fast --target "$TRIPLE" --features sanitizer "$@"
finish
