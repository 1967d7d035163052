#!/usr/bin/env bash
# What the library depends on is what ci/deps.txt lists, under licences that are allowed here.
# `ci/deps.sh --update` rewrites the list: say in DESIGN.md why each direct dependency is there.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ALLOWED=" MIT Apache-2.0 BSD-2-Clause BSD-3-Clause ISC Unicode-3.0 Zlib "

# The normal (not dev, not build) dependencies, direct and indirect, for Linux: `name version | licence`.
tree() {
    cargo tree --locked -e normal --all-features --prefix none --no-dedupe --target "$TRIPLE" -f '{p} | {l}' \
        | sed -E '1d; s/^([^ ]+) v([^ ]+)[^|]*\|/\1 \2 |/' | sort -u
}

as_listed() {
    if ! diff -u ci/deps.txt <(tree); then
        echo "the dependencies are not those of ci/deps.txt"
        return 1
    fi
}

# allowed EXPRESSION: each part that `AND` joins offers, among what `OR` (or an old `/`) joins, a licence we allow.
allowed() {
    local part licence good
    while read -r part; do
        good=no
        for licence in ${part// OR / }; do
            [[ $ALLOWED != *" $licence "* ]] || good=yes
        done
        [ "$good" = yes ] || return 1
    done < <(sed 's/[()]//g; s|/| OR |g; s/ AND /\n/g' <<<"$1")
}

licences_allowed() {
    local line bad=0
    while read -r line; do
        if ! allowed "${line#* | }"; then
            echo "licence not allowed: $line"
            bad=1
        fi
    done < <(tree)
    return "$bad"
}

if [ "${1:-}" = --update ]; then
    tree >ci/deps.txt
fi
check "dependencies as listed" as_listed
check "licences" licences_allowed
finish
