#!/usr/bin/env bash
# Shows that each leg can fail: plants a fault in a copy of the tree, runs the leg on it, and wants it to fail for the
# reason that was planted. Arguments name the legs.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The copy shares the target directory, so only the library itself is built again.
export CARGO_TARGET_DIR=$TARGET_DIR IORA_FUZZ_SECONDS=5
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
HERE=$PWD
COPY=$SCRATCH/iora

fresh_copy() {
    rm -rf "$COPY"
    mkdir "$COPY"
    tar -C "$HERE" --exclude=./target --exclude=./.git --exclude=./ci/fuzz/target \
        --exclude=./tests/monkey_programs/target -cf - . | tar -C "$COPY" -xf -
    mkdir -p "$COPY/examples" "$COPY/benches"
}

# fails WORDS COMMAND...: succeeds when the command, run in the copy, fails and prints WORDS (a pattern of grep -E).
fails() {
    local words=$1 log=$SCRATCH/log
    shift
    if (cd "$COPY" && timeout --kill-after=10 600 "$@") >"$log" 2>&1 </dev/null; then
        cat "$log"
        echo "it passed, and should have failed"
        return 1
    fi
    if grep -q '^check SKIPPED' "$log" || ! grep -qE -- "$words" "$log"; then
        tail -n 60 "$log"
        echo "it failed, but not with: $words"
        return 1
    fi
}

# plant NAME WORDS COMMAND...: a fault has been planted in the copy; the command must find it. Then a fresh copy.
plant() {
    local name=$1
    shift
    check "$name is found" fails "$@"
    fresh_copy
}

# wanted LEG: whether this leg was asked for.
wanted() {
    [[ " $LEGS " == *" $1 "* ]]
}

LEGS=${*:-run tidy deps lint features docs test monkey programs loom asan fuzz bench}
fresh_copy

if wanted run; then
    printf '#!/usr/bin/env bash\necho "check ok: one"; echo "test result: ok. 2 passed; 0 failed; 1 ignored;"; exit 0\n' \
        >"$COPY/ci/good.sh"
    printf '#!/usr/bin/env bash\necho "check ok: one"; exit 3\n' >"$COPY/ci/bad.sh"
    printf '#!/usr/bin/env bash\nexit 0\n' >"$COPY/ci/empty.sh"
    printf '#!/usr/bin/env bash\nsleep 60\n' >"$COPY/ci/hangs.sh"
    chmod +x "$COPY"/ci/*.sh
    check "a leg that crashes is found" fails '^4 passed, 1 failed, 1 skipped$' ci/run.sh good bad
    check "a leg that checks nothing is found" fails '^3 passed, 1 failed, 1 skipped$' ci/run.sh good empty
    plant "a leg that hangs" '^0 passed, 1 failed, 0 skipped$' env IORA_CI_LEG_LIMIT=1 ci/run.sh hangs
fi

if wanted tidy; then
    printf 'fn  main(){}\n' >"$COPY/examples/planted.rs"
    plant "unformatted code" 'check FAILED: formatted' ci/tidy.sh
    printf 'blank at the end \n' >>"$COPY/CHANGELOG.md"
    plant "a trailing blank" 'check FAILED: no trailing blanks' ci/tidy.sh
    printf 'see /%s/somebody/notes\n' home >>"$COPY/CHANGELOG.md"
    plant "a machine's path" 'check FAILED: no machine paths' ci/tidy.sh
    printf 'see %s%s\n' NOWHERE .md >>"$COPY/CHANGELOG.md"
    plant "a page that does not exist" 'not in this tree: NOWHERE' ci/tidy.sh
    { printf '//! Long.\n'; seq -f '// %g' 500; } >"$COPY/src/planted.rs"
    plant "a file that is too long" 'src/planted.rs: 501 lines' ci/tidy.sh
    sed -i 's/^version = .*/version = "9.9.9"/' "$COPY/Cargo.toml"
    plant "a stale lock file" 'check FAILED: Cargo.lock' ci/tidy.sh
    # shellcheck disable=SC2016
    printf '#!/usr/bin/env bash\necho $1\n' >"$COPY/ci/planted.sh"
    if command -v shellcheck >/dev/null; then
        plant "a script with a fault" 'check FAILED: shellcheck' ci/tidy.sh
    else
        skip "a script with a fault" "shellcheck is not installed"
        fresh_copy
    fi
fi

if wanted deps; then
    sed -i 's/^mio .*/mio 0.0.1 | MIT/' "$COPY/ci/deps.txt"
    plant "a dependency that is not listed" '^\+mio ' ci/deps.sh
    sed -i 's/^ALLOWED=.*/ALLOWED=" Apache-2.0 "/' "$COPY/ci/deps.sh"
    plant "a licence that is not allowed" 'licence not allowed: mio ' ci/deps.sh
fi

if wanted lint; then
    cat >>"$COPY/src/primitive.rs" <<'END'

/// Planted.
#[expect(unsafe_code, reason = "planted")]
pub(crate) fn planted(pointer: *const u8) -> u8 {
    unsafe { *pointer }
}
END
    plant "a missing SAFETY comment" 'unsafe block missing a safety comment' ci/lint.sh --lib
    printf '\n/// Planted.\npub(crate) fn planted() {\n    std::thread::sleep(std::time::Duration::ZERO);\n}\n' \
        >>"$COPY/src/primitive.rs"
    plant "a call that stops the thread" 'disallowed method .std::thread::sleep' ci/lint.sh --lib
fi

if wanted features; then
    printf '\n#[cfg(feature = "planted")]\ncompile_error!("planted");\n' >>"$COPY/src/primitive.rs"
    sed -i 's/^\[features\]/&\nplanted = []/' "$COPY/Cargo.toml"
    plant "a feature that does not compile" 'check FAILED: .*planted' ci/features.sh
