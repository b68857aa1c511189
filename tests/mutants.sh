#!/usr/bin/env bash
# Injects faults into the CUDA kernels, one at a time, and demands that the tests see each.
#
#   make mutants                                  all of tests/mutants/*.txt and training/tests/mutants.txt
#   make mutants MUTANTS=tests/mutants/norms.txt  some
#   make mutants SHARE=1/4                        numbers 1, 5, 9, ...: a quarter, for who has not the time for all
#   tests/mutants.sh --self-test                  whether a survivor and a stale mutant are reported (from make only)
#
# A mutant is a paragraph of a list; the list's lines before the first one are remarks:
#
#   file: kernels/cuda/norms.cu                   a kernel or a header of kernels, or a source of runtime/
#   what: the sum over the warps leaves out the last one
#   tests: kernels: rmsnorm*                      which test cases must fail: filters of doctest (-tc), commas between
#   with: races                                   optional: needs the race detector (the build of make test-races)
#   with: training                                optional: tests of the trainer (build/training_tests), without races
#   ---
#   the old text, which must stand in the file exactly once
#   +++
#   the new text, up to the next "file:" or the end
#
# What includes the file is compiled as the emulated kernels are, linked with the rest of the tests, and run. A mutant
# is killed if the run fails: by a wrong result, by the emulator's complaint, by a crash, or because it never ends. The
# same tests must pass without the fault. Exit status 1 if a mutant survives, is stale or does not compile.
#
# The Makefile hands over, in the environment: BUILD, COMPILE and RACE_COMPILE (commands to which "FILE -o OBJECT" is
# appended), LINK and LINK_END (around the objects), OBJECTS, RACE_OBJECTS and TRAINER_OBJECTS (of build/training_tests).
set -uo pipefail
cd "$(dirname "$0")/.."
: "${BUILD:?run me by make mutants}"
scratch=$BUILD/mutants

# Writes each mutant of the lists to $scratch/NUMBER: file, what, tests, with, old, new.
parse() {
    awk -v scratch="$scratch" '
    function close_body(    text) {
        if (part == "") return
        text = body; sub(/\n+$/, "", text)
        printf "%s", text >(folder "/" part); close(folder "/" part)
        part = ""
    }
    FNR == 1 { close_body(); in_head = 0 }  # the remarks of a list belong to no mutant
    /^file: / {
        close_body()
        folder = sprintf("%s/%03d", scratch, ++count)
        system("mkdir -p " folder)
        in_head = 1
        print FILENAME >(folder "/list")
    }
    in_head && /^(file|what|tests|with): / {
        key = $1; sub(/:$/, "", key)
        value = $0; sub(/^[a-z]+: */, "", value); sub(/[ \t]+$/, "", value)
        print value >(folder "/" key); close(folder "/" key)
        next
    }
    in_head && $0 == "---" { in_head = 0; part = "old"; body = ""; next }
    part == "old" && $0 == "+++" { close_body(); part = "new"; body = ""; next }
    part != "" { body = body $0 "\n" }
    END { close_body() }
    ' "$@"
}

field() { cat "$scratch/$1/$2" 2>/dev/null; }
is_race() { [ "$(field "$1" with)" = races ]; }

# Runs the tests of filter $2 with program $1, no longer than $3 seconds; what it says goes to file $4.
run_tests() {
    local environment=(LEON_TEST_BACKEND=cuda)
    [[ $1 == */race_tests ]] && environment+=(EMU_SCHED=random:1 EMU_STOP_AT_RACE=1)
    { env "${environment[@]}" timeout -k 5 "$3" "$1" -tc="$2" -aa=1 >"$4" 2>&1; } 2>/dev/null  # "Aborted", says bash
}

program_of() {
    case $(field "$1" with) in
        races) echo "$BUILD/race_tests" ;;
        training) echo "$BUILD/training_tests" ;;
        *) echo "$BUILD/leon_tests" ;;
    esac
}
control_of() { printf '%s %s' "$(program_of "$1")" "$(field "$1" tests)" | cksum | cut -d' ' -f1; }

