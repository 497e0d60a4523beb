#include "idx_folder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "idx.hpp"
#include "random.hpp"

namespace mlp {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t choice_seed = 1998;
constexpr std::uint32_t smallest_side = patch_grid;  // smaller images would be mostly filling
constexpr std::uint32_t largest_side = 256;
constexpr float white = 255;
constexpr int test_images = 2000;  // they are evaluated after each epoch

fs::path find(const fs::path& folder, const std::string& part, const std::string& format) {
  for (const char* separator : {"-", "."}) {
    for (const char* suffix : {"", ".gz"}) {
      const fs::path path = folder / (part + separator + format + suffix);
      if (fs::exists(path)) return path;
    }
  }
  throw std::runtime_error(folder.string() + " holds no " + part + "-" + format + ", nor that with .gz");
}

struct Part {
  fs::path labels_path;
  fs::path images_path;
  IdxArray images;  // [size, height, width]
  std::vector<int> labels;

  ImageSize image_size() const { return {static_cast<int>(images.sizes[1]), static_cast<int>(images.sizes[2])}; }
};

Part read_part(const fs::path& folder, const std::string& name) {
  Part part{find(folder, name + "-labels", "idx1-ubyte"), find(folder, name + "-images", "idx3-ubyte"), {}, {}};
  part.images = read_idx(part.images_path, 3);
  for (const std::uint32_t side : {part.images.sizes[1], part.images.sizes[2]}) {
    if (side < smallest_side || side > largest_side) {
      throw std::runtime_error(part.images_path.string() + " holds images with a side of " + std::to_string(side) +
                               " pixels, expected " + std::to_string(smallest_side) + " to " +
                               std::to_string(largest_side));
    }
  }
  const IdxArray labels = read_idx(part.labels_path, 1);
  if (labels.sizes[0] != part.images.sizes[0]) {
    throw std::runtime_error(part.labels_path.string() + " holds " + std::to_string(labels.sizes[0]) +
                             " labels, expected " + std::to_string(part.images.sizes[0]) + ": one for each image of " +
                             part.images_path.string());
  }
  part.labels.assign(labels.values.begin(), labels.values.end());
  return part;
}

Samples drawn_samples(const Part& part, int count) {
  std::vector<int> rows = iota(static_cast<int>(part.labels.size()));
  Random(choice_seed, Purpose::split).shuffle(rows);
  rows.resize(std::min(rows.size(), static_cast<std::size_t>(count)));
  const std::size_t image = part.images.values.size() / part.labels.size();
  std::vector<std::uint8_t> pixels;
  std::vector<int> labels;
  pixels.reserve(rows.size() * image);
  for (const int row : rows) {
    const auto first = part.images.values.begin() + static_cast<std::ptrdiff_t>(image) * row;
    pixels.insert(pixels.end(), first, first + static_cast<std::ptrdiff_t>(image));
    labels.push_back(part.labels[static_cast<std::size_t>(row)]);
  }
  return {cut_into_patches(pixels, part.image_size(), white), std::move(labels)};
}

}  // namespace

Dataset load_idx_folder(const fs::path& folder, int train_images) {
  if (!fs::is_directory(folder)) throw std::runtime_error(folder.string() + " is not a folder");
  const Part train = read_part(folder, "train");
  const Part test = read_part(folder, "t10k");
  const ImageSize size = train.image_size();
  if (const ImageSize other = test.image_size(); other.height != size.height || other.width != size.width) {
    const auto text = [](ImageSize image) {
      return std::to_string(image.height) + " x " + std::to_string(image.width);
    };
    throw std::runtime_error(test.images_path.string() + " holds images of " + text(other) + ", expected " +
                             text(size) + " as in " + train.images_path.string());
  }
  const int last_class = std::ranges::max(train.labels);
  if (last_class == 0) {
    throw std::runtime_error(train.labels_path.string() + " holds nothing but label 0, expected at least two classes");
  }
  if (const int label = std::ranges::max(test.labels); label > last_class) {
    throw std::runtime_error(test.labels_path.string() + " holds label " + std::to_string(label) +
                             ", expected at most " + std::to_string(last_class) + " as in " +
                             train.labels_path.string());
  }
  return {"class", "classes", last_class + 1, drawn_samples(train, train_images), drawn_samples(test, test_images)};
}

}  // namespace mlp
