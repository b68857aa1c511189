// What belongs to a checkpoint and lies elsewhere: tokenizers and VQGANs, where each repository keeps them.
//
//   Hugging Face      tokenizer.json in the folder
//   Meta, Anole       tokenizer/text_tokenizer.json and tokenizer/vqgan.ckpt, beside models/7b, above it or in it
//   Lumina-mGPT       neither in some of its repositories: both are taken from Meta's, with --vqgan
#pragma once

#include <string>

namespace leon {

// Meta's tokenizer folder of a checkpoint in `folder`: in it, beside it, or beside the folder above. "" if there is
// none.
std::string meta_tokenizer_folder(const std::string& folder);

// The tokenizer's file of a folder, or the file itself. "" if a folder has none; Error if there is nothing at `path`.
std::string tokenizer_in(const std::string& path);

// The file of a VQGAN in a folder (vqgan.ckpt, there or in tokenizer/), or the file itself. "" if a folder has none.
std::string vqgan_file_in(const std::string& path);

bool is_file(const std::string& path);           // a regular one
std::string folder_of(const std::string& path);  // of a file; a folder is its own

}  // namespace leon
