// From a checkpoint, a folder or a file, to one leon file.
//
//   convert("chameleon-7b", "chameleon.leon", {.dtype = "bf16"}, [](size_t done, size_t total) { ... });
//
// Reads Hugging Face folders of Chameleon (qk-norm layouts A, B and C), CM3Leon in OPT's layout, VQGANs alone, and
// CLIP; Meta's own Chameleon (meta_checkpoint.h); and single files of VQGANs and of Real-ESRGAN's networks, which need
// no configuration: their sizes are those of the tensors.
// A leon file, too, for another precision. Streams tensor by tensor in blocks of rows, on all cores: memory stays at
// some tens of megabytes whatever the model's size. The result depends on the tensors, the configuration and the
// folder's name alone: converting twice gives the same bytes. Refuses whatever it does not know: unknown, missing or
// misshapen tensors, and settings that leon does not implement.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "weights_converter/feedback.h"

namespace leon {

struct ConvertOptions {
    // Of the matrices: "f32", "bf16", "f16", "int8", "fp8" or "int4", "int8-mixed" or "int4-mixed", whose sensitive
    // matrices are one step wider (runtime/schema.h has both rules), or "" = as the checkpoint stores them
    // (convolutions of f16 become f32). Norms, biases and the picture encoder are always f32.
    std::string dtype = "";
    std::string name = "";   // of the model, for people; "" = the folder's or the file's name
    std::string vqgan = "";  // a file or folder whose VQGAN goes into the file; "" = the folder's, or Meta's near it
    std::string tokenizer =
        "";                   // another tokenizer.json, or its folder; "" = the folder's, Meta's near it, the VQGAN's
    std::string layout = "";  // of the documents: a name of Layout; "" = as the checkpoint says, or its architecture
    // How matrices of int8 and int4 are rounded (feedback.h); may be empty. Asked once for each, in the file's order.
    FeedbackOf feedback = nullptr;
    // Called with remarks worth a line on the terminal; may be empty.
    std::function<void(const std::string&)> note = nullptr;
};

// What ConvertOptions::dtype may be.
std::vector<std::string> dtype_names();

// `progress` is called now and then with the bytes written and the bytes to write; may be empty.
void convert(const std::string& source, const std::string& output, const ConvertOptions& options,
             const std::function<void(size_t done, size_t total)>& progress);

}  // namespace leon
