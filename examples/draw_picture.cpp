// Draws a picture from a sentence with the model in the box.
//
//   build/examples/draw_picture models/storybook.leon "a car on a sandy beach" car.png
#include <cstdio>
#include <exception>

#include "tasks/pictures.h"

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s MODEL TEXT OUTPUT.png\n", argv[0]);
        return 2;
    }
    try {
        const leon::Model model(argv[1], leon::cpu_kernels());

        leon::Settings settings;
        settings.seed = 1;

        leon::Progress progress;  // called after every token; returning false would cancel
        progress.picture = [](int, std::span<const int32_t> codes, int total) {
            std::fprintf(stderr, "\r%zu of %d tokens", codes.size(), total);
            return true;
        };
        const leon::Drawing drawing = leon::draw(model, argv[2], settings, progress);
        std::fprintf(stderr, "\n");
        leon::save_picture(argv[3], drawing.pictures[0]);

        const leon::GenerateStatistics& s = drawing.statistics;
        std::printf("%d tokens, %.0f a second; picture decoded in %.2f s\n", s.tokens, s.tokens / s.decode_seconds,
                    drawing.picture_seconds);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
}
