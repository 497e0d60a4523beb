// The reader of IDX files and folders. The files are made here, or are the fuzzer's corpus.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "idx.hpp"
#include "idx_folder.hpp"

// Every allocation of this program by new, to see the largest. Not inlined, or gcc takes malloc and free for a
// mismatch.
static std::atomic<std::size_t> largest_allocation = 0;

[[gnu::noinline]] void* operator new(std::size_t size) {
  if (size > largest_allocation) largest_allocation = size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

namespace fs = std::filesystem;

std::string idx(const std::vector<std::uint32_t>& sizes, const std::string& values) {
  std::string bytes{0, 0, 8, static_cast<char>(sizes.size())};
  for (const std::uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(size >> shift & 0xFF));
  }
  return bytes + values;
}

std::string bytes_of(const fs::path& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

std::string error_of(const std::string& bytes, std::size_t dimensions) {
  std::istringstream file(bytes);
  try {
    mlp::read_idx(file, dimensions);
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

const std::string two_images(32, '\x40');

// A folder with a small data set that is right, for a test to spoil.
struct IdxFolder {
  fs::path path = fs::temp_directory_path() / ("distill_idx_test_" + std::to_string(getpid()));

  IdxFolder() {
    fs::create_directories(path);
    write("train-images-idx3-ubyte", idx({3, 4, 4}, two_images + std::string(16, '\xff')));
    write("train-labels-idx1-ubyte", idx({3}, {0, 1, 2}));
    write("t10k-images.idx3-ubyte", idx({2, 4, 4}, two_images));
    write("t10k-labels.idx1-ubyte", idx({2}, {2, 1}));
  }
  ~IdxFolder() { fs::remove_all(path); }
  IdxFolder(const IdxFolder&) = delete;
  IdxFolder& operator=(const IdxFolder&) = delete;

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
  }

  std::string error_with(const std::string& name, const std::string& bytes) const {
    const std::string right = bytes_of(path / name);
    write(name, bytes);
    const std::string error = this->error();
    write(name, right);
    return error;
  }

  std::string error() const {
    try {
      mlp::load_idx_folder(path, 10);
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
};

}  // namespace

TEST_SUITE("parts") {
  TEST_CASE("an IDX file is read as it is written") {
    std::istringstream file(idx({2, 1, 3}, {'a', 'b', 'c', 'd', 'e', '\xff'}));
    const mlp::IdxArray array = mlp::read_idx(file, 3);
    CHECK(array.sizes == std::vector<std::uint32_t>{2, 1, 3});
    CHECK(array.values == std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 255});
  }

  TEST_CASE("of the fuzzer's corpus what is valid is read and the rest refused, within memory that it justifies") {
    int files = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator(DISTILL_IDX_CORPUS)) {
      const std::string name = entry.path().filename().string();
      CAPTURE(name);
      const std::string bytes = bytes_of(entry.path());
      const std::size_t dimensions = name.find("labels") != std::string::npos ? 1 : 3;
      largest_allocation = 0;
      const std::string error = error_of(bytes, dimensions);
      CHECK(largest_allocation < 300'000);  // the largest content has 48 kB, a step of reading 64 kB
      CHECK_MESSAGE((error == "") == (name.rfind("valid", 0) == 0), error);
      for (const char* kind : {"truncated", "corrupt"}) {
        const std::string expected = kind == std::string("corrupt") ? "is damaged" : "is truncated";
        if (name.rfind(kind, 0) == 0) CHECK_MESSAGE(error.rfind(expected, 0) == 0, error);
      }
      if (name.rfind("trailing", 0) == 0) CHECK_MESSAGE(error.find("bytes follow") != std::string::npos, error);
      ++files;
    }
    CHECK(files >= 34);
  }

  TEST_CASE("a file cut anywhere or with a byte too many is refused, packed or not") {
    for (const char* name : {"valid_images", "valid_images.gz"}) {
      const std::string whole = bytes_of(fs::path(DISTILL_IDX_CORPUS) / name);
      REQUIRE(error_of(whole, 3) == "");
      for (std::size_t size = 0; size < whole.size(); ++size) {
        CHECK(error_of(whole.substr(0, size), 3).rfind("is truncated", 0) == 0);
      }
      CHECK(error_of(whole + '\0', 3).find("bytes follow") != std::string::npos);
    }
  }

  TEST_CASE("an error says what was found and what was expected") {
    CHECK(error_of(idx({2, 4, 4}, two_images), 1) == "has dimensions: 3, expected 1");
    CHECK(error_of(idx({2, 4, 4}, "abc"), 3) == "is truncated: it holds 3 values, expected 32");
    CHECK(error_of(idx({4294967295, 28, 28}, "abc"), 3) ==
          "claims 4294967295 x 28 x 28 values, expected at most 1073741824");
    CHECK(error_of(idx({4294967295, 4294967295, 4294967295}, ""), 3).rfind("claims 4294967295 x", 0) == 0);
    CHECK(error_of(idx({0, 28, 28}, ""), 3) == "claims 0 x 28 x 28 values, expected at least one");
    CHECK(error_of(std::string{0, 0, 13, 1}, 1) == "holds values of type 13, expected 8: unsigned bytes");
    CHECK(error_of("text", 1) == "is not an IDX file: that starts with two bytes 0");
  }

  TEST_CASE("a folder of IDX files becomes a data set") {
    const IdxFolder folder;
    const mlp::Dataset data = mlp::load_idx_folder(folder.path, 10);
    CHECK(data.classes == 3);
    CHECK(data.train.size() == 3);
    CHECK(std::set<int>(data.test.labels.begin(), data.test.labels.end()) == std::set<int>{1, 2});
    CHECK(data.test.inputs.isConstant(64.0F / 255));
    for (int i = 0; i < 3; ++i) {
      const float expected = data.train.labels[static_cast<std::size_t>(i)] == 2 ? 1 : 64.0F / 255;
      CHECK(data.train.inputs.row(i).isConstant(expected));
    }
    CHECK(mlp::load_idx_folder(folder.path, 2).train.size() == 2);
    CHECK(mlp::load_idx_folder(folder.path, 10).train.labels == data.train.labels);
  }

  TEST_CASE("a folder whose files do not belong together is refused by name") {
    const IdxFolder folder;
    const std::string at = folder.path.string() + "/";
    const std::string images = "train-images-idx3-ubyte", labels = "train-labels-idx1-ubyte";
    const auto refusal = [&](const std::string& name, const std::string& bytes) {
      return folder.error_with(name, bytes);
    };
    CHECK(refusal(images, "text") == at + images + " is not an IDX file: that starts with two bytes 0");
    CHECK(refusal(images, idx({2, 4, 4}, two_images)) ==
          at + labels + " holds 3 labels, expected 2: one for each image of " + at + images);
    CHECK(refusal(images, idx({3, 3, 4}, std::string(36, 'x'))) ==
          at + images + " holds images with a side of 3 pixels, expected 4 to 256");
    CHECK(refusal(images, idx({3, 4, 257}, std::string(3 * 4 * 257, 'x'))) ==
          at + images + " holds images with a side of 257 pixels, expected 4 to 256");
    CHECK(refusal(images, idx({3, 4, 5}, std::string(60, 'x'))) ==
          at + "t10k-images.idx3-ubyte holds images of 4 x 4, expected 4 x 5 as in " + at + images);
    CHECK(refusal(labels, idx({3}, {0, 0, 0})) ==
          at + labels + " holds nothing but label 0, expected at least two classes");
    CHECK(refusal("t10k-labels.idx1-ubyte", idx({2}, {3, 1})) ==
          at + "t10k-labels.idx1-ubyte holds label 3, expected at most 2 as in " + at + labels);
    CHECK(folder.error() == "");
    fs::remove(folder.path / "t10k-labels.idx1-ubyte");
    CHECK(folder.error() == folder.path.string() + " holds no t10k-labels-idx1-ubyte, nor that with .gz");
  }

  TEST_CASE("patches are cut row by row, and filled up with 0") {
    std::vector<std::uint8_t> pixels(6 * 4);
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i + 1);
    const mlp::Matrix cut = mlp::cut_into_patches(pixels, {6, 4}, 1);  // patches of 2 rows and 1 column
    REQUIRE(cut.rows() == 1);
    REQUIRE(cut.cols() == mlp::patches * 2);
    const std::vector<float> expected{1,  5,  2,  6,  3,  7,  4,  8,  9, 13, 10, 14, 11, 15, 12, 16,  //
                                      17, 21, 18, 22, 19, 23, 20, 24, 0, 0,  0,  0,  0,  0,  0,  0};
    CHECK(std::equal(expected.begin(), expected.end(), cut.data()));
  }
}
