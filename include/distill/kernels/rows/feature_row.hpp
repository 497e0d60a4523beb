// Rows of distances between features: sum_j f(s_j - t_j), for the rows as they are or at unit length.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/pair_rows.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// f(d) = d^2
struct SquaredDifference {
  template <class N>
  N value(N d) const {
    return d * d;
  }
  template <class N>
  N slope(N d) const {
    return d + d;
  }
};

/// f(d) = d^2 / 2
struct HalfSquaredDifference {
  template <class N>
  N value(N d) const {
    return N(typename N::Scalar(0.5)) * d * d;
  }
  template <class N>
  N slope(N d) const {
    return d;
  }
};

/// f(d) = |d|; the slope at 0 is 0
struct AbsoluteDifference {
  template <class N>
  N value(N d) const {
    return absolute(d);
  }
  template <class N>
  N slope(N d) const {
    return sign(d);
  }
};

/// f(d) = d^2 / (2 delta) up to |d| = delta, |d| - delta / 2 beyond; times delta, unless it `divides` by that
struct SmoothDifference {
  double delta;
  bool divides = true;

  template <class N>
  N value(N d) const {
    const N limit = limit_in<N>();
    const N size = absolute(d);
    const N inner = select(size < limit, size, limit);
    return inner / divisor(limit) * (size - N(typename N::Scalar(0.5)) * inner);
  }
  template <class N>
  N slope(N d) const {
    const N limit = limit_in<N>();
    return select(absolute(d) < limit, d, sign(d) * limit) / divisor(limit);
  }

 private:
  /// A delta that N has no number for is as good as its largest or smallest.
  template <class N>
  N limit_in() const {
    using Limits = std::numeric_limits<typename N::Scalar>;
    using Wider = std::common_type_t<double, typename N::Scalar>;
    return N(static_cast<typename N::Scalar>(std::clamp(static_cast<Wider>(delta), static_cast<Wider>((Limits::min)()),
                                                        static_cast<Wider>((Limits::max)()))));
  }
  template <class N>
  N divisor(N limit) const {
    return divides ? limit : N(typename N::Scalar(1));
  }
};

/// A term of pair_rows that is f of a difference.
template <class F, class N>
struct DifferenceTerm {
  F f;

  typename N::Scalar padding() const { return 0; }
  N value(N s, N t) const { return f.value(s - t); }
  N slope(N s, N t) const { return f.slope(s - t); }
};

/// sum_j f(s_j - t_j); writes (or adds) factor * f'(s_j - t_j) to grad, unless that is null. grad may be s.
template <class L, class F, class S, class T>
double difference_row(const F& f, const S* s, const T* t, std::size_t n, double factor, const GradientRow<S>& grad) {
  const auto terms = [&](std::size_t) {
    return [&](auto lanes, std::size_t, std::size_t) { return DifferenceTerm<F, decltype(lanes)>{f}; };
  };
  return pair_row<L>(terms, s, t, n, factor, grad);
}

/// The squared lengths of a student's and a teacher's row.
template <class L>
struct SquaredNorms {
  total_t<L> student, teacher;

  bool are_safe() const { return is_safe_sum<L>(student) && is_safe_sum<L>(teacher); }
  bool are_finite() const { return std::isfinite(student) && std::isfinite(teacher); }
};

template <class L, class S, class T>
SquaredNorms<L> squared_norms(const S* s, const T* t, std::size_t n) {
  const auto squared_norm = [n](const auto* x) {
    return sum_row<L>(n, [&](std::size_t i) {
      const L element = load_up_to<L>(x + i, n - i, 0);
      return element * element;
    });
  };
  return {squared_norm(s), squared_norm(t)};
}

/// What is done with a sum over a row.
enum class Outer { sum, root };

