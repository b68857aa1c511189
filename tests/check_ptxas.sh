#!/bin/sh
# What ptxas says of the CUDA kernels: registers and spills of each, per architecture.
#
#   tests/check_ptxas.sh LOG...                prints the table: the logs of `nvcc -Xptxas -v`, kernels/cuda/NAME.o.log
#   tests/check_ptxas.sh --write DOC LOG...    puts it into DOC, between the two lines that say so
#   tests/check_ptxas.sh --check DOC LOG...    fails if the table in DOC no longer holds
#
# One row a kernel: the number of its instances, and the fewest and most registers among them. A table holds while no
# kernel is missing, none spills more than it says, and no figure is off by more than TOLERANCE registers: compilers
# differ a little from release to release, and a table that fails for one register would be deleted. Columns of
# architectures that nothing was compiled for (make GENERATIONS=...) are not compared.
set -eu
TOLERANCE=16
BEGIN='<!-- begin: make cuda-resources -->'
END='<!-- end: make cuda-resources -->'

# file kernel architecture registers spilled-bytes, one line an instance
instances() {
    for log in "$@"; do
        file=$(basename "$log" .o.log)
        c++filt <"$log" | awk -v file="$file" '
            /Compiling entry function/ {
                architecture = $0; sub(/.* for ./, "", architecture); sub(/.$/, "", architecture)
                name = $0
                sub(/[^\047]*\047/, "", name); sub(/\047 for .*/, "", name)
                gsub(/\(anonymous namespace\)::/, "", name)
                gsub(/\([a-z_A-Z0-9:]*\)[0-9]/, "0", name)  # enumerators among the template arguments
                sub(/\(.*/, "", name)                # arguments
                while (sub(/<[^<>]*>/, "", name)) {} # template arguments
                sub(/.*[ :]/, "", name)
            }
            /bytes spill stores/ { split($0, part, ","); spilled = part[2] + part[3] }
            /Used [0-9]+ registers/ {
                registers = $0; sub(/.*Used /, "", registers); sub(/ .*/, "", registers)
                print file, name, architecture, registers, spilled
            }'
    done
}

table() {
    echo '| kernel | file | instances | registers sm_80 | sm_90 | sm_100 | spilled bytes |'
    echo '|---|---|---|---|---|---|---|'
    instances "$@" | awk '
        function range(key) { return !(key in least) ? "-" : least[key] == most[key] ? least[key] : least[key] " to " most[key] }
        {
            kernel = "`" $2 "` | `" $1 ".cu`"
            key = kernel SUBSEP $3
            count[key]++
            if (!(key in least) || $4 < least[key]) least[key] = $4
            if ($4 > most[key]) most[key] = $4
            spilled[kernel] += $5
            if (count[key] > instances[kernel]) instances[kernel] = count[key]
        }
        END {
            for (kernel in instances)
                print "| " kernel " | " instances[kernel] " | " range(kernel SUBSEP "sm_80") " | " \
                    range(kernel SUBSEP "sm_90") " | " range(kernel SUBSEP "sm_100") " | " spilled[kernel] " |"
        }' | LC_ALL=C sort -t'|' -k3,3 -k2,2
}

check() {
    doc=$1
    shift
    failed=0
    scratch=$(mktemp)
    trap 'rm -f "$scratch"' EXIT
    table "$@" >"$scratch"
    compiled=$(instances "$@" | awk '!seen[$3]++ { printf "%s ", $3 }')
    sed -n "/^$BEGIN/,/^$END/p" "$doc" | grep '^| `' | awk -F'|' -v tolerance="$TOLERANCE" -v doc="$doc" -v compiled="$compiled" '
        BEGIN {
            count = split(compiled, name, " ")
            column["sm_80"] = 5; column["sm_90"] = 6; column["sm_100"] = 7
            for (i = 1; i <= count; i++) if (name[i] in column) wanted[column[name[i]]]
        }
        function off(a, b,    x, y, nx, ny, i) {  # whether two ranges differ by more than the tolerance at either end
            nx = split(a, x, " to "); ny = split(b, y, " to ")
            if (a ~ /-/ || b ~ /-/) return a != b
            return abs(x[1] - y[1]) > tolerance || abs(x[nx] - y[ny]) > tolerance
        }
        function abs(v) { return v < 0 ? -v : v }
        function fail(reason) { print "check_ptxas: " doc ": " reason "; run make cuda-resources"; bad = 1 }
        { gsub(/ *\| */, "|") }
        NR == FNR { if (/^\|`/) now[$2 "|" $3] = $0; next }
        {
            key = $2 "|" $3
            if (!(key in now)) { fail("there is no " key " any more"); next }
            split(now[key], is, "|")
            if (is[8] > $8 + 0) fail(key " spills " is[8] " bytes, not " $8)
            for (i in wanted) if (off(is[i], $i)) fail(key " needs " is[i] " registers, not " $i)
            seen[key] = 1
        }
        END {
            for (key in now) if (!(key in seen)) fail(key " is not in the table")
            if (count == 0) fail("the logs name no architecture")
            exit bad
        }' "$scratch" - || failed=1
    return $failed
}

write() {
    doc=$1
    shift
    scratch=$(mktemp)
    trap 'rm -f "$scratch"' EXIT
    grep -q "^$BEGIN" "$doc" || { echo "check_ptxas: $doc has no line $BEGIN" >&2; exit 1; }
    sed "/^$BEGIN/q" "$doc" >"$scratch"
    table "$@" >>"$scratch"
    sed -n "/^$END/,\$p" "$doc" >>"$scratch"
    cat "$scratch" >"$doc"
}

case "${1:-}" in
    --check) shift; check "$@" ;;
    --write) shift; write "$@" ;;
    '') echo "usage: tests/check_ptxas.sh [--check DOC | --write DOC] LOG..." >&2; exit 2 ;;
    *) table "$@" ;;
esac
