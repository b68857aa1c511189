// Finding the ids that mean something by the names of their tokens.
#include "tokenizer/vocabulary.h"

#include <algorithm>

#include "kernels/check.h"
#include "runtime/weights_file.h"

namespace leon {

namespace {

constexpr std::string_view IMAGE_PREFIX = "IMGIMG";

// Is it spelled like a picture token, IMGIMG[A-J]+Z?
bool is_image_name(std::string_view name) {
    if (!name.starts_with(IMAGE_PREFIX) || !name.ends_with('Z')) return false;
    const std::string_view digits = name.substr(IMAGE_PREFIX.size(), name.size() - IMAGE_PREFIX.size() - 1);
    return !digits.empty() && digits.find_first_not_of("ABCDEFGHIJ") == std::string_view::npos;
}

// Control tokens go by their names too: a file may hold them in its vocabulary without listing them as added.
bool is_control_name(std::string_view name) {
    constexpr std::string_view NAMES[] = {"<s>", "</s>", "<pad>", "<unk>", "<eoss>", "<racm3:break>"};
    return std::find(std::begin(NAMES), std::end(NAMES), name) != std::end(NAMES) || name.starts_with("<sentinel:") ||
           name.starts_with("<reserved");
}

constexpr int MAX_GRID_COUNTS = 200;  // 6,400 pixels; the names behind belong to nobody

std::string reserved_name(int number) {
    std::string digits = std::to_string(number);
    return "<reserved" + std::string(5 - std::min<size_t>(5, digits.size()), '0') + digits + ">";
}

}  // namespace

std::string image_token_name(int code) {
    std::string name(IMAGE_PREFIX);
    for (char digit : std::to_string(code)) name += static_cast<char>('A' + (digit - '0'));
    return name + 'Z';
}

Vocabulary read_vocabulary(const Tokenizer& tokenizer) {
    auto find = [&](std::string_view name) { return tokenizer.id(name).value_or(-1); };
    Vocabulary v;
    v.bos = find("<s>");
    v.eos = find("</s>");
    v.pad = find("<pad>");
    v.unk = find("<unk>");
    v.brk = find("<racm3:break>");
    v.eoss = find("<eoss>");
    v.end_of_turn = find("<reserved08706>");
    v.new_line = find("<reserved08799>");
    v.grid_first = find("<reserved08800>");
    while (v.grid_first >= 0 && v.grid_counts < MAX_GRID_COUNTS &&
           find(reserved_name(8800 + v.grid_counts)) == v.grid_first + v.grid_counts)
        v.grid_counts++;
    while (auto id = tokenizer.id("<sentinel:" + std::to_string(v.sentinels.size()) + ">")) v.sentinels.push_back(*id);

    v.image_first = find(image_token_name(0));
    while (auto id = tokenizer.id(image_token_name(v.codes))) {
        if (*id != v.image_first + v.codes)
            throw Error("picture code " + std::to_string(v.codes) + " has id " + std::to_string(*id) + ", not " +
                            std::to_string(v.image_first + v.codes),
                        "tokenizer", "the ids of picture codes must follow each other");
        v.codes++;
    }

    for (int32_t id = 0; id < tokenizer.size(); id++) {
        const std::string& name = tokenizer.token(id);
        if (is_image_name(name) && !v.is_image(id))
            throw Error("picture token " + in_quotes(name) + " stands apart: codes 0 to " + std::to_string(v.codes) +
                            " are not all there",
                        "tokenizer");
        const bool is_control = is_image_name(name) || is_control_name(name);
        if (name.empty() || is_control || tokenizer.is_added(id)) {
            // Added tokens cannot come out of plain text; others that mean something must not either.
            if (is_control && !tokenizer.is_added(id)) {
                const std::vector<int32_t> spelled = tokenizer.encode(name, ControlTokens::AsText);
                if (std::find(spelled.begin(), spelled.end(), id) != spelled.end())
                    throw Error("plain text can spell the control token " + in_quotes(name), "tokenizer",
                                "list it under added_tokens");
            }
            continue;
        }
        if (!v.text.empty() && v.text.back().second == id - 1)
            v.text.back().second = id;
        else
            v.text.push_back({id, id});
    }
    return v;
}

}  // namespace leon
