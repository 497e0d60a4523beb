// What may be a loss's teacher: one matrix of scores, or several with weights, of logits or log-probabilities; or a
// few classes of each row.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <distill/core/checks.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The meaning of the numbers in a matrix of class scores.
enum class ScoreKind {
  logits,             ///< raw: any constant may be added to a row
  log_probabilities,  ///< of a model at temperature 1, after all its transforms of logits (scale, soft cap)
};

/// Class scores in the caller's memory, and their meaning. Made by logits() and log_probabilities().
template <class T>
struct ScoresView {
  MatrixView<T> matrix;
  ScoreKind kind = ScoreKind::logits;
};

/// One of several teachers. Made by weighted().
template <class T>
struct WeightedTeacher {
  ScoresView<T> scores;
  double weight = 1;
};

namespace detail {

template <class T>
struct is_scores_view : std::false_type {};
template <class T>
struct is_scores_view<ScoresView<T>> : std::true_type {};

template <class T>
struct is_weighted_teacher : std::false_type {};
template <class T>
struct is_weighted_teacher<WeightedTeacher<T>> : std::true_type {};

template <class X, class = void>
struct is_teacher_list : std::false_type {};
template <class X>
struct is_teacher_list<X, std::void_t<decltype(std::declval<X&>().data()[0]), decltype(std::declval<X&>().size())>>
    : is_weighted_teacher<std::decay_t<decltype(std::declval<X&>().data()[0])>> {};

/// Any scores as a ScoresView of constants; they are logits unless they say otherwise.
template <class X>
auto as_scores(const X& x) {
  if constexpr (is_scores_view<X>::value) {
    const auto matrix = read_only(x.matrix);
    return ScoresView<std::remove_pointer_t<decltype(matrix.data)>>{matrix, x.kind};
  } else {
    const auto matrix = read_only(as_matrix(x));
    return ScoresView<std::remove_pointer_t<decltype(matrix.data)>>{matrix, ScoreKind::logits};
  }
}

/// One teacher, stored here, or the caller's list.
template <class T>
class Teachers {
 public:
  explicit Teachers(const ScoresView<T>& one) : one_{one, 1} {}
  Teachers(const WeightedTeacher<T>* list, std::size_t size) : list_(list), size_(size) {}

  std::size_t size() const { return size_; }
  const WeightedTeacher<T>& operator[](std::size_t k) const { return list_ ? list_[k] : one_; }
  /// A list of one is as good as one, but for weight 0, whose scores are not read.
  bool is_list() const { return size_ > 1 || (*this)[0].weight == 0; }

 private:
  WeightedTeacher<T> one_{};
  const WeightedTeacher<T>* list_ = nullptr;
  std::size_t size_ = 1;
};

template <class X>
auto as_teachers(const X& x) {
  if constexpr (is_teacher_list<const X>::value) {
    using Teacher = std::decay_t<decltype(x.data()[0])>;
    using T = std::remove_pointer_t<decltype(Teacher{}.scores.matrix.data)>;
    return Teachers<T>(x.data(), x.size());
  } else {
    const auto scores = as_scores(x);
    return Teachers<std::remove_pointer_t<decltype(scores.matrix.data)>>(scores);
  }
}

/// Each of the student's shape, with a weight >= 0.
template <class T, class S>
void require_teachers(const char* who, const Teachers<T>& teachers, const MatrixView<S>& student) {
  if (teachers.size() == 0) fail(who, "teacher is an empty list, expected at least one teacher");
  for (std::size_t k = 0; k < teachers.size(); ++k) {
    const WeightedTeacher<T>& teacher = teachers[k];
    require_view(who, "teacher", teacher.scores.matrix);
    require_same_shape(who, "teacher", teacher.scores.matrix, "student", student);
    if (!(teacher.weight >= 0) || !std::isfinite(teacher.weight)) {
      fail(who, "the weight of teacher ", k, " is ", teacher.weight, ", expected a finite number of at least 0");
    }
  }
}

}  // namespace detail

/// Marks scores as raw logits, the default.
template <class X>
auto logits(const X& x) {
  return ScoresView<std::remove_pointer_t<decltype(detail::as_scores(x).matrix.data)>>{detail::as_scores(x).matrix,
                                                                                       ScoreKind::logits};
}

/// Says that scores are log-probabilities: `kl(student, log_probabilities(teacher), grad)`. A temperature softens them
/// as it does logits, because the two differ by a constant a row. Scale and soft cap of a LogitTransform have been
/// applied to them and are not applied again. They are not looked at: probabilities passed by mistake are taken for
/// logits, and nothing is said. (The few of a sparse_teacher() and of sampled_tokens() are checked.)
template <class X>
auto log_probabilities(const X& x) {
  return ScoresView<std::remove_pointer_t<decltype(detail::as_scores(x).matrix.data)>>{detail::as_scores(x).matrix,
                                                                                       ScoreKind::log_probabilities};
}

/// One of several teachers: `kl(student, std::array{weighted(a, 0.7), weighted(b, 0.3)}, grad)` is 0.7 times the loss
/// with a plus 0.3 times that with b, in one pass over the student. A teacher of weight 0 is never read.
template <class X>
auto weighted(const X& teacher, double weight) {
  const auto scores = detail::as_scores(teacher);
  return WeightedTeacher<std::remove_pointer_t<decltype(scores.matrix.data)>>{scores, weight};
}

/// The k classes per row that a teacher gives, in any order, and their log-probabilities; both rows x k. An entry of
/// -infinity is a class with probability 0.
template <class Index, class T>
struct SparseTeacherView {
  MatrixView<Index> indices;
  MatrixView<T> log_probabilities;
};

/// `top_k(student, sparse_teacher(indices, log_probabilities), grad)`
template <class Indices, class LogProbabilities>
auto sparse_teacher(const Indices& indices, const LogProbabilities& log_probabilities) {
  const auto i = detail::read_only(as_matrix(indices));
  const auto p = detail::read_only(as_matrix(log_probabilities));
  return SparseTeacherView<std::remove_pointer_t<decltype(i.data)>, std::remove_pointer_t<decltype(p.data)>>{i, p};
}

/// How classes that a sparse teacher does not give are treated.
enum class Tail {
  renormalise_teacher,  ///< the teacher gives them probability 0
  renormalise_both,     ///< they do not exist: student and teacher are softmaxes over the known classes
  tail_bucket,          ///< they are one class together, for student and teacher
  truncate,             ///< they are left out of the sum, which is then not a divergence and may be negative
};

}  // namespace DISTILL_ABI
}  // namespace distill
