#!/bin/sh
# What the machine code of the hot kernels does in its innermost loop, against what the performance model takes it for.
#
#   tests/check_sass.sh FOLDER [ARCH]       every expectation of tests/sass_expected.txt on FOLDER/FILE.o
#   tests/check_sass.sh --loops FILE.o [ARCH]   the loops of every kernel of an object file
#
# A loop is what lies between a backward branch and its target, without the loops inside it. Of each: its instructions,
# loads from global memory of 16 bytes and of fewer, asynchronous copies of 16 bytes, matrix loads from shared memory,
# tensor core products, multiply-adds; and how many of its instructions are on the way of whole tiles: those outside basic
# blocks that load less than 16 bytes, which are there for tails and odd addresses. Needs cuobjdump (and nvdisasm) of the
# CUDA toolkit; without it there is nothing to read, and the script says so.
set -eu
here=$(dirname "$0")

CUOBJDUMP=${CUOBJDUMP:-$(command -v cuobjdump || echo "${CUDA_PATH:-/usr/local/cuda}/bin/cuobjdump")}

# kernel<tab>first<tab>instructions load16 load_narrow async16 ldmatrix shared mma fma fast, one line a loop
loops() {
    "$CUOBJDUMP" -sass -arch "$2" "$1" | awk '
        function flush(    i, j, l, block, is_slow) {
            for (l = 1; l <= lines; l++) {  # basic blocks: they begin at targets and behind branches
                if (l == 1 || address[l] in leader || operation[l - 1] ~ /^(BRA|BRX|EXIT)/) block++
                block_of[l] = block
                if (operation[l] ~ /^(LDG|LDGSTS)/ && operation[l] !~ /\.128/) is_slow[block] = 1
            }
            for (l = 1; l <= lines; l++) slow[l] = block_of[l] in is_slow
            for (i = 1; i <= branches; i++) {
                for (l = 1; l <= lines; l++) counts[l] = address[l] >= target[i] && address[l] <= branch[i]
                for (j = 1; j <= branches; j++)  # loops inside
                    if (target[j] >= target[i] && branch[j] <= branch[i] && (target[j] > target[i] || branch[j] < branch[i]))
                        for (l = 1; l <= lines; l++) if (address[l] >= target[j] && address[l] <= branch[j]) counts[l] = 0
                count(target[i])
            }
            branches = lines = 0
            split("", leader)
        }
        function count(from,    i, op, n, fast, l16, narrow, async, matrix, shared, mma, fma) {
            n = fast = l16 = narrow = async = matrix = shared = mma = fma = 0
            for (i = 1; i <= lines; i++) {
                if (!counts[i]) continue
                op = operation[i]; n++
                if (!slow[i]) fast++
                if (op ~ /^LDGSTS/) { if (op ~ /\.128/) async++; else narrow++ }
                else if (op ~ /^LDG/) { if (op ~ /\.128/) l16++; else narrow++ }
                else if (op ~ /^LDSM/) matrix++
                else if (op ~ /^LDS/) shared++
                else if (op ~ /^(HMMA|IMMA|QMMA)/) mma++
                else if (op ~ /^(FFMA|HFMA)/) fma++
            }
            if (l16 + narrow + async + matrix + shared + mma + fma > 0)
                printf "%s\t%04x\t%d %d %d %d %d %d %d %d %d\n", kernel, from, n, l16, narrow, async, matrix, shared, mma, fma, fast
        }
        function hex(text,    i, value) {
            value = 0
            for (i = 1; i <= length(text); i++) value = value * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
            return value
        }
        /Function :/ { if (kernel != "") flush(); kernel = $3; next }
        match($0, /\/\*[0-9a-f]+\*\/ /) && /;/ {
            at = hex(substr($0, RSTART + 2, RLENGTH - 5))
            text = substr($0, RSTART + RLENGTH); sub(/^ +/, "", text); sub(/^@!?U?P[0-9T]+ +/, "", text)
            split(text, word, /[ ;]/)
            address[++lines] = at; operation[lines] = word[1]
            if (word[1] ~ /^BRA/ && match(text, /0x[0-9a-f]+/)) {
                to = hex(substr(text, RSTART + 2, RLENGTH - 2))
                leader[to] = 1
                if (to <= at && to > 0 && to != at) { branch[++branches] = at; target[branches] = to }
            }
        }
        END { flush() }' | sed 's/\t$//' | while IFS="$(printf '\t')" read -r symbol first counts; do
        printf '%s\t%s\t%s\n' "$(printf '%s' "$symbol" | c++filt | sed 's/(anonymous namespace):://; s/^void //; s/>(.*/>/; s/(.*//; s/.*::\([a-z0-9_]*_kernel\|[a-z0-9_]*\)\(<.*\)*$/\1\2/; s/leon::cuda:://g; s/ //g')" \
            "$first" "$counts"
    done
}

[ -x "$CUOBJDUMP" ] || { echo "check_sass: no cuobjdump (PATH, CUDA_PATH or CUOBJDUMP): the machine code was not read"; exit 0; }
if [ "${1:-}" = "--loops" ]; then
    printf 'kernel\tat\tinstructions load16 load_narrow async16 ldmatrix shared mma fma fast\n'
    loops "$2" "${3:-sm_90}"
    exit 0
fi

# FILE KERNEL-PATTERN CONDITION: of the loops of each kernel whose name matches, one must meet the awk condition.
folder=$1
architecture=${2:-sm_90}
failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
while read -r file pattern condition; do
    case "$file" in '' | '#'*) continue ;; esac
    [ -f "$scratch/$file" ] || loops "$folder/$file.o" "$architecture" >"$scratch/$file"
    result=$(awk -F'\t' -v pattern="$pattern" "
        \$1 ~ pattern {
            kernels[\$1] = 1
            split(\$3, c, \" \")
            instructions = c[1]; load16 = c[2]; narrow = c[3]; async16 = c[4]; matrix = c[5]; shared = c[6]; mma = c[7]; fma = c[8]; fast = c[9]
            if ($condition) good[\$1] = 1
        }
        END {
            for (k in kernels) { n++; if (!(k in good)) print \"check_sass: $file: no loop of \" k \" meets: \" condition }
            if (n == 0) print \"check_sass: $file: no kernel matches $pattern\"
        }" condition="$condition" "$scratch/$file")
    if [ -n "$result" ]; then
        echo "$result"
        failed=1
    fi
done <"$here/sass_expected.txt"
[ "$failed" -eq 0 ] && echo "check_sass: all expectations of tests/sass_expected.txt hold on $architecture"
exit "$failed"
