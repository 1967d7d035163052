#!/usr/bin/env bash
# Runs the legs and adds up what they counted. `ci/run.sh` runs all, `ci/run.sh lint docs` only those named.
# The last line is `N passed, N failed, N skipped`; the exit status says whether nothing failed.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LEGS=(tidy deps lint features docs test monkey programs loom asan fuzz bench selftest)
[ $# -eq 0 ] || LEGS=("$@")
# Seconds a leg may take: a test that hangs fails its leg, not the whole run.
LIMIT=${IORA_CI_LEG_LIMIT:-1200}

# Debian's package for each program that some leg wants.
PROGRAMS=(cc:gcc g++:g++ jq:jq shellcheck:shellcheck dig:dnsutils curl:curl wrk:wrk dnsperf:dnsperf
    pkg-config:pkg-config redis-server:redis-server /usr/sbin/mariadbd:mariadb-server-core)
# And for each C library.
declare -A LIBRARY_PACKAGES=([curl]=libcurl4-openssl-dev [libpq]=libpq-dev [openssl]=libssl-dev)

# Installs what is missing, unless IORA_CI_INSTALL is `no`. Never fatal: a leg whose program is still missing afterwards
# is skipped, and says so.
install_packages() {
    local pair feature missing=() root=()
    for pair in "${PROGRAMS[@]}"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    for feature in "${!LIBRARY_PACKAGES[@]}"; do
        has_library "$feature" || missing+=("${LIBRARY_PACKAGES[$feature]}")
    done
    compgen -G "$POSTGRESQL" >/dev/null || missing+=(postgresql)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "${IORA_CI_INSTALL:-yes}" = no ]; then
        echo "not installed, as IORA_CI_INSTALL says: ${missing[*]}"
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
            echo "not installed, and neither root nor sudo here: ${missing[*]}"
            return 0
        fi
        root=(sudo -n)
    fi
    command -v apt-get >/dev/null || { echo "not installed, and no apt-get here: ${missing[*]}"; return 0; }
    say apt-get install -y --no-install-recommends "${missing[@]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
    "${root[@]}" "${apt[@]}" update </dev/null || true
    "${root[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null \
        || echo "apt-get failed: the legs that miss a program will say so"
}

# count FILE: sets passed, failed and skipped to what a leg's output adds up to.
count() {
    read -r passed failed skipped < <(awk '
        /^test result: / {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) == "passed;") passed += $i
                if ($(i + 1) == "failed;") failed += $i
                if ($(i + 1) == "ignored;") skipped += $i
            }
        }
        /^check ok: / { passed++ }
        /^check FAILED: / { failed++ }
        /^check SKIPPED: / { skipped++ }
        END { print passed + 0, failed + 0, skipped + 0 }
    ' "$1")
}

# run_leg LEG: runs one leg, shows its output as it comes, and adds a line to the summary.
run_leg() {
    local leg=$1 log="$TARGET_DIR/ci/$1.log" started=$SECONDS status=0 result=ok
    printf '\n== %s: ci/%s.sh\n' "$leg" "$leg"
    : >"$log"
    timeout --kill-after=10 "$LIMIT" "ci/$leg.sh" </dev/null >"$log" 2>&1 &
    local child=$!
    # Not a pipe: a process that outlives its test would hold a pipe open and this script with it.
    tail -n +1 -s 0.2 -f --pid="$child" "$log" || true
    wait "$child" || status=$?
    count "$log"
    [ "$status" -ne 124 ] || echo "ci/$leg.sh took more than $LIMIT s"
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1 # what did not build, crashed or hung has printed no count
    elif [ $((passed + failed + skipped)) -eq 0 ]; then
        echo "ci/$leg.sh checked nothing"
        failed=1
    fi
    if [ "$failed" -gt 0 ]; then
        result=FAILED
    elif [ "$passed" -eq 0 ]; then
        result=SKIPPED
    fi
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
    all_skipped=$((all_skipped + skipped))
    printf -v line '%-9s %-8s %5d s   %d passed, %d failed, %d skipped' \
        "$leg" "$result" $((SECONDS - started)) "$passed" "$failed" "$skipped"
    summary+=("$line")
    echo "$line"
}

# Why something was skipped or failed, again, where it is seen.
print_reasons() {
    local leg
    for leg in "${LEGS[@]}"; do
        grep -hE '^check (SKIPPED|FAILED): |^test .* \.\.\. (FAILED|ignored)' "$TARGET_DIR/ci/$leg.log" | sed "s/^/$leg: /" || true
    done
}

mkdir -p "$TARGET_DIR/ci"
all_passed=0 all_failed=0 all_skipped=0 summary=()
install_packages
rustc --version
cargo --version
for leg in "${LEGS[@]}"; do
    run_leg "$leg"
done
printf '\n== summary\n'
print_reasons
printf '%s\n' "${summary[@]}"
echo "$all_passed passed, $all_failed failed, $all_skipped skipped"
[ "$all_failed" -eq 0 ]
