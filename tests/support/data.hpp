// Test data: matrices with any stride and alignment, and rows of several kinds.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <distill/core/scalar.hpp>
#include <distill/core/views.hpp>
#include <random>
#include <string>
#include <vector>

#include "support/reference.hpp"

namespace support {

template <class T>
long double number(const T& x) {
  return static_cast<long double>(distill::detail::load_scalar<double>(&x));
}

template <class T>
T stored(double x) {
  T result{};
  distill::detail::store_scalar(&result, x);
  return result;
}

/// A matrix in its own memory, which starts `offset` elements after an aligned address. Memory between and after its
/// rows is filled with `guard`, so that damage there shows.
template <class T>
class Matrix {
 public:
  static constexpr double guard = 77;

  Matrix(std::size_t rows, std::size_t cols, std::size_t stride = 0, std::size_t offset = 0)
      : rows_(rows),
        cols_(cols),
        stride_(stride == 0 ? cols : stride),
        offset_(offset),
        memory_(offset_ + rows_ * stride_ + 8, stored<T>(guard)) {
    for (std::size_t i = 0; i < rows_; ++i) {
      for (std::size_t j = 0; j < cols_; ++j) at(i, j) = T{};
    }
  }

  T& at(std::size_t i, std::size_t j) { return memory_[offset_ + i * stride_ + j]; }
  const T& at(std::size_t i, std::size_t j) const { return memory_[offset_ + i * stride_ + j]; }
  void set(std::size_t i, std::size_t j, double value) { at(i, j) = stored<T>(value); }
  void fill(double value) {
    for (std::size_t i = 0; i < rows_; ++i) {
      for (std::size_t j = 0; j < cols_; ++j) set(i, j, value);
    }
  }

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }

  distill::MatrixView<T> view() { return {memory_.data() + offset_, rows_, cols_, stride_}; }
  distill::MatrixView<const T> view() const { return {memory_.data() + offset_, rows_, cols_, stride_}; }

  reference::Row row(std::size_t i) const {
    reference::Row result;
    for (std::size_t j = 0; j < cols_; ++j) result.push_back(number(at(i, j)));
    return result;
  }

  bool guards_are_whole() const {
    for (std::size_t k = 0; k < memory_.size(); ++k) {
      const bool inside = k >= offset_ && (k - offset_) / stride_ < rows_ && (k - offset_) % stride_ < cols_;
      if (!inside && number(memory_[k]) != guard) return false;
    }
    return true;
  }

  bool same_bits(const Matrix& other) const {
    return memory_.size() == other.memory_.size() &&
           std::memcmp(memory_.data(), other.memory_.data(), memory_.size() * sizeof(T)) == 0;
  }

 private:
  std::size_t rows_, cols_, stride_, offset_;
  std::vector<T> memory_;
};

enum class Kind { random, near, equal, wide };
inline constexpr Kind all_kinds[] = {Kind::random, Kind::near, Kind::equal, Kind::wide};

inline std::string name(Kind kind) {
  return kind == Kind::random ? "random" : kind == Kind::near ? "near" : kind == Kind::equal ? "equal" : "wide";
}

/// A student's and a teacher's scores and labels. near: the student is the teacher + 1e-3 noise; wide: up to about 50.
template <class S, class T>
struct Scores {
  Matrix<S> student;
  Matrix<T> teacher;
  std::vector<int> labels;

  Scores(Kind kind, std::size_t rows, std::size_t cols, unsigned seed = 1, std::size_t gap = 0, std::size_t offset = 0)
      : student(rows, cols, cols + gap, offset), teacher(rows, cols, cols + 2 * gap, offset) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    const double size = kind == Kind::wide ? 15 : 2;
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        teacher.set(i, j, size * normal(engine));
        const double common = static_cast<double>(number(teacher.at(i, j)));
        const double own = size * normal(engine);
        student.set(i, j, kind == Kind::equal ? common : kind == Kind::near ? common + 5e-4 * own : own);
      }
      labels.push_back(static_cast<int>(engine() % cols));
    }
    if (kind == Kind::equal) {  // also if the types differ: both use only numbers of the coarser type
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          teacher.set(i, j, static_cast<double>(number(student.at(i, j))));
          student.set(i, j, static_cast<double>(number(teacher.at(i, j))));
        }
      }
    }
  }
};

/// A function of nothing that throws std::invalid_argument; its message must contain all of `pieces`.
template <class F>
void check_throws(const F& f, const std::vector<std::string>& pieces) {
  std::string message;
  bool thrown = false;
  try {
    f();
  } catch (const std::invalid_argument& error) {
    thrown = true;
    message = error.what();
  }
  CHECK(thrown);
  if (!thrown) return;
  for (const std::string& piece : pieces) {
    CHECK_MESSAGE(message.find(piece) != std::string::npos, "\"" << message << "\" lacks \"" << piece << "\"");
  }
}

}  // namespace support
