// Greedy explanation: the sprite that lowers the error most is taken, and the rest is asked again.
#include "training/storybook/recogniser.h"

#include <algorithm>
#include <set>

#include "kernels/check.h"
#include "training/storybook/backdrop.h"
#include "training/storybook/coarse_search.h"
#include "training/storybook/soft_sprites.h"

namespace leon {
namespace {

constexpr int HALF = SCENE_SIZE / 2;
constexpr int SOFTNESS = 2;            // times that picture and sprites are blurred
constexpr double MIN_FIT = .3;         // of the place: less of it to be seen, and the picture is not of this world
constexpr double MIN_SCORE = .5;       // less of the error explained is no object
constexpr double MIN_HALF_SCORE = .2;  // the same at half the size, where poses cannot be exact
constexpr size_t FRONT = 12;           // so many of the most promising are settled before one is taken
constexpr size_t REFINED = 5;          // and so many of these are compared at the whole size
constexpr int MAX_SETTLED = 100;       // work on one picture
constexpr size_t MAX_OBJECTS = 8;

Pose doubled(Pose pose) {
    pose.height *= 2;
    pose.left *= 2;
    pose.top *= 2;
    return pose;
}

// A sprite on its way: in its best pose at half the size, then at the whole.
struct Contender {
    Pose pose, full_pose;
    Gain gain, full_gain;
    bool is_settled = false, is_refined = false;

    bool is_hopeless() const {
        return (is_refined && full_gain.score() < MIN_SCORE) || (is_settled && gain.score() < MIN_HALF_SCORE);
    }
};

// The search on one picture.
class Search {
public:
    Search(const std::vector<ObjectKind>& kinds, const SoftSprites& half_sprites, const SoftSprites& full_sprites,
           Explanation half, Explanation full)
        : kinds_(kinds),
          half_sprites_(half_sprites),
          full_sprites_(full_sprites),
          half_(std::move(half)),
          full_(std::move(full)) {}

    // Settles the most promising at half the size, compares the best of those at the whole size, takes the best of
    // these; and again, until nothing explains enough.
    std::vector<Contender> choose(const std::vector<CoarseMatch>& candidates) {
        std::vector<Contender> contenders, chosen;
        for (const CoarseMatch& c : candidates) {
            Contender contender;
            contender.pose = doubled(c.pose);
            contenders.push_back(contender);
        }
        rate(contenders);
        int settled = 0;
        while (!contenders.empty() && chosen.size() < MAX_OBJECTS) {
            std::sort(contenders.begin(), contenders.end(),
                      [](const Contender& a, const Contender& b) { return a.gain.lowered > b.gain.lowered; });
            const size_t front = std::min(contenders.size(), FRONT);
            bool is_front_settled = true;
            for (size_t i = 0; i < front && settled < MAX_SETTLED; i++) {
                Contender& c = contenders[i];
                if (c.is_settled) continue;
                c.gain = settle(c.pose, half_, false);
                c.is_settled = true;
                is_front_settled = false;
                settled++;
            }
            if (is_front_settled) {
                if (!contenders[0].is_settled) break;
                if (const auto best = refine_front(contenders)) {
                    chosen.push_back(*best);
                    claim(half_, best->pose);
                    claim(full_, best->full_pose);
                    rate(contenders);
                }
            }
            std::erase_if(contenders, [](const Contender& c) { return c.is_hopeless(); });
        }
        return chosen;
    }

private:
    const Sprite& sprite_of(const Pose& pose, const Explanation& e) const {
        return (e.size == HALF ? half_sprites_ : full_sprites_).get(pose.kind, pose.height);
    }
    // Poses are those of the sprite without its soft margin.
    static Pose with_margin(Pose pose) {
        pose.left -= SoftSprites::MARGIN;
        pose.top -= SoftSprites::MARGIN;
        return pose;
    }
    Gain gain_of(const Pose& pose, const Explanation& e) const {
        return e.gain_of(sprite_of(pose, e), with_margin(pose));
    }
    void claim(Explanation& e, const Pose& pose) { e.claim(sprite_of(pose, e), with_margin(pose)); }

    // Moves, grows and shrinks a sprite by single pixels, as long as that helps; if thorough, also by combinations of
    // these, where one at a time does not help any more.
    Gain settle(Pose& pose, const Explanation& explanation, bool is_thorough) const {
        const double scale = static_cast<double>(explanation.size) / SCENE_SIZE;
        const Heights range = heights_of(kinds_[pose.kind]);
        const int low = std::max(3, static_cast<int>(range.low * scale));
        const int high = static_cast<int>(range.high * scale) + 1;
        Gain gain = gain_of(pose, explanation);
        Pose best = pose;
        const auto attempt = [&](int grow, int dx, int dy) {
            Pose tried = pose;
            tried.height += grow;
            if (tried.height < low || tried.height > high) return;
            tried.left += dx;
            tried.top += dy;
            const int width = sprite_of(tried, explanation).width - 2 * SoftSprites::MARGIN;
            if (!is_allowed(kinds_[pose.kind].zone, width, tried.height, tried.left, tried.top, explanation.size))
                return;
            const Gain tried_gain = gain_of(tried, explanation);
            if (tried_gain.lowered > gain.lowered) best = tried, gain = tried_gain;
        };
        for (int step = 0; step < 40; step++) {
            const double before = gain.lowered;
            for (int move : {-1, 1}) {
                attempt(0, move, 0);
                attempt(0, 0, move);
                attempt(move, 0, -move);  // the foot stays where it is
                attempt(move, -move, 0);
            }
            if (is_thorough && gain.lowered <= before)
                for (int grow = -1; grow <= 1; grow++)
                    for (int dx = -2; dx <= 2; dx++)
                        for (int dy = -2; dy <= 2; dy++) attempt(grow, dx, dy);
            if (gain.lowered <= before) break;
            pose = best;
        }
        return gain;
    }

