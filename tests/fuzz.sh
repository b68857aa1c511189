#!/bin/sh
# Runs fuzz targets and says how many inputs each has tried.
#
#   tests/fuzz.sh SECONDS PROGRAM...     SECONDS in all, divided among the programs; two or more run side by side
#
# Seeds: tests/fuzz/seeds/NAME, and the test vectors of the same format. What a target finds worth keeping goes to
# corpus/NAME beside the program, where the next run begins. A failing input stays beside the program too, named
# NAME-crash-*, and is printed with the command that runs it again. Status 1 if there is one.
set -u
seconds=$1
shift
jobs=$(nproc 2>/dev/null || echo 1)
each=$((seconds * jobs / $#))
[ "$each" -gt 0 ] || each=1

seeds_of() {
    case $1 in
        fuzz_torch_file) echo tests/vectors/torch tests/vectors/hostile tests/vectors/models/meta_fused ;;
        fuzz_safetensors) echo tests/vectors/hostile ;;
        fuzz_image) echo tests/vectors/image/files tests/vectors/maps ;;
        fuzz_npy) echo tests/vectors/npy ;;
        fuzz_tokenizer) echo tests/vectors/tokenizer ;;
    esac
    [ ! -d "tests/fuzz/seeds/${1#fuzz_}" ] || echo "tests/fuzz/seeds/${1#fuzz_}"
}

# The longest input: a few times what a file with everything in it takes. Shorter ones are tried more often.
longest() {
    case $1 in
        fuzz_bpe) echo 1024 ;;
        fuzz_npy | fuzz_config) echo 4096 ;;
        fuzz_safetensors | fuzz_leon_file) echo 8192 ;;
        *) echo 16384 ;;
    esac
}

run() { # run PROGRAM
    name=$(basename "$1") folder=$(dirname "$1")
    mkdir -p "$folder/corpus/$name"
    # One allocation may be as large as the largest input and 64 MiB; a picture's, what leon's largest picture takes once
    # its file has shown that it holds one. What all together may take, the targets see to: tests/fuzz/input.h.
    limit=65
    [ "$name" != fuzz_image ] || limit=320
    # shellcheck disable=SC2046
    "$1" -max_total_time="$each" -timeout=10 -malloc_limit_mb=$limit -rss_limit_mb=2048 -max_len="$(longest "$name")" -print_final_stats=1 \
        -artifact_prefix="$folder/$name-" -verbosity=1 "$folder/corpus/$name" $(seeds_of "$name") >"$folder/$name.log" 2>&1
    echo $? >"$folder/$name.status"
}

running=0
for program in "$@"; do
    run "$program" &
    running=$((running + 1))
    if [ "$running" -ge "$jobs" ]; then
        wait
        running=0
    fi
done
wait

failed=0 total=0
for program in "$@"; do
    name=$(basename "$program") folder=$(dirname "$program")
    tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/$name.log")
    total=$((total + ${tried:-0}))
    if [ "$(cat "$folder/$name.status")" -eq 0 ]; then
        printf '%-20s %12s inputs in %s s\n' "$name" "${tried:-?}" "$each"
    else
        failed=1
        printf '%-20s FAILED: %s\n' "$name" "$(sed -n 's/.*\(ERROR: .*\|SUMMARY: .*\)/\1/p' "$folder/$name.log" | tail -1)"
        sed -n "s|.*Test unit written to \(.*\)|  again: $program \1|p" "$folder/$name.log"
    fi
done
echo "$total inputs in all"
exit $failed
