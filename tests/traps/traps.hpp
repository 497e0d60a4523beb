// Finite input of all kinds, and whether a call raised what people trap to find NaN.
#pragma once

#include <doctest/doctest.h>

#include <cfenv>
#include <cmath>
#include <cstddef>
#include <distill/core/scalar.hpp>
#include <distill/core/views.hpp>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace traps {

inline constexpr int trapped = FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW;

enum class Kind { random, times_40, equal, constant, zeros, wide, one_hot, tiny, huge };
inline constexpr Kind all_kinds[] = {Kind::random, Kind::times_40, Kind::equal, Kind::constant, Kind::zeros,
                                     Kind::wide,   Kind::one_hot,  Kind::tiny,  Kind::huge};
inline constexpr const char* kind_names[] = {"random", "times 40", "equal", "constant", "zeros",
                                             "wide",   "one hot",  "tiny",  "huge"};

/// The largest number of a type, or nearly; of double half of it, as losses are doubles and made of differences.
template <class S>
double largest() {
  switch (distill::detail::format_of<S>) {
    case distill::Format::float16:
      return 65504;
    case distill::Format::float64:
      return 8e307;
    default:
      return 3.3e38;
  }
}

/// The types that every loss is tried with. The others differ in loads and stores: one loss of each kind of row does.
template <class S>
inline constexpr bool tries_all = std::is_same_v<S, float>;

/// What a call of a loss is given: rows of student and teacher, finite all of them, and labels.
template <class S>
struct Batch {
  Kind kind;
  std::size_t rows, cols;
  std::vector<S> student, teacher;
  mutable std::vector<S> grad;
  std::vector<int> labels;

  Batch(Kind of, std::size_t r, std::size_t c)
      : kind(of), rows(r), cols(c), student(r * c), teacher(r * c), grad(r * c), labels(r) {
    std::mt19937 engine(1);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t tops[] = {engine() % cols, engine() % cols};
      labels[i] = static_cast<int>(engine() % cols);
      for (std::size_t j = 0; j < cols; ++j) {
        const double s = number(engine, j == tops[0]), t = kind == Kind::equal ? s : number(engine, j == tops[1]);
        distill::detail::store_scalar(&student[i * cols + j], s);
        distill::detail::store_scalar(&teacher[i * cols + j], t);
      }
    }
  }

  distill::MatrixView<const S> s() const { return {student.data(), rows, cols}; }
  distill::MatrixView<const S> t() const { return {teacher.data(), rows, cols}; }
  distill::MatrixView<S> g() const { return {grad.data(), rows, cols}; }

 private:
  double number(std::mt19937& engine, bool is_top) const {
    const double normal = std::normal_distribution<double>()(engine);
    switch (kind) {
      case Kind::random:
      case Kind::equal:
        return 2 * normal;
      case Kind::times_40:
        return 80 * normal;
      case Kind::constant:
        return 1;
      case Kind::zeros:
        return 0;
      case Kind::wide:
        return 1000 * std::tanh(normal);
      case Kind::one_hot:
        return is_top ? 1e4 : 0;
      case Kind::tiny:
        return normal * (distill::detail::format_of<S> == distill::Format::float16 ? 1e-6 : 1e-30);
      case Kind::huge:
        return largest<S>() * (is_top ? 1 : std::tanh(normal));
    }
    return 0;
  }
};

/// The exceptions that a call raised, by name.
template <class Call>
std::string raised(const Call& call) {
  std::feclearexcept(FE_ALL_EXCEPT);
  [[maybe_unused]] const volatile double value = static_cast<double>(call());
  const int flags = std::fetestexcept(trapped);
  std::string names;
  if (flags & FE_INVALID) names += " FE_INVALID";
  if (flags & FE_DIVBYZERO) names += " FE_DIVBYZERO";
  if (flags & FE_OVERFLOW) names += " FE_OVERFLOW";
  return names;
}

/// Fails if the call raised one.
template <class S, class Call>
void check_quiet(const Batch<S>& batch, const std::string& name, const Call& call) {
  const std::string flags = raised(call);
  const std::string call_of = name + ", " + kind_names[static_cast<int>(batch.kind)] + ", " +
                              std::to_string(batch.rows) + " x " + std::to_string(batch.cols);
  CHECK_MESSAGE(flags.empty(), call_of << ":" << flags);
}

}  // namespace traps