    // The one that explains most at the whole size among the foremost; nothing if none explains enough.
    std::optional<Contender> refine_front(std::vector<Contender>& contenders) const {
        std::optional<Contender> best;
        for (size_t i = 0; i < std::min(contenders.size(), REFINED) && contenders[i].is_settled; i++) {
            Contender& c = contenders[i];
            if (!c.is_refined) {
                c.gain = settle(c.pose, half_, true);
                c.full_pose = doubled(c.pose);
                c.full_gain = settle(c.full_pose, full_, true);
                c.is_refined = true;
            }
            if (c.full_gain.score() >= MIN_SCORE && (!best || c.full_gain.lowered > best->full_gain.lowered)) best = c;
        }
        return best;
    }

    void rate(std::vector<Contender>& contenders) const {
        for (Contender& c : contenders) {
            c.gain = gain_of(c.pose, half_);
            if (c.is_refined) c.full_gain = gain_of(c.full_pose, full_);
        }
    }

    const std::vector<ObjectKind>& kinds_;
    const SoftSprites &half_sprites_, &full_sprites_;
    Explanation half_, full_;
};

Detection detection_of(const ObjectKind& kind, const Sprite& sprite, const Contender& c) {
    const Pose& pose = c.full_pose;
    Detection d;
    d.kind = &kind;
    d.height = pose.height;
    d.cx = pose.left + (sprite.width + 1) / 2;
    d.by = pose.top + pose.height;
    d.flip = pose.flip;
    d.score = c.full_gain.score();
    d.box = {SCENE_SIZE, SCENE_SIZE, 0, 0};
    visit_pixels(sprite, pose, SCENE_SIZE, [&](int x, int y, const uint8_t* rgba) {
        if (rgba[3] > 127)
            d.box = {std::min(d.box[0], x), std::min(d.box[1], y), std::max(d.box[2], x + 1),
                     std::max(d.box[3], y + 1)};
    });
    return d;
}

}  // namespace

Recogniser::Recogniser(const World& world, std::span<const ObjectKind> kinds)
    : world_(world),
      kinds_(kinds.begin(), kinds.end()),
      coarse_(std::make_unique<CoarseSearch>(world, kinds)),
      half_sprites_(std::make_unique<SoftSprites>(world, kinds, HALF, 1)),
      full_sprites_(std::make_unique<SoftSprites>(world, kinds, SCENE_SIZE, SOFTNESS)) {
    std::set<std::string> emoji;
    for (const ObjectKind& kind : kinds_)
        if (!emoji.insert(kind.emoji).second)
            throw Error("two kinds are drawn as '" + kind.emoji + "'", "", "give each an emoji of its own");
}

Recogniser::~Recogniser() = default;

Recognition Recogniser::recognise(const Picture& picture) const {
    CHECK(picture.width == SCENE_SIZE && picture.height == SCENE_SIZE);
    Backdrop backdrop = find_backdrop(picture);
    Recognition out;
    out.place = backdrop.place;
    out.place_fit = backdrop.fit;
    if (backdrop.fit < MIN_FIT) return out;

    std::vector<float> rgb(picture.rgb.begin(), picture.rgb.end());
    soften(rgb, SCENE_SIZE, SCENE_SIZE, 3, SOFTNESS);
    auto half_rgb = halve(rgb, SCENE_SIZE, SCENE_SIZE, 3), half_behind = halve(backdrop.rgb, SCENE_SIZE, SCENE_SIZE, 3);
    const auto candidates = coarse_->search(halve(half_rgb, HALF, HALF, 3), halve(half_behind, HALF, HALF, 3));
    Search search(kinds_, *half_sprites_, *full_sprites_,
                  Explanation(HALF, std::move(half_rgb), std::move(half_behind)),
                  Explanation(SCENE_SIZE, std::move(rgb), std::move(backdrop.rgb)));
    for (const Contender& c : search.choose(candidates)) {
        const ObjectKind& kind = kinds_[c.full_pose.kind];
        out.objects.push_back(detection_of(kind, world_.scaled(kind.emoji, c.full_pose.height), c));
    }
    std::stable_sort(out.objects.begin(), out.objects.end(), [](const auto& a, const auto& b) { return a.cx < b.cx; });
    return out;
}

}  // namespace leon
