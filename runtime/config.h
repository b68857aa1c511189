// What an architecture is: a handful of facts and sizes, read from the weight file.
//
// Chameleon:  RMS norm, before (7B) or after (30B) the branch, rotary positions, SwiGLU, qk-norm, untied output
// CM3Leon:    LayerNorm without parameters, before the branch, learned positions, ReLU, no qk-norm, tied output
// Nothing has a silent default: a missing or unknown key, name or version is an Error.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/activation.h"
#include "kernels/segments.h"

namespace leon {

enum class Norm { RMS, LayerNorm };
enum class NormPlacement { Before, After };  // of the branch input, or of the branch output before it is added
enum class Positions { Rotary, Learned };
enum class FeedForward { SwiGLU, ReLU };
// How documents are written as tokens, which templates a family was trained on, and how it decodes: see
// tokenizer/document_writer.h and tokenizer/templates.h. Anole's documents are Chameleon's.
enum class Layout { Chameleon, CM3Leon, Anole, Lumina };

struct TransformerConfig {
    Norm norm = Norm::RMS;
    NormPlacement norm_placement = NormPlacement::Before;
    Positions positions = Positions::Rotary;
    FeedForward feed_forward = FeedForward::SwiGLU;
    bool qk_norm = false;
    bool tied_output = false;

    int layers = 0;
    int dim = 0;
    int heads = 0, kv_heads = 0, head_dim = 0;
    int ffn_dim = 0;
    int vocab = 0;
    int context = 0;          // positions of one stream; a limit for learned positions, a training length for rotary
    float norm_eps = 0;       // of the block and final norms
    float qk_norm_eps = 0;    // of qk-norm, if there is one
    float rope_theta = 0;     // rotary only
    int position_offset = 0;  // learned only: position p uses row p + position_offset
    SegmentRule segments;     // if any: rotary positions on two axes, and a learned vector for a code's place is added
};

// Chameleon's VQGAN: taming-transformers' design. Downscale = 2^(levels - 1).
struct VqganConfig {
    int channels = 0;              // base width ("ch")
    std::vector<int> multipliers;  // width of each level, finest first, as multiples of channels
    int res_blocks = 0;            // per level in the encoder; the decoder has one more
    int in_channels = 3;           // of a picture
    int z_channels = 0;            // of the latent before quant_conv
    int code_dim = 0;              // width of a codebook entry
    int codes = 0;
    int resolution = 0;                     // side of the pictures it was trained on, pixels
    bool encoder = false, decoder = false;  // which halves the file holds

    int levels() const { return static_cast<int>(multipliers.size()); }
    int patch() const { return 1 << (levels() - 1); }  // pixels a side per token
};

// Networks that enlarge pictures (docs/upscaling.md).
//   RRDB     Real-ESRGAN's RRDBNet: residual-in-residual dense blocks, then two doublings; a factor of 2 begins by
//            putting each 2x2 pixels into the channels of one
//   Compact  Real-ESRGAN's SRVGGNetCompact: convolutions in a row with PReLU, pixel shuffle, the enlarged input added
enum class UpscalerKind { RRDB, Compact };

struct UpscalerConfig {
    UpscalerKind kind = UpscalerKind::RRDB;
    int factor = 0;    // RRDB: 2 or 4; Compact: 2, 3 or 4
    int channels = 0;  // of the feature maps
    int blocks = 0;    // RRDB: blocks of three dense blocks; Compact: convolutions between the first and the last
    int growth = 0;    // RRDB only: channels that each convolution of a dense block adds

    int unshuffle() const { return kind == UpscalerKind::RRDB ? 4 / factor : 1; }  // pixels a side in one input pixel
    int in_channels() const { return 3 * unshuffle() * unshuffle(); }
    // The inputs of a dense block's convolutions stand side by side: the block's own, then what each one added.
    int part_channels(int part) const { return part == 0 ? channels : growth; }
    int part_first(int part) const { return part == 0 ? 0 : channels + (part - 1) * growth; }
};

// A dense block has this many convolutions, the last of which is added to the block's input; three dense blocks in a
// row are a block, which is added to its input, too. Both sums are weighted.
constexpr int DENSE_CONVOLUTIONS = 5;
constexpr int DENSE_BLOCKS = 3;
constexpr float RESIDUAL_WEIGHT = 0.2f;

// CLIP's two towers (arXiv 2103.00020): transformers with biases, LayerNorm with parameters before each branch, learned
// positions; causal for text, over all patches for pictures. See retrieval/clip.h.
struct ClipTower {
    int layers = 0, dim = 0, heads = 0, ffn_dim = 0;
    Activation activation = Activation::QuickGELU;  // or GELU
    float norm_eps = 0;

    int head_dim() const { return dim / heads; }
};
struct ClipConfig {
    ClipTower text, vision;
    int dim = 0;                      // of the space that both towers project into
    int vocab = 0, context = 0;       // of texts; the longest, in tokens
    int side = 0, patch = 0;          // of pictures and their patches, pixels
    float mean[3] = {}, std[3] = {};  // of the training pictures' red, green and blue in [0, 1]

    int patches() const { return (side / patch) * (side / patch); }
};

// How a model's pictures of a task are best drawn, where that is not as its family does it. What is absent is the
// family's.
constexpr int MAX_CANDIDATES = 64;  // drawn in one batch
struct TaskDefaults {
    std::optional<float> guidance;        // -100 to 100; 1 is none
    std::optional<float> image_guidance;  // the same; of tasks with a stream for their prompt's pictures
    std::optional<float> temperature;     // 0 to 100; 0 is greedy
    std::optional<int> best_of;  // 1 to MAX_CANDIDATES: of so many one is kept, the likeliest to be described so
    bool operator==(const TaskDefaults&) const = default;
};

struct ModelConfig {
    std::string name;                 // for people: "storybook-bootstrap"
    Layout layout = Layout::CM3Leon;  // means nothing without transformer and vqgan
    bool has_transformer = false, has_vqgan = false, has_upscaler = false, has_clip = false;
    TransformerConfig transformer;
    VqganConfig vqgan;
    UpscalerConfig upscaler;
    ClipConfig clip;
    std::map<std::string, TaskDefaults> defaults;  // by the task's name (tokenizer/templates.h)
};

// `where` is the file's name, for messages. Checks ranges and the divisibility that the kernels rely on.
ModelConfig parse_config(const std::string& json, const std::string& where);
// The object of its key "defaults" alone.
std::map<std::string, TaskDefaults> parse_task_defaults(const std::string& json, const std::string& where);
std::string print_config(const ModelConfig& config);  // the canonical JSON: parse_config(print_config(c)) equals c

// The names used in the JSON and by `leon inspect`.
const char* name_of(Norm value);
const char* name_of(NormPlacement value);
const char* name_of(Positions value);
const char* name_of(FeedForward value);
const char* name_of(Layout value);
Layout layout_named(const std::string& name);  // Error listing the names otherwise
const char* name_of(UpscalerKind value);
const char* name_of(Activation value);  // of CLIP's

}  // namespace leon