# --control NUMBER: the tests of the mutant, without its fault. Leaves the seconds they take.
control() {
    local name log began=$SECONDS
    name=$scratch/control-$(control_of "$1")
    log=$name.log
    if ! run_tests "$(program_of "$1")" "$(field "$1" tests)" 900 "$log"; then
        echo "CONTROL FAILED  $(field "$1" tests): without any fault; see $log"
    elif ! grep -q 'test cases: *[1-9][0-9]* |' "$log" || grep -q 'test cases: *0 |' "$log"; then
        echo "CONTROL FAILED  $(field "$1" tests): no test case has this name"
    else
        echo $((SECONDS - began)) >"$name"
    fi
}

# Why a run failed, from its output and exit status.
cause() {
    local found
    case $2 in 124 | 137) echo "a run without end"; return ;; esac
    found=$(grep -m1 -oE 'emulator: (DATA RACE|DEADLOCK|LIVELOCK)[^:0]*|emulator: .*|AddressSanitizer: [a-z-]+|runtime error: .*' "$1")
    [ -n "$found" ] || found=$(grep -m1 -oE 'other bits .*|wrote outside its output|NaN or infinity at .*|worst at .*|integers differ|1 - cosine .*' "$1")
    [ -n "$found" ] || found=$(grep -m1 -oE 'CUDA failed: .*|SIG[A-Z]+ - .*|ERROR: .*' "$1")
    echo "${found:-exit status $2}" | cut -c1-100
}