fi

if wanted docs; then
    # shellcheck disable=SC2016
    printf '\n/// See [`nowhere`].\npub(crate) fn planted() {}\n' >>"$COPY/src/primitive.rs"
    plant "a broken link" 'unresolved link to .nowhere' ci/docs.sh
fi

if wanted monkey; then
    sed -i 's/SOCKET receive: recv recvfrom/SOCKET receive: recvfrom/' "$COPY/src/monkey/report.rs"
    plant "a blocking function that is not hooked" 'nothing_of_std_is_forgotten \.\.\. FAILED' \
        ci/monkey.sh --test monkey_coverage
fi

if wanted programs && [ -n "$(program_lacks)" ]; then
    skip "programs" "$(program_lacks | paste -sd,) not installed"
elif wanted programs; then
    sed -i 's/DNS names: getaddrinfo freeaddrinfo getnameinfo;/DNS names: getaddrinfo freeaddrinfo;/' \
        "$COPY/src/monkey/report.rs"
    plant "a blocking function of a C library" 'nothing_of_c_is_forgotten \.\.\. FAILED' ci/programs.sh coverage
    sed -i 's/if !is_on(SELECT) || limit == 0 {/if is_on(SELECT) || limit == 0 {/' "$COPY/src/monkey/select.rs"
    plant "a hook that blocks" 'libpq_sleeps_in_the_server \.\.\. FAILED' ci/programs.sh libpq::
fi

if wanted test; then
    printf '//! Planted.\n\n#[test]\nfn planted() {\n    assert_eq!(1, 2);\n}\n' >"$COPY/tests/planted.rs"
    plant "a failing test" 'test planted \.\.\. FAILED' ci/test.sh --test planted
    # shellcheck disable=SC2016
    printf '\n```rust\nassert_eq!(1, 2);\n```\n' >>"$COPY/README.md"
    plant "a wrong example in the README" 'src/readme.rs - readme .* FAILED' ci/test.sh --doc readme
    # The layer test reads the faulty source, and is itself built from the sound one.
    layers=(env IORA_LAYERS_ROOT="$COPY/src" "$HERE/ci/test.sh" --test layers)
    printf '\nuse crate::sync::planted;\n' >>"$COPY/src/hub/park.rs"
    plant "an upward import" 'hub/park.rs:[0-9]+: hub may not import .sync::planted' "${layers[@]}"
    printf '\nuse mio::planted;\n' >>"$COPY/src/hub/park.rs"
    plant "a crate outside of its home" 'hub/park.rs:[0-9]+: names mio' "${layers[@]}"
    printf '\nfn planted() {}\n' >>"$COPY/src/hub/mod.rs"
    plant "code in a mod.rs" 'hub/mod.rs:[0-9]+: more than declarations' "${layers[@]}"
    printf '\nunsafe fn planted() {}\n' >>"$COPY/src/primitive.rs"
    plant "unsafe code in a file that is not listed" 'primitive.rs:[0-9]+: unsafe, and not in the list' "${layers[@]}"
    for pair in 'one two' 'two one'; do
        printf '//! Planted.\nuse super::%s;\n' "${pair#* }" >"$COPY/src/hub/${pair% *}.rs"
    done
    plant "a circle" 'a circle: hub/one.rs -> hub/two.rs -> hub/one.rs' "${layers[@]}"
fi

if wanted loom; then
    cat >>"$COPY/src/primitive.rs" <<'END'

#[cfg(all(test, loom))]
mod tests {
    use super::{Arc, atomic::AtomicUsize, atomic::Ordering};

    #[test]
    fn loom_planted() {
        loom::model(|| {
            let counter = Arc::new(AtomicUsize::new(0));
            let other = counter.clone();
            let thread = loom::thread::spawn(move || other.store(other.load(Ordering::SeqCst) + 1, Ordering::SeqCst));
            counter.store(counter.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread.join().unwrap();
            assert_eq!(counter.load(Ordering::SeqCst), 2);
        });
    }
}
END
    plant "a lost update" 'loom_planted \.\.\. FAILED' ci/loom.sh loom_planted
fi

if wanted asan; then
    cat >"$COPY/tests/planted.rs" <<'END'
//! Planted.
#![expect(unsafe_code, reason = "planted")]

#[test]
fn planted() {
    let bytes = vec![1u8; 16];
    let pointer = std::hint::black_box(bytes.as_ptr());
    drop(bytes);
    // SAFETY: it is not.
    assert_eq!(unsafe { pointer.read_volatile() }, 1);
}
END
    plant "a use after free" 'heap-use-after-free' ci/asan.sh --test planted
fi

if wanted fuzz; then
    sed -i 's/^pub fn names(.*/&\n    assert!(!content.contains(\&b'"'0'"'), "planted");/' "$COPY/src/fuzzing.rs"
    plant "a parser that panics" 'planted' ci/fuzz.sh names
    sed -i 's/let seconds = age.as_secs() + .*/let seconds = age.as_secs();/' "$COPY/examples/dns_forwarder/stored.rs"
    plant "a TTL above what is left" 'assertion .*left == right' ci/fuzz.sh forwarder_answers
fi

if wanted bench; then
    printf '//! Planted.\nfn main() {\n    println!("bench=planted runtime=iora value=fast unit=ns");\n}\n' >"$COPY/benches/planted.rs"
    printf '\n[[bench]]\nname = "planted"\nharness = false\n' >>"$COPY/Cargo.toml"
    plant "a line of another form" 'are not of the form' ci/bench.sh planted
fi
finish
