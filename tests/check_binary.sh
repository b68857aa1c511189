#!/bin/sh
# The binary with CUDA: small, starts without a driver, and says in one line why it cannot use a GPU where there is none.
#
#   tests/check_binary.sh build/leon
set -eu
# The goal is 6 MB, and missed: 4.7 MB are machine code for three generations and PTX, packed, 1.1 MB of them of the
# trainer's kernels; 1.6 MB the kernels of four instruction sets of the CPU, one of them for tests alone; 0.7 MB the static
# CUDA runtime; 1.7 MB the trainer with its kernels of the CPU and the storybook world; the rest are commands and tasks. With one
# generation (GENERATIONS=...) the limit says little.
MOST_BYTES=13000000
binary=$1
model=$(dirname "$0")/../models/storybook.leon
fail() {
    echo "check_binary: $*"
    exit 1
}

bytes=$(stat -c %s "$binary")
[ "$bytes" -le "$MOST_BYTES" ] || fail "$binary has $bytes bytes; $MOST_BYTES are allowed"
"$binary" inspect "$model" >/dev/null || fail "$binary does not start"
! ldd "$binary" | grep -qE 'libcuda|libcublas' || fail "$binary is linked to a CUDA library, and would need it to start"

said=$("$binary" inspect --backend cuda "$model" 2>&1 >/dev/null) && status=0 || status=$?
if [ "$status" -eq 0 ]; then
    echo "check_binary: $bytes bytes; this machine has a GPU"
    exit 0
fi
[ "$(printf '%s\n' "$said" | wc -l)" -eq 1 ] || fail "more than a line: $said"
case "$said" in *'--backend cuda'*) ;; *) fail "does not name the option: $said" ;; esac
case "$said" in *'built without CUDA'*) fail "$binary is not the one with CUDA" ;; esac
echo "check_binary: $bytes bytes; without a GPU it says: $said"
