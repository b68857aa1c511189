// Curves as a picture, for logs that a person looks at: axes with round numbers, a colour and a name for each curve.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tokenizer/image.h"

namespace leon {

struct Curve {
    std::string name;                               // letters, digits and . - ( ) are drawn, all else is a space
    std::vector<std::pair<double, double>> points;  // x rising
    bool bold = false;
};

// Ranges are those of the points; one that is empty is widened. Curves without points are left out.
Picture plot(const std::string& title, const std::vector<Curve>& curves, int width, int height);

// Losses of a training_log.h table, smoothed where there are many steps, held-out ones bold; written as PNG.
void plot_log(const std::string& log_path, const std::string& png_path);

}  // namespace leon
