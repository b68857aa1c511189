#!/bin/sh
# A run that is killed ten times at random moments and resumed ends with the bits of one that was not.
#
#   training/tests/kill.sh build/leon RECIPE     of a run of some seconds or more; its data must be there
set -eu
leon=$1
recipe=$2
kills=${3:-10}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

began=$(date +%s%N)
"$leon" train -q "$recipe" --run "$folder/whole"
length=$(( ($(date +%s%N) - began) / 1000000 ))

resume=
killed=0
while :; do
    "$leon" train -q "$recipe" --run "$folder/killed" $resume &
    run=$!
    [ "$killed" -lt "$kills" ] || { wait "$run"; break; }
    # Up to a fifth of the run, so that ten kills fall all over it; the first checkpoint must be there to go on from.
    sleep "$(awk "BEGIN { srand($killed + $length); print rand() * $length / 5000 }")"
    kill -9 "$run" 2>/dev/null || true
    wait "$run" 2>/dev/null || true
    killed=$((killed + 1))
    [ -f "$folder/killed/checkpoint.leon" ] && resume=--resume
done
cmp "$folder/whole/checkpoint.leon" "$folder/killed/checkpoint.leon"
echo "kill: killed $killed times, the same bits"
