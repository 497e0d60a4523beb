// One row of KL(teacher || student) at a temperature, with or without a cross-entropy term at temperature 1.
//
//   sweep 1  reads student and teacher once: sums of exponentials and sum of p-weighted log-ratios; exponentials kept.
//            From the first chunk with infinities or beyond its offsets on, by lanes that test each number
//   sweep 2  writes the gradient from the kept exponentials; for Precision::high it also sums the value, from terms
//            that are never negative
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/exp_stream.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/scores/distillation_terms.hpp>
#include <distill/kernels/scores/hard_label.hpp>
#include <distill/kernels/simd/compensated_sum.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Whether e^z is computed as the T-th power of e^(z/T): to 2.5 ULP at most.
inline bool is_power_of_soft(double temperature) {
  return temperature == 1 || temperature == 2;
}

template <Precision precision, bool has_label, class L, class Student, class Teacher>
class DistillationRow {
  using T = typename L::Scalar;
  static constexpr std::size_t streams = has_label ? 3 : 2;
  // double is accurate enough without the terms of Precision::high
  static constexpr bool sums_nonnegative_terms = precision == Precision::high && std::is_same_v<T, float>;

 public:
  DistillationRow(const Student* student, const Teacher* teacher, std::size_t n, double temperature, std::size_t label)
      : x_student_(student),
        x_teacher_(teacher),
        n_(n),
        temperature_(temperature),
        label_(label),
        hard_exponent_(is_power_of_soft(temperature) ? static_cast<int>(temperature) : 0),
        student_(temperature),
        teacher_(temperature),
        hard_(1) {}

  /// Returns soft * KL + hard * CE; writes or adds the gradient times `scale` if `grad` is not null.
  double operator()(const RowFactors& factors, double scale, Student* grad, bool accumulate) {
    fetched_grad_ = grad;
    if (n_ > 1 && is_ordinary_temperature(temperature_)) {
      const bool keep = grad != nullptr || sums_nonnegative_terms;
      detail::ScratchFrame frame;
      if (keep) take_kept_rows(frame, kept_, n_);
      if (keep ? sweep<true>() : sweep<false>()) {
        double kl = sums_nonnegative_terms ? 0 : kl_from_sums();
        double ce = 0;
        double label_gradient = 0;
        if constexpr (has_label) {
          const HardLabel hard(hard_, detail::load_scalar<double>(x_student_ + label_));
          ce = hard.loss;
          label_gradient = factors.hard * scale * hard.probability_m1;
          hard_.sum = hard.total;
        }
        if (keep) {
          const double nonnegative = write_gradient(factors, scale, label_gradient, grad, accumulate);
          if (sums_nonnegative_terms) kl = nonnegative;
        }
        return weighted(factors, kl, ce);
      }
    }
    return exact(factors, scale, grad, accumulate);
  }

 private:
  /// False if the fast sweeps cannot take the row.
  template <bool keep>
  bool sweep() {
    if (!start() || !sweep_chunks<keep>()) return false;
    const bool far_up = student_.should_restart() || teacher_.should_restart() || hard_.should_restart();
    if (far_up && !sweep_again<keep>()) return false;
    if (!sums_nonnegative_terms && recentre() && !sweep_again<keep>()) return false;
    return std::isfinite(student_.sum) && std::isfinite(teacher_.sum) && std::isfinite(teacher_.weighted_sum) &&
           (!has_label || std::isfinite(hard_.sum));
  }

  /// Starts at the class with the teacher's largest score among the first ones: log-ratios are then small where p is
  /// large.
  bool start() {
    const std::size_t first = std::min<std::size_t>(n_, std::max<std::size_t>(16, L::width));
    const auto at = [this](const auto* x, std::size_t i) { return load_up_to<L>(x + i, n_ - i, -infinity<T>); };
    L largest(-infinity<T>), beside_largest(-infinity<T>);
    for (std::size_t i = 0; i < first; i += L::width) largest = larger(largest, at(x_teacher_, i));
    const T teacher_top = reduce_max_number(largest);
    for (std::size_t i = 0; i < first; i += L::width) {
      const auto is_top = L(teacher_top) <= at(x_teacher_, i);
      beside_largest = larger(beside_largest, select(is_top, at(x_student_, i), L(-infinity<T>)));
    }
    const T student_top = reduce_max_number(beside_largest);
    const auto start_at = [this](ExpStream<L>& stream, T top, const auto* x) {
      return stream.start(&top, 1) || (top < 0 && stream.start(x, n_));  // the latter where the top is masked out
    };
    if (!start_at(teacher_, teacher_top, x_teacher_) || !start_at(student_, student_top, x_student_)) return false;
    if (has_label && !start_at(hard_, student_top, x_student_)) return false;
    shift_ = teacher_.offset - student_.offset;
    return true;
  }

