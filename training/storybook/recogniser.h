// Finds the world's objects in any picture: by matching sprites, knowing nothing of how the picture was made.
//
//   Recogniser recogniser(world, kinds);                 // object_kinds(), or others as well
//   Recognition r = recogniser.recognise(picture);       // r.place, r.objects[0].kind->name, .box, .score
//
// A picture is explained: first by a place without objects (backdrop.h), then by sprites in front of it, one after the
// other, each time the one that lowers the squared error most. An error counts up to a limit only (DIFFERENT), so what
// no sprite explains, or what covers a sprite, does not decide. Sprites are tried at the sizes that the world gives
// their kind and a little beyond, mirrored or not, everywhere: all at a quarter of the size as one correlation each,
// the promising ones at half the size, and what remains to the pixel.
//
// It is made for exact pictures and for what a VQGAN makes of them, soft as that may be. It finds nothing in pictures
// that show less than a third of any place, nor objects that are not mostly in the frame, nor things on the ground in
// the sky; and it takes a sprite it was not given for one that it was, or for nothing.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "training/storybook/scene.h"

namespace leon {

class CoarseSearch;
class SoftSprites;

struct Detection {
    const ObjectKind* kind = nullptr;  // of the recogniser's own list
    int height = 0, cx = 0, by = 0;    // as in SceneObject
    bool flip = false;
    std::array<int, 4> box{};  // of its pixels of alpha > 127, whether covered or not, inside the frame
    double score = 0;          // how much of the error without it it explains: 1 all of it
};

struct Recognition {
    Place place{};
    double place_fit = 0;            // see Backdrop
    std::vector<Detection> objects;  // from left to right, by cx
};

class Recogniser {
public:
    // The world must live as long. Kinds with the same emoji cannot be told apart: an Error.
    Recogniser(const World& world, std::span<const ObjectKind> kinds);
    ~Recogniser();

    // picture: SCENE_SIZE x SCENE_SIZE. Threads may share one recogniser.
    Recognition recognise(const Picture& picture) const;
    const std::vector<ObjectKind>& kinds() const { return kinds_; }

private:
    const World& world_;
    std::vector<ObjectKind> kinds_;
    std::unique_ptr<const CoarseSearch> coarse_;
    std::unique_ptr<const SoftSprites> half_sprites_, full_sprites_;
};

}  // namespace leon
