#!/bin/bash
# Every check of the project, for people and for CI alike. Goes on to the end, then lists what failed.
#
#   tests/check.sh [STEP ...]        all steps when none is named:
#     format layers gcc clang tidy cppcheck shellcheck clients tests asan tsan fuzz
#
# Each step's output is kept in build/check/<step>.log. A step, and each test that a step runs, counts once in the last
# line. Exits with 0 when nothing failed. `./dev test` installs what this needs.
#
# Environment: FUZZ_SECONDS for each fuzzer (default 10), JOBS at a time (default: one a core).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/progress.sh
. cmake/progress.sh

all="format layers gcc clang tidy cppcheck shellcheck clients tests asan tsan fuzz"
jobs=${JOBS:-$(nproc)}
logs=build/check
passed=0 failed=0 skipped=0
failures=()
SKIP=77

# --- steps: 0 is good, 77 is skipped, everything else has failed ------------------------------------------------------

c_files() {
    find core tuning bench tests -name node_modules -prune -o -name '*.[ch]' -print 2>/dev/null
}

step_format() {
    if ! command -v clang-format-14 >/dev/null; then
        echo "clang-format-14 is not to be had here, and other versions format differently"
        return $SKIP
    fi
    c_files | xargs -r clang-format-14 --dry-run --Werror
}

step_layers() {
    tests/layers.sh
}

configure_and_build() {
    local preset=$1
    cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs" -- -k 0
}

step_gcc() {
    configure_and_build release
}

step_clang() {
    command -v clang >/dev/null || return $SKIP
    configure_and_build clang
}

step_tidy() {
    if ! command -v clang-tidy-14 >/dev/null; then
        echo "clang-tidy-14 is not to be had here, and other versions find other things"
        return $SKIP
    fi
    cmake --preset clang >/dev/null && /usr/bin/python3 tests/tidy.py build/clang
}

step_cppcheck() {
    local state=${XDG_CACHE_HOME:-$HOME/.cache}/limpet/cppcheck folders=() folder
    if ! cppcheck --version 2>/dev/null | grep -q ' 2\.10'; then
        echo "cppcheck 2.10 is not to be had here, and other versions find other things"
        return $SKIP
    fi
    for folder in core tuning bench tests; do
        [ -z "$(find $folder -name '*.c' 2>/dev/null | head -n 1)" ] || folders+=("$folder")
    done
    [ ${#folders[@]} -gt 0 ] || return $SKIP
    mkdir -p "$state"
    cppcheck --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --quiet -j "$jobs" \
        --cppcheck-build-dir="$state" --suppress=missingInclude --suppress=ctuuninitvar -i tests/integration/node_modules \
        -D_GNU_SOURCE -DLIMPET_VERSION='""' -Icore -I. "${folders[@]}"
}

step_shellcheck() {
    command -v shellcheck >/dev/null || return $SKIP
    git ls-files --cached --others --exclude-standard | grep -v '^tests/fuzz/corpus/' |
        xargs -r awk 'FNR <= 2 && /^#!.*sh$|^# shellcheck shell/ { print FILENAME; nextfile }' |
        tee /dev/stderr | xargs -r shellcheck -x
}

# The JavaScript clients that integration tests use; installed again only when the lock file is newer.
step_clients() {
    local folder=tests/integration
    [ -e $folder/package-lock.json ] && command -v npm >/dev/null || return $SKIP
    if [ $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]; then
        echo "installed already"
        return 0
    fi
    (cd $folder && npm ci --no-audit --no-fund --ignore-scripts)
}

# run_tests PRESET LABELS: ctest, whose tests are counted from its own lines.
run_tests() {
    local preset=$1 labels=$2 launcher=()
    # ThreadSanitizer's memory layout does not stand the widest randomisation of addresses.
    if [ "$preset" = tsan ] && [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)" -gt 28 ]; then
        launcher=(setarch -R)
    fi
    ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp \
        "${launcher[@]}" ctest --test-dir "build/$preset" -j "$jobs" -L "^($labels)\$" --output-on-failure --no-tests=error
}

step_tests() {
    configure_and_build release && run_tests release "unit|integration"
}

step_asan() {
    configure_and_build asan && run_tests asan "unit|sim|integration"
}

step_tsan() {
    configure_and_build tsan && run_tests tsan "unit|integration"
}

# One fuzzer for a while: starts from the corpus in git, and keeps what it finds out of it.
fuzz_one() {
    local name log status=0 corpus
    name=$(basename "$1")
    log=$logs/fuzz/$name.log
    corpus=tests/fuzz/corpus/${name%_fuzz}
    mkdir -p "$logs/fuzz/$name"
    [ -d "$corpus" ] || corpus=
    "$1" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=10 -rss_limit_mb=2048 -verbosity=1 -print_final_stats=1 \
        -artifact_prefix="$logs/fuzz/$name-" "$logs/fuzz/$name" ${corpus:+"$corpus"} >"$log" 2>&1 </dev/null || status=$?
    if [ $status = 0 ]; then
        printf 'Fuzz %s: Passed, %s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: //p' "$log")"
    else
        printf 'Fuzz %s: Failed, see %s\n' "$name" "$log"
        tail -n 30 "$log"
    fi
    return $status
}

step_fuzz() {
    local fuzzers
    command -v clang >/dev/null || return $SKIP
    cmake --preset fuzz || return 1
    fuzzers=$(find tests/fuzz -name '*_fuzz.c' -exec basename {} .c \; 2>/dev/null | sort)
    if [ -z "$fuzzers" ]; then
        echo "there are no fuzzers yet"
        return $SKIP
    fi
    cmake --build --preset fuzz -j "$jobs" --target fuzzers || return 1
    export logs FUZZ_SECONDS
    export -f fuzz_one
    # shellcheck disable=SC2086 # a list
    printf 'build/fuzz/fuzz/%s\n' $fuzzers | xargs -P "$jobs" -I FUZZER bash -c 'fuzz_one FUZZER'
}

# ---------------------------------------------------------------------------------------------------------------------

# Adds the tests that a step ran to the sums, from the lines of ctest and of fuzz_one.
count_tests() {
    local log=$1 line
    while read -r line; do
        case $line in
        *Passed*) passed=$((passed + 1)) ;;
        *Skipped* | *Disabled*) skipped=$((skipped + 1)) ;;
        *)
            failed=$((failed + 1))
            failures+=("$line")
            ;;
        esac
    done < <(sed -nE -e 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) \.* *(.*)$/\1 \2/p' -e 's/^Fuzz ([^ ]+: .*)/\1/p' "$log" |
        sed "s|^|$2: |")
}

