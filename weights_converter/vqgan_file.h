// A VQGAN in a file of its own: Meta's tokenizer/vqgan.ckpt as PyTorch Lightning wrote it, or any torch or safetensors
// file with taming-transformers' names.
//
// There is no configuration that must be there: sizes are those of the tensors, and the pictures' resolution is what
// vqgan.yaml beside the file says, or Chameleon's 512. What else lies in the file (losses, callbacks) is passed over.
#pragma once

#include <memory>
#include <string>

#include "runtime/config.h"
#include "weights_converter/checkpoint.h"

namespace leon {

struct VqganFile {
    VqganConfig sizes;  // which halves there are is said by the plan
    std::unique_ptr<Checkpoint> checkpoint;
};

// Error if the file holds no VQGAN.
VqganFile open_vqgan_file(const std::string& path);

bool holds_vqgan(const Checkpoint& checkpoint);

}  // namespace leon