  template <bool keep>
  bool sweep_again() {
    student_.restart();
    teacher_.restart();
    hard_.restart();
    return sweep_chunks<keep>();
  }

  template <bool keep>
  bool sweep_chunks() {
    for (std::size_t begin = 0, chunk = 0; begin < n_; begin += chunk_size<L>, ++chunk) {
      const std::size_t end = (std::min)(n_, begin + chunk_size<L>);
      is_plain_ = is_plain_ && sweep_chunk<keep, true>(begin, end);
      while (!is_plain_ && !sweep_chunk<keep, false>(begin, end)) {
        if (!raise_offsets()) return false;
      }
      if constexpr (keep) {
        kept_[0].offsets[chunk] = static_cast<T>(student_.offset);
        kept_[1].offsets[chunk] = static_cast<T>(teacher_.offset);
        if constexpr (has_label) kept_[2].offsets[chunk] = static_cast<T>(hard_.offset);
      }
    }
    student_.finish();
    teacher_.finish();
    if constexpr (has_label) hard_.finish();
    return true;
  }

  /// False, with nothing summed, if an offset is too low for this chunk, or if the chunk was assumed to be plain but is
  /// not.
  template <bool keep, bool is_plain>
  bool sweep_chunk(std::size_t begin, std::size_t end) {
    CompensatedSum<L> student_sum = student_.lanes, teacher_sum = teacher_.lanes, hard_sum = hard_.lanes;
    CompensatedSum<L> weighted_sum = teacher_.weighted_lanes;
    FiniteExp2<L> finite_exp2;
    L student_max(-infinity<T>), teacher_max(-infinity<T>);
    const L shift(static_cast<T>(shift_));
    // copies, because stores to scratch memory might otherwise change them in the compiler's eyes
    const ExpScale<L> scale = student_.scale, hard_scale = hard_.scale;
    const L student_anchor(student_.scale.anchor), teacher_anchor(teacher_.scale.anchor);
    const KeptRow<L> student_kept = kept_[0], teacher_kept = kept_[1], hard_kept = kept_[streams - 1];
    const Student* const x_student = x_student_;
    const Teacher* const x_teacher = x_teacher_;
    const Student* const grad = fetched_grad_;
    const std::size_t n = n_, label = label_;
    const int hard_exponent = hard_exponent_;
    const L square_scale(hard_exponent == 2 ? static_cast<T>(lowered(1, hard_.offset - 2 * student_.offset)) : T(0));
    const T nothing = has_label ? (std::min)(student_.nothing(), hard_.nothing()) : student_.nothing();
    const auto power_of = [&](const Exponent<L>& e) {
      if constexpr (is_plain) {
        return finite_exp2(e);
      } else {
        return exp2(e);
      }
    };
    for (std::size_t first = begin; first < end; first += group_size<L>) {
      L student_group(T(0)), teacher_group(T(0)), weighted_group(T(0)), hard_group(T(0));
      const std::size_t last = (std::min)(end, first + group_size<L>);
      prefetch(group_size<L>, x_student + first + fetched_ahead, x_teacher + first + fetched_ahead);
      if (grad) prefetch(group_size<L>, grad + first);
      for (std::size_t i = first; i < last; i += L::width) {
        const L s = load_up_to<L>(x_student + i, n - i, nothing);
        const L t = load_up_to<L>(x_teacher + i, n - i, nothing);
        const Exponent<L> s_exponent = exponent(s, scale, student_anchor);
        const Exponent<L> t_exponent = exponent(t, scale, teacher_anchor);
        const L s_power = power_of(s_exponent);
        const L t_power = power_of(t_exponent);
        student_group = student_group + s_power;
        teacher_group = teacher_group + t_power;
        if constexpr (!sums_nonnegative_terms || !is_plain) {
          // log2 p - log2 q without the normalisers; Precision::high only tests whether it overflows
          const L ratio = ((t_exponent.whole - s_exponent.whole) - shift) + (t_exponent.fraction - s_exponent.fraction);
          if constexpr (is_plain) {
            weighted_group = fma(t_power, ratio, weighted_group);
          } else {  // left out where p is 0, so that 0 * infinity is never formed
            weighted_group = fma(t_power, zero_where(is_zero(t_exponent), ratio), weighted_group);
          }
        }
        if constexpr (keep) {
          store(s_power, student_kept.values + i);
          store(t_power, teacher_kept.values + i);
        }
        if constexpr (has_label) {
          const L all_power = hard_exponent == 1   ? s_power
                              : hard_exponent == 2 ? s_power * (s_power * square_scale)
                                                   : power_of(exponent(s, hard_scale));
          const L h_power = with_label(all_power, i, label, 0);
          hard_group = hard_group + h_power;
          if constexpr (keep) store(h_power, hard_kept.values + i);
        }
        if constexpr (!is_plain) {
          student_max = larger(student_max, s);
          teacher_max = larger(teacher_max, t);
        }
      }
      student_sum.add(student_group);
      teacher_sum.add(teacher_group);
      weighted_sum.add(weighted_group);
      if constexpr (has_label) hard_sum.add(hard_group);
    }
    if constexpr (is_plain) {
      if (!finite_exp2.were_in_range() || !student_.is_within_headroom(student_sum) ||
          !teacher_.is_within_headroom(teacher_sum) || !hard_.is_within_headroom(hard_sum) ||
          !all_lanes(weighted_sum.sum <= L(infinity<T>))) {
        return false;
      }
    } else {
      student_max_ = student_max;
      teacher_max_ = teacher_max;
      if (!student_.fits(student_max) || !teacher_.fits(teacher_max)) return false;
      if (has_label && !hard_.fits(student_max)) return false;
    }
    student_.lanes = student_sum;
    teacher_.lanes = teacher_sum;
    teacher_.weighted_lanes = weighted_sum;
    if constexpr (has_label) hard_.lanes = hard_sum;
    return true;
  }

