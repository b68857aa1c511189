// See data_show.h.
#include "training/data_show.h"

#include <algorithm>

#include "kernels/check.h"
#include "runtime/format.h"
#include "tasks/retrieval.h"
#include "training/recipe.h"

namespace leon {
namespace {

// A document with its holes filled, and the kind of every id.
struct Whole {
    std::vector<int32_t> ids;
    std::vector<TokenKind> kinds;
};
Whole whole_of(const Model& model, const DocumentView& d) {
    if (!d.prepared) return {{d.ids.begin(), d.ids.end()}, {d.kinds.begin(), d.kinds.end()}};
    // Kinds move with their ids: they are put back in the same way, as if they were ids.
    const CutIds control = cut_ids(model.vocabulary());
    std::vector<int32_t> places(d.ids.size());
    CutIds marks{-1, -1, -2, {}};
    for (size_t i = 0; i < control.sentinels.size(); i++) marks.sentinels.push_back(-3 - static_cast<int32_t>(i));
    for (size_t i = 0; i < d.ids.size(); i++) {
        const auto sentinel = std::find(control.sentinels.begin(), control.sentinels.end(), d.ids[i]);
        places[i] = static_cast<int32_t>(i);
        if (d.ids[i] == control.end_of_span) places[i] = marks.end_of_span;
        if (sentinel != control.sentinels.end())
            places[i] = marks.sentinels[static_cast<size_t>(sentinel - control.sentinels.begin())];
    }
    Whole whole;
    for (int32_t place : uncut(places, marks)) {
        whole.ids.push_back(d.ids[static_cast<size_t>(place)]);
        whole.kinds.push_back(d.kinds[static_cast<size_t>(place)]);
    }
    return whole;
}

void dim(Picture& picture, int x0, int y0, int size) {
    for (int y = y0; y < y0 + size; y++)
        for (int x = x0; x < x0 + size; x++)
            for (int c = 0; c < 3; c++) picture.at(x, y)[c] = static_cast<uint8_t>(picture.at(x, y)[c] / 3);
}

Picture picture_of(const Model& model, const Whole& whole, size_t first) {
    const int grid = model.grid(), patch = model.config().vqgan.patch();
    const size_t cells = static_cast<size_t>(grid) * static_cast<size_t>(grid);
    const std::vector<int32_t> codes = model.documents().codes({&whole.ids[first], cells});
    Picture picture = model.decoder().decode_u8(codes, grid, grid);
    const TokenKind* kinds = &whole.kinds[first];
    if (std::find(kinds, kinds + cells, TokenKind::Object) != kinds + cells)
        for (int y = 0; y < grid; y++)
            for (int x = 0; x < grid; x++)
                if (kinds[y * grid + x] != TokenKind::Object) dim(picture, x * patch, y * patch, patch);
    return picture;
}

std::vector<Picture> pictures_of(const Model& model, const DocumentView& document) {
    const Whole whole = whole_of(model, document);
    const size_t cells = static_cast<size_t>(model.grid()) * static_cast<size_t>(model.grid());
    std::vector<Picture> pictures;
    for (size_t i = 0; i < whole.ids.size();) {
        size_t end = i;
        while (end < whole.ids.size() && end - i < cells && model.vocabulary().is_image(whole.ids[end])) end++;
        if (end - i == cells) pictures.push_back(picture_of(model, whole, i));
        i = std::max(end, i + 1);
    }
    return pictures;
}

}  // namespace

std::vector<ShownDocument> documents_to_show(const Dataset& data, const std::string& task, int count) {
    std::vector<std::string> tasks = data.tasks();
    if (!task.empty()) {
        if (data.documents(task) == 0) {
            std::string known;
            for (const std::string& name : tasks) known += (known.empty() ? "" : ", ") + name;
            throw Error("there are no documents of " + in_quotes(task), "--task", "there are " + known);
        }
        tasks = {task};
    }
    std::vector<ShownDocument> shown;
    for (const std::string& name : tasks)
        for (int64_t i = 0; i < std::min<int64_t>(count, data.documents(name)); i++) shown.push_back({name, i});
    return shown;
}

std::string shown_text(const Model& model, const Dataset& data, const ShownDocument& document) {
    const DocumentView d = data.document(document.task, document.index);
    std::string text = printable(document.task) + " " + std::to_string(document.index) + " (" +
                       printable(data.source(document.task, document.index)) + "), " + std::to_string(d.ids.size()) +
                       " tokens:";
    bool first = true;
    for (int kind = 0; kind < TOKEN_KINDS; kind++) {
        const auto count = std::count(d.kinds.begin(), d.kinds.end(), static_cast<TokenKind>(kind));
        if (count == 0) continue;
        text += format("%s %lld %s", first ? "" : ",", static_cast<long long>(count),
                       name_of(static_cast<TokenKind>(kind)));
        first = false;
    }
    if (d.query > 0) text += format("; behind %d of retrieved documents", d.query);
    if (d.answer_first < d.answer_end)
        text +=
            "; answer " + model.documents().readable(d.ids.subspan(static_cast<size_t>(d.answer_first),
                                                                   static_cast<size_t>(d.answer_end - d.answer_first)));
    if (d.prepared) text += "; holes are made";
    return text + "\n    " + printable(model.documents().readable(d.ids)) + "\n";
}

Picture shown_pictures(const Model& model, const Dataset& data, const std::vector<ShownDocument>& documents) {
    std::vector<std::vector<Picture>> rows;
    size_t columns = 0;
    for (const ShownDocument& document : documents) {
        rows.push_back(pictures_of(model, data.document(document.task, document.index)));
        columns = std::max(columns, rows.back().size());
    }
    if (columns == 0) throw Error("none of these documents has a picture", "-o");
    const int side = model.grid() * model.config().vqgan.patch();
    std::vector<Picture> all;
    for (std::vector<Picture>& row : rows) {
        row.resize(columns, Picture(side, side, 255));
        all.insert(all.end(), row.begin(), row.end());
    }
    return contact_sheet(all, static_cast<int>(columns));
}

std::string dataset_summary(const Dataset& data) {
    std::string text;
    for (const std::string& task : data.tasks()) {
        int64_t tokens = 0, longest = 0;
        for (int64_t i = 0; i < data.documents(task); i++) {
            const int64_t size = static_cast<int64_t>(data.document(task, i).ids.size());
            tokens += size;
            longest = std::max(longest, size);
        }
        text += format("%-24s %9lld documents  %11lld tokens  longest %lld\n", printable(task).c_str(),
                       static_cast<long long>(data.documents(task)), static_cast<long long>(tokens),
                       static_cast<long long>(longest));
    }
    return text;
}

}  // namespace leon