# --mutant NUMBER: one line, and $scratch/NUMBER/result.
mutant() {
    local n=$1 file old new text rest sources compile program_objects program object source status seconds result
    local objects=() mutated=()
    file=$(field "$n" file) old=$(field "$n" old) new=$(field "$n" new)
    say() {
        echo "$1" >"$scratch/$n/result"
        printf '%-8s  %s: %s%s\n' "$1" "$file" "$(field "$n" what)" "${2:+  <- $2}"
    }
    text=$(cat "$file" 2>/dev/null) || { say STALE "no such file"; return; }
    rest=${text#*"$old"}
    if [ -z "$old" ] || [ "$rest" = "$text" ]; then say STALE "the old text is not in the file"; return; fi
    if [[ $rest == *"$old"* ]]; then say STALE "the old text stands in the file more than once"; return; fi
    mkdir -p "$scratch/$n/tree/$(dirname "$file")"
    printf '%s\n' "${text/"$old"/"$new"}" >"$scratch/$n/tree/$file"

    compile=$COMPILE program_objects=$OBJECTS program=$scratch/$n/$(basename "$(program_of "$n")")
    case $(field "$n" with) in
        races) compile=$RACE_COMPILE program_objects=$RACE_OBJECTS ;;
        training) program_objects=$TRAINER_OBJECTS ;;
    esac
    for object in $program_objects; do  # those made of the file, in place of which a mutated one is linked
        if [[ $object == *.o ]] && [[ $object =~ /((kernels|training)/cuda/[^/]*)\.o$ ]] &&
            grep -qE "(^| )$file( |:|\\\\|\$)" "${object%.o}.d"; then
            source=${BASH_REMATCH[1]}.cu
            [ -e "$scratch/$n/tree/$source" ] && source=$scratch/$n/tree/$source
            mutated+=("$scratch/$n/${BASH_REMATCH[2]}_$(basename "$object")")
            if ! $compile -iquote "$scratch/$n/tree" "$source" -o "${mutated[-1]}" >"$scratch/$n/log" 2>&1; then
                say BROKEN "it does not compile; see $scratch/$n/log"; return
            fi
            if is_race "$n"; then objcopy $RACE_RENAMES "${mutated[-1]}"; fi
        else
            objects+=("$object")
        fi
    done
    if [[ $file == runtime/*.cpp ]]; then  # linked before the library, whose object of this name is not needed then
        mutated=("$scratch/$n/$(basename "$file" .cpp).o")
        $compile "$scratch/$n/tree/$file" -o "${mutated[0]}" >"$scratch/$n/log" 2>&1 ||
            { say BROKEN "it does not compile; see $scratch/$n/log"; return; }
    fi
    if [ ${#mutated[@]} = 0 ]; then say STALE "no kernel is made of this file"; return; fi
    $LINK "${mutated[@]}" "${objects[@]}" -o "$program" $LINK_END >"$scratch/$n/log" 2>&1 ||
        { say BROKEN "it does not link; see $scratch/$n/log"; return; }

    seconds=$(cat "$scratch/control-$(control_of "$n")" 2>/dev/null) || { say UNTESTED "its control failed"; return; }
    run_tests "$program" "$(field "$n" tests)" $((20 + 5 * seconds)) "$scratch/$n/log"
    status=$?
    rm -f "$program" "${mutated[@]}"
    if [ $status = 0 ]; then say SURVIVED "$(field "$n" tests)"; else say KILLED "$(cause "$scratch/$n/log" $status)"; fi
}

all() {
    local began=$SECONDS n total killed
    rm -rf "$scratch"
    mkdir -p "$scratch"
    parse "$@" || exit 1
    local numbers=() first_of=() turn=${SHARE:-1/1}
    local of=${turn#*/}
    [[ $turn =~ ^[1-9][0-9]*/[1-9][0-9]*$ ]] || { echo "SHARE=$turn is not a share like 1/4"; exit 1; }
    declare -A seen=()
    for n in "$scratch"/[0-9]*/; do
        n=$(basename "$n")
        [ $(((10#$n - 1) % of)) = $(((${turn%/*} - 1) % of)) ] || continue
        for part in file what tests old new; do
            [ -e "$scratch/$n/$part" ] || { echo "$(field "$n" list): mutant $n has no \"$part\""; exit 1; }
        done
        numbers+=("$n")
        [ "${seen[$(control_of "$n")]:-}" ] || first_of+=("$n")
        seen[$(control_of "$n")]=1
    done
    [ ${#numbers[@]} -gt 0 ] || { echo "no mutants in $*"; exit 1; }
    printf '%s\n' "${first_of[@]}" | xargs -P "$(nproc)" -I{} "$0" --control {}
    printf '%s\n' "${numbers[@]}" | xargs -P "$(nproc)" -I{} "$0" --mutant {}
    total=${#numbers[@]} killed=$(cat "$scratch"/[0-9]*/result | grep -c '^KILLED$')
    echo "$killed of $total mutants killed${SHARE:+ (share $SHARE)}, $((SECONDS - began)) s"
    [ "$killed" = "$total" ]
}

self_test() {
    local said
    list=$(mktemp)  # not local: the trap sees it
    trap 'rm -f "$list"' EXIT
    cat >"$list" <<'END'
Remarks.

file: kernels/cuda/norms.cu
what: a change of a comment
tests: kernels: rmsnorm and layernorm*
---
#include "kernels/cuda/reduce.h"
+++
#include "kernels/cuda/reduce.h"  // as before

file: kernels/cuda/norms.cu
what: a text that is not there
tests: kernels: rmsnorm and layernorm*
---
no such text
+++
another

file: kernels/cuda/norms.cu
what: no C++
tests: kernels: rmsnorm and layernorm*
---
#include "kernels/cuda/reduce.h"
+++
#include "kernels/cuda/reduce.h"
?

file: kernels/cuda/norms.cu
what: tests that do not exist
tests: kernels: no such test
---
#include "kernels/cuda/reduce.h"
+++
#include "kernels/cuda/reduce.h"
int unused;
END
    said=$(all "$list") && { echo "mutants: a survivor does not fail the run"; exit 1; }
    for word in SURVIVED STALE BROKEN UNTESTED "0 of 4"; do
        grep -q "$word" <<<"$said" || { printf 'mutants: not reported: %s\n%s\n' "$word" "$said"; exit 1; }
    done
    echo "mutants: a survivor and three useless mutants are reported"
}

case ${1:-} in
    --control) control "$2" ;;
    --mutant) mutant "$2" ;;
    --self-test) self_test ;;
    *) all "$@" ;;
esac
