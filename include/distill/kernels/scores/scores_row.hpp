// A row of class scores: the student's and its teachers'.
#pragma once

#include <cstddef>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The scores of one row by each teacher, and the teachers' weights.
template <class T>
struct TeacherRows {
  const T* const* scores;
  const double* weights;
  std::size_t count;
};

/// One teacher of weight 1; it must not outlive `scores`.
template <class T>
TeacherRows<T> only_teacher(const T* const& scores) {
  static constexpr double one = 1;
  return {&scores, &one, 1};
}

/// A row of scores, and the arguments for one row of a loss.
template <class S, class T>
struct ScoresRow {
  const S* student;
  TeacherRows<T> teachers;
  std::size_t n;
  std::size_t label;

  /// The row with `scores` as its only teacher; it must not outlive them.
  ScoresRow with(const T* const& scores) const { return {student, only_teacher(scores), n, label}; }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