  /// The value is the difference between the mean log-ratio and that of the normalisers, both taken relative to
  /// `shift_`. If the shift is too far away for a small value to keep its digits, it moves, and the row must be redone.
  bool recentre() {
    const double mean = teacher_.weighted_sum / teacher_.sum;
    // four offsets apart at most where the value is small; eight are still integers of T
    if (!(std::abs(mean) > 2) || !(std::abs(mean) <= 8 * max_offset<L>)) return false;
    if (!(std::abs(mean) > 2 * kl_from_sums())) return false;
    shift_ += std::nearbyint(mean);
    return true;
  }

  bool raise_offsets() {
    return student_.raise(student_max_) && teacher_.raise(teacher_max_) && (!has_label || hard_.raise(student_max_));
  }

  /// log(sum of teacher's exp) - log(sum of student's exp)
  double log_sum_difference() const {
    return scalar_log(teacher_.sum / student_.sum) + ln_2 * (teacher_.offset - student_.offset);
  }

  double kl_from_sums() const {
    const double offsets = shift_ - (teacher_.offset - student_.offset);
    const double kl = ln_2 * (teacher_.weighted_sum / teacher_.sum + offsets) - scalar_log(teacher_.sum / student_.sum);
    return kl < 0 ? 0 : kl;
  }

