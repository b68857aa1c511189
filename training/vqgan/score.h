// What a VQGAN keeps of a picture.
#pragma once

#include "tokenizer/image.h"
#include "training/vqgan/pictures.h"

namespace leon {

constexpr double EQUAL_DECIBELS = 60;  // of equal pictures, so that a mean can be taken

struct VqganScore {
    int pictures = 0;
    double psnr = 0, ssim = 0;  // of the whole picture, metrics/likeness.h
    double object_psnr = 0;     // of the mean squared error of the pixels that matter
    double iou = 0;             // Segmentation: of the labels that classify_map reads from the picture

    VqganScore& operator+=(const VqganScore& other);
    VqganScore mean() const;  // of so many pictures, each once
};

VqganScore score_picture(const TrainingPicture& wanted, const Picture& got);

// Intersection over union of each label of `want`, averaged. Both of the same size.
double mean_iou(const LabelMap& got, const LabelMap& want);

}  // namespace leon
