#!/usr/bin/env bash
# Everything that only a GPU can show: `make gpu` builds, then runs this. Every step runs even if an earlier one failed;
# each has its log in BUILD/gpu, and BUILD/gpu_report.md tells of all. Exit status 0 means that every step succeeded.
#
#   tests/gpu.sh --check        whether this machine has a GPU: one line and status 2 if it has none
#   tests/gpu.sh BUILD
set -uo pipefail
cd "$(dirname "$0")/.."

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; }
if ! has_gpu; then
    echo "make gpu: this machine has no NVIDIA GPU (nvidia-smi lists none); everything else is tested by make test" >&2
    exit 2
fi
[ "${1:-}" = "--check" ] && exit 0

build=$1
logs=$build/gpu
report=$build/gpu_report.md
mkdir -p "$logs"
failed=()
STEP_SECONDS=${STEP_SECONDS:-3600}  # a step that takes longer is stuck

# step NAME TITLE COMMAND...: runs, logs, and writes its part of the report
step() {
    local name=$1 title=$2 began=$SECONDS status
    shift 2
    echo "=== $title"
    if declare -F "$1" >/dev/null; then "$@"; else timeout "$STEP_SECONDS" "$@"; fi >"$logs/$name.log" 2>&1
    status=$?
    local verdict="ok"
    [ $status -eq 0 ] || verdict="FAILED with status $status"
    [ $status -ne 124 ] || verdict="FAILED: not done after $STEP_SECONDS s"
    [ $status -eq 0 ] || failed+=("$title")
    echo "=== $title: $verdict, $((SECONDS - began)) s"
    {
        echo
        echo "## $title: $verdict, $((SECONDS - began)) s"
        echo
        printf '`%s`\n\n```\n' "$*"
        if [ "${WHOLE:-0}" = 1 ]; then cat "$logs/$name.log"; else tail -n 25 "$logs/$name.log"; fi
        echo '```'
    } >>"$report.parts"
}

: >"$report.parts"
leon=$build/leon
model=models/storybook.leon
export LEON_BINARY=$leon
on_gpu="env LEON_TEST_BACKEND==cuda"

# --- what the emulator takes on trust: assembly strings, and the hardware's own arithmetic ---------------------------
step ptx "The instructions of ptx.h on the hardware" "$build/ptx_tests" -tce='*refused*'

# --- the tests that the emulated GPU passes ---------------------------------------------------------------------------
step kernels "Every kernel against the reference" $on_gpu "$build/leon_tests" -tc='kernels:*' -tce='*the plan*'
step networks "Whole networks, samplers and tasks" "$build/leon_tests" \
    -tc='transformer*,models*,vqgan*,generate*,sample*,random models*'

# --- the trainer, where there is one -----------------------------------------------------------------------------------
trainer=$build/training_tests
if [ -x "$trainer" ]; then
    step gradients "Every kernel of training, networks and runs" $on_gpu "$trainer" \
        -tc='grad kernels*,adamw*,network*,loss curve*,source gradients*,train: a run on the GPU*'
    step train_bf16 "A training step, products in bf16" "$leon" bench-training --backend cuda --products bf16 --dim 384 --heads 6 \
        --ffn 832 --vocab 1792 --documents 40 --length 400 --steps 10 --operations
    step train_f32 "A training step, products in float32" "$leon" bench-training --backend cuda --products f32 --dim 384 --heads 6 \
        --ffn 832 --vocab 1792 --documents 40 --length 400 --steps 5 --operations
fi

# --- one picture, the same on both ------------------------------------------------------------------------------------
same_picture() {
    local text="a red car on a sandy beach" other
    "$leon" draw "$text" --seed 1 -m $model --backend cpu -o "$logs/cpu.png" &&
        "$leon" draw "$text" --seed 1 -m $model --backend cuda -o "$logs/cuda.png" &&
        ls -l "$logs/cpu.png" "$logs/cuda.png" &&
        "$leon" encode "$logs/cpu.png" -m $model -o "$logs/cpu.npy" &&
        "$leon" encode "$logs/cuda.png" -m $model -o "$logs/cuda.npy" || return 1
    other=$(cmp -l "$logs/cpu.npy" "$logs/cuda.npy" | awk '{ codes[int(($1 - 129) / 4)] } END { print length(codes) }')
    echo "$other of 256 codes differ"
    # The last bits of the logits differ, and a draw that falls between two of them decides a code and what follows it.
    [ "$other" -le 64 ]
}
step picture "Nearly the same picture from both backends" same_picture
step demo "make demo on the GPU" "$leon" demo -m $model -o "$logs/demo" --backend cuda

# --- compute-sanitizer ------------------------------------------------------------------------------------------------
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck initcheck; do
        step "$tool" "compute-sanitizer $tool" $on_gpu compute-sanitizer --tool $tool --error-exitcode 1 \
            "$build/leon_tests" -tc='kernels:*' -tce='*the plan*,*like a float64*'
        [ ! -x "$trainer" ] || step "training_$tool" "compute-sanitizer $tool, training" $on_gpu compute-sanitizer --tool $tool \
            --error-exitcode 1 "$trainer" -tc='grad kernels*,adamw*'
    done
else
    step sanitizer "compute-sanitizer" sh -c 'echo "it is not in the PATH: part of the CUDA toolkit"; exit 1'
fi

# --- speed ------------------------------------------------------------------------------------------------------------
WHOLE=1
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)
machine=$(case "$gpu" in *H200*) echo h200 ;; *H100*) echo h100 ;; *B200*) echo b200 ;; *4090*) echo 4090 ;; *A100*) echo a100 ;; *) echo "" ;; esac)
step roofs "Roofs, operations one by one, cuBLAS" "$build/bench_cuda" ${machine:+--plan $machine}
ladders() {
    local study status=0
    for study in "$build"/ladder/*; do "$study" || status=1; done
    return $status
}
step ladders "The ladders" ladders
step bench "Models end to end" "$leon" bench --backend cuda --shapes box,350m,7b
[ -z "$machine" ] || step plan "What the plan said" "$leon" bench --plan "$machine" --shapes box,350m,7b
WHOLE=0

{
    echo "# leon on $gpu"
    echo
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit --format=csv
    echo
    echo "$(date -u +%Y-%m-%d), $(git describe --always --dirty 2>/dev/null), $(nproc) processors, nvcc $(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
    echo
    if [ ${#failed[@]} -eq 0 ]; then echo "Every step succeeded."; else printf 'Failed: %s\n' "${failed[@]}"; fi
    cat "$report.parts"
} >"$report"
rm -f "$report.parts"
echo "=== $report: $([ ${#failed[@]} -eq 0 ] && echo 'every step succeeded' || echo "${#failed[@]} steps failed")"
[ ${#failed[@]} -eq 0 ]