/// sum_j f(a_j - b_j) of the rows a = s / |s|, b = t / |t|, or its root, whose slope at 0 is 0; a row of length 0 stays 0,
/// and so does its gradient.
template <class L, class F, class S, class T>
class UnitDifference {
 public:
  UnitDifference(const F& f, Outer outer, const S* s, const T* t, std::size_t n, SquaredNorms<L> norms)
      : f_(f), s_(s), t_(t), n_(n), inverse_s_(inverse_root(norms.student)), inverse_t_(inverse_root(norms.teacher)) {
    value_ = sum_row<L>(n, [&](std::size_t i) { return f_.value(difference(i)); });
    if (outer == Outer::root) {
      value_ = std::sqrt(value_);
      outer_slope_ = value_ > 0 ? 1 / (2 * value_) : 0;
    }
  }

  total_t<L> value() const { return value_; }

  /// d value / d s = (f' - a (a . f')) / |s|, times factor. grad may be s.
  template <class Grad>
  void put_gradient(total_t<L> factor, const GradientRow<Grad>& grad) const {
    using N = typename L::Scalar;
    const L along(static_cast<N>(sum_row<L>(n_, [&](std::size_t i) { return student(i) * f_.slope(difference(i)); })));
    const L scale(static_cast<N>(factor * outer_slope_ * inverse_s_));
    for (std::size_t i = 0; i < n_; i += L::width) {
      put((f_.slope(difference(i)) - student(i) * along) * scale, grad, i, n_);
    }
  }

 private:
  static total_t<L> inverse_root(total_t<L> x) { return x > 0 ? 1 / std::sqrt(x) : 0; }
  template <class Stored>
  L at(const Stored* x, std::size_t i) const {
    return load_up_to<L>(x + i, n_ - i, 0);
  }
  static L lanes(total_t<L> x) { return L(static_cast<typename L::Scalar>(x)); }
  L student(std::size_t i) const { return at(s_, i) * lanes(inverse_s_); }
  L difference(std::size_t i) const {
    return difference_of_products(at(s_, i), lanes(inverse_s_), at(t_, i), lanes(inverse_t_));
  }

  F f_;
  const S* s_;
  const T* t_;
  std::size_t n_;
  total_t<L> inverse_s_, inverse_t_, value_, outer_slope_ = 1;
};

/// As difference_row, for the rows divided by their lengths.
template <class L, class F, class S, class T>
double unit_difference_row(const F& f, Outer outer, const S* s, const T* t, std::size_t n, double factor,
                           const GradientRow<S>& grad) {
  const auto run = [&](auto norms, auto lanes) {
    const UnitDifference<decltype(lanes), F, S, T> difference(f, outer, s, t, n, norms);
    if (grad) difference.put_gradient(static_cast<total_t<decltype(lanes)>>(factor), grad);
    return static_cast<double>(difference.value());
  };
  const auto norms = squared_norms<L>(s, t, n);
  if (norms.are_safe()) return run(norms, L{});
  const AllExceptionsHeld held;
  const auto wide_norms = squared_norms<Wide<L>>(s, t, n);
  return wide_norms.are_finite() ? run(wide_norms, Wide<L>{}) : poisoned_row(grad.data, n);
}

/// 1 - cos(s, t). Half the squared distance of the unit rows is the same, does not cancel where they are close, and has
/// the same gradient: with a . (a - b) = 1 - cos, it is ((a - b) - a (1 - cos)) / |s|. A row of norm 0 is orthogonal to
/// all others.
template <class L, class S, class T>
double cosine_row(const S* s, const T* t, std::size_t n, double factor, const GradientRow<S>& grad) {
  const auto is_zero = [n](const auto* x) {
    for (std::size_t j = 0; j < n; ++j) {
      if (detail::load_scalar<double>(x + j) != 0) return false;
    }
    return true;
  };
  const auto is_finite = [n](const auto* x) {
    for (std::size_t j = 0; j < n; ++j) {
      if (!std::isfinite(detail::load_scalar<double>(x + j))) return false;
    }
    return true;
  };
  if ((is_zero(s) && is_finite(t)) || (is_zero(t) && is_finite(s))) {
    for (std::size_t j = 0; grad && !grad.accumulate && j < n; ++j) detail::store_scalar(grad.data + j, 0.0);
    return 1;
  }
  const double distance = unit_difference_row<L>(HalfSquaredDifference{}, Outer::sum, s, t, n, factor, grad);
  return (std::min)(distance, 2.0);  // of opposite rows it is 2 but for rounding; NaN stays
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
