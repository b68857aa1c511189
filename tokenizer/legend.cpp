// Colours of kinds: the table, its file, painting and reports; see legend.h. Classification: classify_map.cpp.
#include "tokenizer/legend.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <unordered_map>

#include "kernels/check.h"
#include "runtime/files.h"
#include "runtime/strict_json.h"
#include "tokenizer/legend_table.h"

namespace leon {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t MAX_NAME_BYTES = 256, MAX_LEGEND_BYTES = size_t{1} << 20;

constexpr std::pair<KindOf, const char*> FAMILIES[] = {
    {KindOf::Place, "place"}, {KindOf::Object, "object"}, {KindOf::Spare, "spare"}};

const char* name_of(KindOf of) {
    for (const auto& [family, name] : FAMILIES)
        if (family == of) return name;
    CHECK(!"a family of kinds");
}

uint32_t packed(const uint8_t* rgb) {
    return static_cast<uint32_t>(rgb[0]) << 16 | static_cast<uint32_t>(rgb[1]) << 8 | rgb[2];
}

void check_keys(const json& object, const std::set<std::string>& wanted, const std::string& where) {
    if (!object.is_object()) throw Error("a legend and each of its kinds are JSON objects", where);
    for (const auto& item : object.items())
        if (!wanted.contains(item.key()))
            throw Error("has a key that no legend has: " + json(item.key()).dump(), where);
    for (const std::string& key : wanted)
        if (!object.contains(key)) throw Error("the key \"" + key + "\" is missing", where);
}

std::string text_of(const json& value, const std::string& what, const std::string& where) {
    if (!value.is_string()) throw Error(what + " must be a text", where);
    const std::string& text = value.get_ref<const std::string&>();
    if (text.empty() || text.size() > MAX_NAME_BYTES) throw Error(what + " must have 1 to 256 bytes", where);
    return text;
}

LegendKind parse_kind(const json& value, const std::string& where) {
    check_keys(value, {"name", "of", "colour"}, where);
    LegendKind kind;
    kind.name = text_of(value["name"], "a kind's name", where);
    const std::string of = text_of(value["of"], "\"of\"", where);
    const auto* family = std::find_if(std::begin(FAMILIES), std::end(FAMILIES),
                                      [&](const auto& candidate) { return candidate.second == of; });
    if (family == std::end(FAMILIES))
        throw Error(json(kind.name).dump() + " must be of \"place\", \"object\" or \"spare\"", where);
    kind.of = family->first;
    const json& colour = value["colour"];
    bool right = colour.is_array() && colour.size() == 3;
    for (size_t c = 0; right && c < 3; c++) {
        right = colour[c].is_number_unsigned() && colour[c].get<uint64_t>() <= 255;
        if (right) kind.colour[c] = colour[c].get<uint8_t>();
    }
    if (!right) throw Error("the colour of " + json(kind.name).dump() + " must be three integers from 0 to 255", where);
    return kind;
}

}  // namespace

std::optional<int> Legend::find(std::string_view kind) const {
    for (size_t i = 0; i < kinds.size(); i++)
        if (kinds[i].name == kind) return static_cast<int>(i);
    return std::nullopt;
}

const Legend& storybook_legend() {
    static const Legend legend{"storybook", {std::begin(STORYBOOK_KINDS), std::end(STORYBOOK_KINDS)}};
    return legend;
}

Legend parse_legend(std::string_view text, const std::string& where) {
    const json file = parse_json(text, where);
    check_keys(file, {"name", "kinds"}, where);
    Legend legend;
    legend.name = text_of(file["name"], "the legend's name", where);
    const json& kinds = file["kinds"];
    if (!kinds.is_array() || kinds.empty() || kinds.size() > MAX_KINDS)
        throw Error("\"kinds\" must be a list of 1 to " + std::to_string(MAX_KINDS) + " kinds", where);
    std::set<std::string> names;
    std::set<uint32_t> colours;
    for (const json& value : kinds) {
        const LegendKind& kind = legend.kinds.emplace_back(parse_kind(value, where));
        if (!names.insert(kind.name).second) throw Error("has the name " + json(kind.name).dump() + " twice", where);
        if (!colours.insert(packed(kind.colour.data())).second)
            throw Error("the colour of " + json(kind.name).dump() + " is that of another kind", where);
    }
    return legend;
}

Legend load_legend(const std::string& path) {
    const std::vector<uint8_t> file = read_file(path, MAX_LEGEND_BYTES);
    return parse_legend({reinterpret_cast<const char*>(file.data()), file.size()}, path);
}

