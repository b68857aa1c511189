#!/bin/sh
# The law of the rooms (docs/design.md), executable: arrows point only downward, and each kind of knowledge stays home.
#
#   tests/check_layers.sh [ROOT]        prints each violation as file:line: reason, and exits 1 if there is one
#   tests/check_layers.sh --self-test   plants one violation of each law in a scratch tree and expects its report
#
# A reading by line: comments (//) do not count, preprocessor tricks are not followed.
set -eu

check() {
    cd "$1"
    find kernels runtime tokenizer retrieval metrics weights_converter tasks training include cli examples tests \
        -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' 2>/dev/null | sort | xargs awk '
    # What the files of a room may include, as prefixes of the path. cli, examples and tests stand on top.
    BEGIN {
        may["kernels"]           = "kernels/"
        may["runtime"]           = "runtime/ kernels/"
        may["tokenizer"]         = "tokenizer/ runtime/ kernels/"
        may["retrieval"]         = "retrieval/ tokenizer/ runtime/ kernels/"
        may["metrics"]           = "metrics/ tokenizer/ runtime/ kernels/check.h"
        may["weights_converter"] = "weights_converter/ runtime/ kernels/tensor.h kernels/check.h kernels/cpu/threads.h"
        may["tasks"]             = "include/ tasks/ metrics/ retrieval/ tokenizer/ runtime/ weights_converter/ kernels/"
        may["training"]          = "training/ include/ tasks/ metrics/ retrieval/ tokenizer/ runtime/ weights_converter/ kernels/"
        may["training/commands"] = "cli/ " may["training"]
        may["training/tests"]    = "tests/ cli/ " may["training"]
        may["include"]           = ""
        below = "include/ tasks/ weights_converter/ metrics/ retrieval/ tokenizer/ runtime/ kernels/"
        may["cli"] = "cli/ " below
        may["examples"] = "examples/ " below
        may["tests"] = "tests/ cli/ " below

        families = "chameleon|cm3leon|anole|lumina"
        checkpoint_names = "self_attn|[qkvo]_proj|embed_tokens|embed_positions|lm_head|input_layernorm|vqmodel|" \
                           "tok_embeddings|consolidated\\.|attention\\.w[qkvo]|feed_forward\\.w[123]|model\\.layers"
        devices = "CUDA|__HIP|__AVX|__SSE|__FMA|NEON|__ARM|__x86_64|__aarch64|_M_X64"
    }
    function report(reason) { print FILENAME ":" FNR ": " reason; violations++ }
    function is_allowed(target, prefixes,    count, list, i) {
        count = split(prefixes, list, " ")
        for (i = 1; i <= count; i++) if (index(target, list[i]) == 1) return 1
        return 0
    }
    { room = FILENAME; sub(/\/.*/, "", room) }
    FILENAME ~ /^training\/(commands|tests)\// { room = FILENAME; sub(/\/[^\/]*$/, "", room) }

    /^[ \t]*#[ \t]*include[ \t]*"/ {
        target = $0; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
        if (!is_allowed(target, may[room])) report(room "/ may not include \"" target "\"")
    }
    /^[ \t]*#[ \t]*include[ \t]*<cuda/ {
        if (FILENAME !~ /^kernels\/cuda\//) report("CUDA headers belong into kernels/cuda/")
    }
    /^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)/ {
        if (room != "kernels" && room != "tests" && FILENAME !~ /^training\/cpu\// && $0 ~ devices)
            report("device conditionals belong into kernels/")
    }
    {
        code = $0; sub(/\/\/.*/, "", code)
        if (room == "kernels" && tolower(code) ~ families) report("kernels/ names a model")
        if (FILENAME == "runtime/transformer.cpp" && code ~ /std::string|<string>|<string_view>/)
            report("the forward pass knows no strings")
        if (room != "weights_converter" && room !~ /tests$/ && code ~ checkpoint_names)
            report("names of foreign checkpoints belong into weights_converter/")
    }
    # One name, one type: of two structures of one name, the linker keeps the code of one for both (std::vector of it).
    FNR == 1 { depth = 0 }
    /^namespace .*\{/ { space[++depth] = $2 }
    /^\}  \/\/ namespace/ { depth-- }
    FILENAME ~ /\.h$/ && depth > 0 && match($0, /^(struct|class) [A-Za-z_]+( final)?( :.*)? ?\{/) {
        type = $2
        for (i = depth; i > 0; i--) type = space[i] "::" type
        if (type in first_file) report(type " is defined in " first_file[type] ", too")
        first_file[type] = FILENAME
    }
    END { exit violations > 0 }
    '
}

self_test() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
    mkdir -p kernels/cpu runtime tokenizer retrieval metrics weights_converter tasks training/commands include cli examples tests
    plant() { printf '%s\n' "$2" >>"$1"; }

    # Allowed.
    plant tasks/good.cpp '#include "tokenizer/vqgan.h"'
    plant tests/good.cpp '#include "tests/compare.h"'
    plant kernels/cpu/good.h '#if defined(__AVX2__)'
    plant training/commands/good.cpp '#include "cli/terminal.h"'
    plant kernels/cpu/good.h 'int x;  // the shape of Chameleon'
    plant weights_converter/good.cpp 'rule("lm_head.weight");'
    [ -z "$(check .)" ] || { echo "check_layers: reports what is allowed:"; check .; exit 1; }

    # One violation each.
    plant kernels/a.cpp '#include "runtime/state.h"'
    plant kernels/b.cpp 'const char* family = "Chameleon";'
    plant kernels/cpu/c.cpp '#include <cuda_runtime.h>'
    plant runtime/d.cpp '#include "tokenizer/bpe.h"'
    plant runtime/transformer.cpp 'std::string name;'
    plant tokenizer/e.cpp '#include "tasks/model.h"'
    plant tokenizer/f.cpp '  #ifdef __AVX2__'
    plant retrieval/g.cpp '#include "tasks/model.h"'
    plant metrics/g.cpp '#include "kernels/kernels.h"'
    plant weights_converter/h.cpp '#include "kernels/kernels.h"'
    plant tasks/i.cpp '#include "cli/arguments.h"'
    plant tasks/j.cpp 'load("model.layers.0.self_attn.q_proj.weight");'
    plant training/k.cpp '#include "cli/terminal.h"'
    plant tasks/k.cpp '#include "training/network.h"'
    plant cli/k.cpp '#include "training/network.h"'
    plant include/l.h '#include "kernels/tensor.h"'
    plant cli/m.cpp '#include "tests/compare.h"'
    plant runtime/n.cpp '#include "state.h"'
    for room in metrics tasks; do
        plant $room/o.h 'namespace leon {'
        plant $room/o.h 'class Twice final : public Base {'
        plant $room/o.h 'struct Again { int x; };'
        plant $room/o.h 'struct Again;'
        plant $room/o.h '}  // namespace leon'
        plant $room/o.h 'namespace leon::'$room' {'
        plant $room/o.h 'struct Own {};'
        plant $room/o.h '}  // namespace leon::'$room
    done
    expected=20
    found=$(check . || true)
    count=$(printf '%s\n' "$found" | grep -c '^[a-z_/]*\.\(cpp\|h\):[1-3]: ') || true
    if [ "$count" -ne "$expected" ]; then
        echo "check_layers: found $count of $expected planted violations:"
        printf '%s\n' "$found"
        exit 1
    fi
    if check . >/dev/null; then
        echo "check_layers: violations do not fail the check"
        exit 1
    fi
    echo "check_layers: all $expected planted violations found"
}

if [ "${1:-}" = "--self-test" ]; then
    self_test
else
    check "${1:-$(dirname "$0")/..}"
fi