  /// Returns the KL divergence as a sum of non-negative terms, if it is wanted.
  double write_gradient(const RowFactors& factors, double scale, double label_gradient, Student* grad,
                        bool accumulate) const {
    // d KL / d student logit = (q - p) / temperature
    const double soft = factors.soft * scale / temperature_;
    const double hard = factors.hard * scale;
    const double shift = log_sum_difference() * temperature_;
    const LogRatio<L> log_ratio{TwoParts<L>(shift), L(static_cast<T>(1 / temperature_))};
    const KeptRow<L> student_kept = kept_[0], teacher_kept = kept_[1], hard_kept = kept_[streams - 1];
    const Student* const x_student = x_student_;
    const Teacher* const x_teacher = x_teacher_;
    const std::size_t n = n_, label = label_;
    double kl = 0;
    for (std::size_t begin = 0, chunk = 0; begin < n_; begin += chunk_size<L>, ++chunk) {
      const std::size_t end = (std::min)(n_, begin + chunk_size<L>);
      const double unit = sums_nonnegative_terms ? 1 : soft;
      const Normaliser<L> student_unit = student_.normaliser(unit, kept_[0].offsets[chunk]);
      const Normaliser<L> teacher_unit = teacher_.normaliser(unit, kept_[1].offsets[chunk]);
      const Normaliser<L> hard_unit =
          has_label ? hard_.normaliser(hard, kept_[streams - 1].offsets[chunk]) : Normaliser<L>(0);
      const L soft_factor(static_cast<T>(soft));
      ChunkSum<L> kl_sum;
      for (std::size_t i = begin; i < end; i += L::width) {
        const L s_power = load<L>(student_kept.values + i);
        const L t_power = load<L>(teacher_kept.values + i);
        L difference;
        if constexpr (sums_nonnegative_terms) {
          const L s = load_up_to<L>(x_student + i, n - i, -infinity<T>);
          const L t = load_up_to<L>(x_teacher + i, n - i, -infinity<T>);
          const NonnegativeTerm<L> term(teacher_unit(t_power), student_unit(s_power), log_ratio(s, t));
          kl_sum.add(term.value, i - begin);
          difference = soft_factor * term.q_minus_p;
        } else {
          difference = student_unit(s_power) - teacher_unit(t_power);
        }
        if constexpr (has_label) {
          const L h_power = load<L>(hard_kept.values + i);
          // the labelled class is not in h_power
          difference = difference + with_label(hard_unit(h_power), i, label, label_gradient);
        }
        if (grad) put(difference, grad + i, n - i, accumulate);
      }
      if constexpr (sums_nonnegative_terms) kl += kl_sum.total();
    }
    return kl;
  }

  /// Not inlined, so that it does not cost the fast sweeps their registers.
  [[gnu::noinline]] double exact(const RowFactors& factors, double scale, Student* grad, bool accumulate) const {
    const ExactSoftmax<Teacher> p(x_teacher_, n_, temperature_);
    const ExactSoftmax<Student> q(x_student_, n_, temperature_);
    const ExactSoftmax<Student> hard(x_student_, n_, 1);
    const double kl = exact_kl(p, q, n_);
    const double ce = has_label ? static_cast<double>(-hard.log_probability(label_)) : 0;
    if (grad) {
      // every element is computed before any is written: grad may be the student's memory
      detail::ScratchFrame frame;
      T* const row = frame.take<T>(n_);
      const auto soft = static_cast<long double>(factors.soft) / static_cast<long double>(temperature_);
      const auto hard_factor = static_cast<long double>(factors.hard);
      for (std::size_t i = 0; i < n_; ++i) {
        long double element = soft * exact_difference(p, q, i);
        if constexpr (has_label) {
          const long double log_probability = hard.log_probability(i);
          element += hard_factor * (i == label_ ? std::expm1(log_probability) : std::exp(log_probability));
        }
        row[i] = static_cast<T>(element * static_cast<long double>(scale));
      }
      put_row<L>(row, n_, grad, accumulate);
    }
    return weighted(factors, kl, ce);
  }

  const Student* x_student_;
  const Teacher* x_teacher_;
  std::size_t n_;
  const Student* fetched_grad_ = nullptr;  // whose cache lines sweep 1 prefetches for sweep 2
  double temperature_;
  std::size_t label_;
  int hard_exponent_;  // e^z = (e^(z/T))^hard_exponent_; 0: computed separately
  ExpStream<L> student_, teacher_, hard_;
  bool is_plain_ = true;  // so far no chunk had infinities or exceeded its offsets
  double shift_ = 0;      // log-ratios are relative to it: at first, teacher's offset - student's offset
  L student_max_, teacher_max_;
  KeptRow<L> kept_[streams];
};

/// The same for a row of scores with one teacher (see teacher_rows.hpp).
template <Precision precision, bool has_label, class L, class Row, class Stored>
double distillation_row(const Row& scores, const RowFactors& factors, double temperature, double scale, Stored* grad,
                        bool accumulate) {
  using Teacher = std::remove_const_t<std::remove_pointer_t<std::decay_t<decltype(scores.teachers.scores[0])>>>;
  DistillationRow<precision, has_label, L, Stored, Teacher> row(scores.student, scores.teachers.scores[0], scores.n,
                                                                temperature, scores.label);
  return row(factors, scale, grad, accumulate);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