# What the tests that failed printed, the last 40 lines of each: from ctest's line of it to the next one of its kind.
show_failed_tests() {
    awk '
        function flush(  i) { for (i = n > 40 ? n - 40 : 0; i < n; i++) print lines[i] }
        /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / || /^ +Start +[0-9]+: / || /^[0-9]+% tests passed/ {
            if (inside) flush()
            n = 0
            inside = /\*\*\*/ && !/Skipped/
            if (inside) print
            next
        }
        inside { lines[n++] = $0 }' "$1"
}

# What in a log tells why: tests that failed, the errors of compilers and checkers, or else its end.
show_failure() {
    local errors
    if grep -qa '^The following tests FAILED' "$1"; then
        show_failed_tests "$1"
        return
    fi
    errors=$(grep -aE '(error|warning|portability|performance):|undefined reference|^[^ ]+:[0-9]+:[0-9]+: .*SC[0-9]{4}' "$1" | head -n 25)
    if [ -n "$errors" ]; then
        printf '%s\n...\n' "$errors"
    else
        tail -n 60 "$1"
    fi
}

run_step() {
    local name=$1 number=$2 count=$3 log=$logs/$1.log start=$SECONDS status=0 before=${#failures[@]}
    printf '== %s/%s %s\n' "$number" "$count" "$name"
    with_progress "$log" "step_$name" || status=$?
    count_tests "$log" "$name"
    case $status in
    0)
        passed=$((passed + 1))
        printf '   ok, %d s: %s\n' $((SECONDS - start)) "$(grep -a . "$log" | tail -n 1 | cut -c 1-100)"
        ;;
    "$SKIP")
        skipped=$((skipped + 1))
        printf '   skipped, %d s: %s\n' $((SECONDS - start)) "$(grep -a . "$log" | tail -n 1 | cut -c 1-160)"
        ;;
    *)
        # A step whose tests failed has been counted with them; otherwise it counts itself.
        if [ ${#failures[@]} -eq "$before" ]; then
            failed=$((failed + 1))
            failures+=("$name: see $log")
        fi
        printf '   FAILED, %d s; from %s:\n' $((SECONDS - start)) "$log"
        show_failure "$log" | cut -c 1-300 | sed 's/^/   | /'
        ;;
    esac
}

[ $# -gt 0 ] || eval "set -- $all"
for name in "$@"; do
    case " $all " in
    *" $name "*) ;;
    *)
        printf 'check.sh: no step is called %s; there are: %s\n' "$name" "$all" >&2
        exit 2
        ;;
    esac
done
mkdir -p "$logs"
number=0
for name in "$@"; do
    number=$((number + 1))
    run_step "$name" $number $#
done
printf '== %d s in all\n' "$SECONDS"
[ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
