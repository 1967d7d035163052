#!/usr/bin/env bash
# The documentation builds without a warning: for users, and for readers of the code (private items too).

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export RUSTDOCFLAGS="-D warnings"
check "public documentation" cargo doc --locked --no-deps --lib
# Private pages may link to private items, and public ones to private ones within them.
RUSTDOCFLAGS+=" -A rustdoc::private_intra_doc_links"
check "documentation of private items" cargo doc --locked --no-deps --lib --document-private-items
finish
