// Says what is in a picture, word by word as it is found, then answers a question about it.
//
//   build/examples/describe_picture models/storybook.leon car.png "Where is it?"
#include <cstdio>
#include <exception>

#include "tasks/answers.h"

int main(int argc, char** argv) {
    if (argc != 3 && argc != 4) {
        std::fprintf(stderr, "usage: %s MODEL PICTURE [QUESTION]\n", argv[0]);
        return 2;
    }
    try {
        const leon::Model model(argv[1], leon::cpu_kernels());
        const leon::Picture picture = leon::load_picture(argv[2]);

        leon::Progress progress;
        progress.text = [](const std::string& piece) {
            std::printf("%s", piece.c_str());
            std::fflush(stdout);
            return true;
        };
        leon::describe(model, picture, leon::Settings{}, progress);
        std::printf("\n");
        if (argc == 4) std::printf("%s\n", leon::ask(model, picture, argv[3], leon::Settings{}).text.c_str());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
}