std::string legend_text(const Legend& legend) {
    std::string text = "{\"name\": " + json(legend.name).dump() + ", \"kinds\": [";
    for (size_t i = 0; i < legend.kinds.size(); i++) {
        const LegendKind& kind = legend.kinds[i];
        const ordered_json line = {{"name", kind.name}, {"of", name_of(kind.of)}, {"colour", kind.colour}};
        text += (i ? ",\n  " : "\n  ") + line.dump();
    }
    return text + "\n]}\n";
}

LabelMap exact_map(const Picture& picture, const Legend& legend, const std::string& where) {
    std::unordered_map<uint32_t, int32_t> label_of;
    for (size_t i = 0; i < legend.kinds.size(); i++)
        label_of[packed(legend.kinds[i].colour.data())] = static_cast<int32_t>(i);
    LabelMap map{picture.width, picture.height, {}};
    map.labels.resize(picture.rgb.size() / 3);
    for (size_t i = 0; i < map.labels.size(); i++) {
        const uint8_t* pixel = &picture.rgb[i * 3];
        const auto found = label_of.find(packed(pixel));
        if (found == label_of.end())
            throw Error("pixel (" + std::to_string(i % static_cast<size_t>(picture.width)) + ", " +
                            std::to_string(i / static_cast<size_t>(picture.width)) + ") has the colour " +
                            std::to_string(pixel[0]) + "," + std::to_string(pixel[1]) + "," + std::to_string(pixel[2]) +
                            ", which is not in the legend " + legend.name,
                        where);
        map.labels[i] = found->second;
    }
    return map;
}

Picture paint_map(const LabelMap& map, const Legend& legend) {
    Picture picture(map.width, map.height);
    CHECK(map.labels.size() * 3 == picture.rgb.size());
    for (size_t i = 0; i < map.labels.size(); i++) {
        CHECK(map.labels[i] >= 0 && static_cast<size_t>(map.labels[i]) < legend.kinds.size());
        const auto& colour = legend.kinds[static_cast<size_t>(map.labels[i])].colour;
        std::copy(colour.begin(), colour.end(), &picture.rgb[i * 3]);
    }
    return picture;
}

std::vector<LabelRegion> regions_of(const LabelMap& map) {
    std::vector<LabelRegion> of_label;
    for (int y = 0; y < map.height; y++)
        for (int x = 0; x < map.width; x++) {
            const int32_t label = map.at(x, y);
            CHECK(label >= 0 && static_cast<size_t>(label) < MAX_KINDS);
            while (of_label.size() <= static_cast<size_t>(label))
                of_label.push_back({static_cast<int32_t>(of_label.size()), 0, map.width, map.height, 0, 0});
            LabelRegion& region = of_label[static_cast<size_t>(label)];
            region.pixels++;
            region.x0 = std::min(region.x0, x);
            region.y0 = std::min(region.y0, y);
            region.x1 = std::max(region.x1, x + 1);
            region.y1 = std::max(region.y1, y + 1);
        }
    std::erase_if(of_label, [](const LabelRegion& region) { return region.pixels == 0; });
    return of_label;
}

Picture mask_of(const LabelMap& map, int32_t label) {
    Picture mask(map.width, map.height);
    for (size_t i = 0; i < map.labels.size(); i++)
        if (map.labels[i] == label) std::fill_n(&mask.rgb[i * 3], 3, uint8_t{255});
    return mask;
}

std::string legend_json(const std::vector<LabelRegion>& regions, const Legend& legend,
                        const std::vector<std::string>& mask_files) {
    CHECK(mask_files.empty() || mask_files.size() == regions.size());
    std::string text = "[";
    for (size_t i = 0; i < regions.size(); i++) {
        const LabelRegion& region = regions[i];
        CHECK(region.label >= 0 && static_cast<size_t>(region.label) < legend.kinds.size());
        const LegendKind& kind = legend.kinds[static_cast<size_t>(region.label)];
        ordered_json line = {{"name", kind.name},
                             {"of", name_of(kind.of)},
                             {"colour", kind.colour},
                             {"pixels", region.pixels},
                             {"box", {region.x0, region.y0, region.x1, region.y1}}};
        if (!mask_files.empty()) line["mask"] = mask_files[i];
        // A file name need not be UTF-8; what is not is replaced.
        text += (i ? ",\n  " : "\n  ") + line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    }
    return text + "\n]\n";
}

}  // namespace leon
