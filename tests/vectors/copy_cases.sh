#!/bin/sh
# Copies the cases that the tests use out of the full set of reference vectors, without what no test reads.
#   tests/vectors/copy_cases.sh GOLDEN_DIR        (what the files are: README.md beside this script)
set -eu
golden=${1:?usage: copy_cases.sh GOLDEN_DIR}
here=$(cd "$(dirname "$0")" && pwd)

for case in chameleon_mha chameleon_mha_qknorm_a chameleon_mha_qknorm_b \
            chameleon_gqa_swin chameleon_gqa_swin_qknorm_b chameleon_bf16 \
            cm3leon_a cm3leon_bf16 vqgan_f16; do
    mkdir -p "$here/models/$case"
    for file in "$golden/$case"/*; do
        case "$(basename "$file")" in
            hidden.npy | generation_config.json | *.png) ;;
            *) install -m 644 "$file" "$here/models/$case/" ;;
        esac
    done
done

for case in meta_mha meta_fused meta_gqa_swin; do
    mkdir -p "$here/models/$case"
    cp -r "$golden/$case/." "$here/models/$case/"
    find "$here/models/$case" -type f -exec chmod 644 {} +
done

mkdir -p "$here/hostile"
install -m 644 "$golden"/hostile/*.safetensors "$golden"/hostile/*.pth "$here/hostile/"

for case in "$golden"/sampling_*; do
    to="$here/sampling/$(basename "$case" | sed 's/^sampling_//')"
    mkdir -p "$to"
    for file in case.json logits.npy ids.npy probs.npy; do
        [ ! -f "$case/$file" ] || install -m 644 "$case/$file" "$to/"
    done
done
