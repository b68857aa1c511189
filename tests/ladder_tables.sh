#!/bin/sh
# Writes what the studies of kernels/ladder print into a page, between its two marks: make ladder-tables
#
#   tests/ladder_tables.sh docs/kernels.md build/ladder/matmul build/ladder/norm ...
set -eu
page=$1
shift
tables=$(mktemp)
trap 'rm -f "$tables" "$tables.page"' EXIT
for study in "$@"; do "$study" >>"$tables"; done
awk -v tables="$tables" '
    /^<!-- end: make ladder-tables -->/ { skip = 0 }
    !skip
    /^<!-- begin: make ladder-tables -->/ {
        skip = found = 1
        print ""
        while ((getline line <tables) > 0) print line
    }
    END { exit !found }
' "$page" >"$tables.page"
cat "$tables.page" >"$page"
