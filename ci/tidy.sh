#!/usr/bin/env bash
# Form: formatting, white space, file length, references, and that the lock file belongs to Cargo.toml.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Lines a source file may have before its tests.
LONGEST=450
# Crates beside the library, with lock files of their own.
OTHER_CRATES=(ci/fuzz tests/monkey_programs)

# Text files of the tree, without asking git: the tree may be an unpacked archive.
text_files() {
    find . \( -path ./target -o -path ./.git -o -path ./ci/fuzz/target -o -path ./ci/fuzz/corpus \
        -o -path ./tests/monkey_programs/target \) -prune \
        -o -type f -print | sort
}

formatted() {
    local crate
    cargo fmt --check || return 1
    for crate in "${OTHER_CRATES[@]}"; do
        cargo fmt --check --manifest-path "$crate/Cargo.toml" || return 1
    done
}

# none PATTERN FILE...: fails, and shows them, when some line matches.
none() {
    local pattern=$1
    shift
    ! grep -nE "$pattern" -- "$@"
}

no_trailing_blanks() {
    mapfile -t files < <(text_files)
    none '[[:blank:]]+$' "${files[@]}"
}

# A path that exists on one machine only, or a note to oneself.
no_private_marks() {
    mapfile -t files < <(text_files | grep -v '^./ci/tidy.sh$')
    none '(^|[^[:alnum:]_.$}])/(root|work|home|Users)/|\b(FIXME|XXX|TODO)\b' "${files[@]}"
}

# A page that the text refers to has to exist.
pages_exist() {
    local page bad=0
    mapfile -t files < <(text_files | grep -v '^./ci/tidy.sh$')
    while read -r page; do
        if ! find . -path ./target -prune -o -name "$page" -print | grep -q .; then
            echo "named, but not in this tree: $page"
            bad=1
        fi
    done < <(grep -ohE '\b[A-Za-z0-9_-]+\.md\b' -- "${files[@]}" | sort -u)
    return "$bad"
}

# A line counts until the file's first `#[cfg(test)]` (or loom's) module.
short_files() {
    local bad=0 file lines
    while read -r file; do
        lines=$(awk '/^#\[cfg\((all\()?(test|loom)/ { exit } { n++ } END { print n + 0 }' "$file")
        if [ "$lines" -gt "$LONGEST" ]; then
            echo "$file: $lines lines before its tests, at most $LONGEST"
            bad=1
        fi
    done < <(find src -name '*.rs')
    return "$bad"
}

short_contributing() {
    [ "$(wc -l <CONTRIBUTING.md)" -lt 150 ]
}

# The lock files are there, belong to their Cargo.toml, and git (where there is one) has them.
lock_is_committed() {
    local crate
    for crate in . "${OTHER_CRATES[@]}"; do
        cargo metadata --locked --format-version 1 --filter-platform "$TRIPLE" --manifest-path "$crate/Cargo.toml" >/dev/null || return 1
        if git rev-parse --git-dir >/dev/null 2>&1; then
            git ls-files --error-unmatch "$crate/Cargo.lock" || return 1
        fi
    done
}

scripts_are_clean() {
    shellcheck -x .ci/run ci/*.sh
}

if cargo fmt --version >/dev/null 2>&1; then
    check "formatted" formatted
else
    skip "formatted" "rustfmt is not installed"
fi
check "no trailing blanks" no_trailing_blanks
check "no machine paths, no notes to oneself" no_private_marks
check "pages that are named exist" pages_exist
check "no source file over $LONGEST lines before its tests" short_files
check "CONTRIBUTING.md under 150 lines" short_contributing
check "Cargo.lock committed and current" lock_is_committed
if command -v shellcheck >/dev/null; then
    check "shellcheck" scripts_are_clean
else
    skip "shellcheck" "shellcheck is not installed"
fi
finish
