#pragma once

#include <filesystem>

#include "data.hpp"

namespace mlp {

// Reads a folder with the four files of MNIST, by their names there: {train,t10k}-{images-idx3,labels-idx1}-ubyte, also
// with a dot for the second hyphen, also with .gz. `train_images` and 2000 test images are drawn, always the same ones;
// all if there are fewer. Throws std::runtime_error with one line that names the file.
Dataset load_idx_folder(const std::filesystem::path& folder, int train_images);

}  // namespace mlp
