// One row of KL(teacher || student) at a temperature, with or without a cross-entropy term at temperature 1.
//
//   sum    reads student and teacher once: sums of exponentials and sum of p-weighted log-ratios; exponentials kept. From
//          the first chunk with infinities or beyond its offsets on, by lanes that test each number
//   write  writes the gradient from the kept exponentials; for Precision::high it also sums the value, from terms that are
//          never negative
//
// Both take parts of the row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/exp_sweep.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/row_parts.hpp>
#include <distill/kernels/rows/row_sums.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/rows/weighted.hpp>
#include <distill/kernels/scores/class_pair.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/exact_divergence.hpp>
#include <distill/kernels/scores/scores_row.hpp>
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

/// Above this temperature the factor T^2 would amplify the rounding of Precision::standard too much.
inline bool needs_high_precision(Precision precision, double temperature) {
  return precision == Precision::high || temperature > 32;
}

/// A row contributes soft * KL + hard * CE; the gradient has the same factors.
struct RowFactors {
  double soft;
  double hard = 0;
};

/// A row's loss.
inline double weighted(const RowFactors& factors, double kl, double ce) {
  return times(factors.soft, kl) + times(factors.hard, ce);
}

/// A row, and its exponentials: the student's, the teacher's, and the student's at temperature 1.
template <class L, class Student, class Teacher>
struct KlScores {
  const Student* student;
  const Teacher* teacher;
  std::size_t n;
  double temperature;
  std::size_t label = none;
  KeptRow<L> kept[3] = {};
  const Student* fetched_grad = nullptr;  // whose cache lines the sum prefetches for what is written
  int hard_exponent = is_power_of_soft(temperature) ? static_cast<int>(temperature) : 0;  // e^z = (e^(z/T))^it, or 0
};

template <bool has_label>
using SumsOfKl = std::conditional_t<has_label, KdSums, KlSums>;

inline KlSums& soft_sums(KlSums& sums) {
  return sums;
}
inline KlSums& soft_sums(KdSums& sums) {
  return sums.soft;
}

/// The sum of a part.
template <bool sums_nonnegative_terms, bool has_label, class L, class Student, class Teacher>
class KlSweep {
  using T = typename L::Scalar;
  using Sums = SumsOfKl<has_label>;

 public:
  KlSweep(const KlScores<L, Student, Teacher>& row, Range part)
      : row_(row), part_(part), student_(row.temperature), teacher_(row.temperature), hard_(1) {}

  /// Of NaN if the part is not ordinary.
  template <bool keep>
  Sums sums() {
    const Start start = find_start();
    if (start == Start::no_teacher) return sums_without_teacher<keep>();
    if (start == Start::failed || !sweep<keep>()) return not_ordinary();
    if constexpr (has_label) {
      return {kl_sums(), {hard_.total(), label_logit()}};
    } else {
      return kl_sums();
    }
  }

 private:
  enum class Start { found, no_teacher, failed };

  static Sums not_ordinary() {
    Sums result;
    soft_sums(result).student.sum = soft_sums(result).teacher.sum = std::numeric_limits<double>::quiet_NaN();
    return result;
  }

  KlSums kl_sums() const {
    KlSums result;
    result.student = student_.total();
    result.teacher = teacher_.total();
    result.weighted = teacher_.weighted_lanes.total();
    result.shift = shift_;
    return result;
  }
  double label_logit() const {
    const bool is_here = has_label && row_.label - part_.begin < part_.end - part_.begin;
    return is_here ? detail::load_scalar<double>(row_.student + row_.label) : -infinity<double>;
  }

  /// Where the teacher has no class that counts, there is no log-ratio.
  template <bool keep>
  Sums sums_without_teacher() {
    Sums result;
    KeptRow<L> kept[3] = {row_.kept[0], row_.kept[1], row_.kept[2]};
    const auto to = [&](std::size_t k) { return keep ? &kept[k] : nullptr; };
    ExpSum& student = soft_sums(result).student;
    student = sum_exponentials(student_, row_.student, part_, none, to(0));
    if (!(student.sum >= 0)) return not_ordinary();
    if (keep) keep_nothing(kept[1], part_);
    if constexpr (has_label) {
      result.hard = {sum_exponentials(hard_, row_.student, part_, row_.label, to(2)), label_logit()};
    }
    return result;
  }

  /// False if the fast sweeps cannot take the part.
  template <bool keep>
  bool sweep() {
    if (!sweep_chunks<keep>()) return false;
    const bool far_up = student_.should_restart() || teacher_.should_restart() || hard_.should_restart();
    if (far_up && !sweep_again<keep>()) return false;
    return sums_nonnegative_terms || !recentre() || sweep_again<keep>();
  }

  /// The class with the teacher's largest score among the first ones: log-ratios are then small where p is large.
  Start find_start() {
    const std::size_t n = part_.end - part_.begin,
                      first = std::min<std::size_t>(n, std::max<std::size_t>(16, L::width));
    const Student* const x_student = row_.student + part_.begin;
    const Teacher* const x_teacher = row_.teacher + part_.begin;
    const auto at = [n](const auto* x, std::size_t i) { return load_up_to<L>(x + i, n - i, -infinity<T>); };
    L largest(-infinity<T>), beside_largest(-infinity<T>);
    for (std::size_t i = 0; i < first; i += L::width) largest = larger(largest, at(x_teacher, i));
    T teacher_top = reduce_max_number(largest);
    for (std::size_t i = 0; i < first; i += L::width) {
      const auto is_top = L(teacher_top) <= at(x_teacher, i);
      beside_largest = larger(beside_largest, select(is_top, at(x_student, i), L(-infinity<T>)));
    }
    T student_top = reduce_max_number(beside_largest);
    if (!teacher_.counts(teacher_top)) {
      teacher_top = first_counting(teacher_, row_.teacher, part_);
      if (teacher_top != teacher_top) return Start::failed;
      if (!teacher_.counts(teacher_top)) return Start::no_teacher;
    }
    if (!student_.counts(student_top)) student_top = first_counting(student_, row_.student, part_);
    if (!student_.counts(student_top)) return Start::failed;
    if (!teacher_.start(teacher_top) || !student_.start(student_top)) return Start::failed;
    if (has_label && !hard_.start(student_top)) return Start::failed;
    shift_ = teacher_.offset - student_.offset;
    return Start::found;
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
    for (std::size_t begin = part_.begin; begin < part_.end; begin += chunk_size<L>) {
      const std::size_t end = (std::min)(part_.end, begin + chunk_size<L>), chunk = begin / chunk_size<L>;
      is_plain_ = is_plain_ && sweep_chunk<keep, true>(begin, end);
      while (!is_plain_ && !sweep_chunk<keep, false>(begin, end)) {
        if (!raise_offsets()) return false;
      }
      if constexpr (keep) {
        row_.kept[0].offsets[chunk] = static_cast<T>(student_.offset);
        row_.kept[1].offsets[chunk] = static_cast<T>(teacher_.offset);
        if constexpr (has_label) row_.kept[2].offsets[chunk] = static_cast<T>(hard_.offset);
      }
    }
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
    const KeptRow<L> student_kept = row_.kept[0], teacher_kept = row_.kept[1], hard_kept = row_.kept[2];
    const Student* const x_student = row_.student;
    const Teacher* const x_teacher = row_.teacher;
    const Student* const grad = row_.fetched_grad;
    const std::size_t n = part_.end, label = row_.label;
    const int hard_exponent = row_.hard_exponent;
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
  /// `shift_`. If the shift is too far away for a small value to keep its digits, it moves, and the part must be redone.
  bool recentre() {
    const KlSums sums = kl_sums();
    const double mean = sums.mean();
    // four offsets apart at most where the value is small; eight are still integers of T
    if (!(std::abs(mean) > 2) || !(std::abs(mean) <= 8 * max_offset<L>)) return false;
    if (!(std::abs(mean) > 2 * sums.kl())) return false;
    shift_ += std::nearbyint(mean);
    return true;
  }

  bool raise_offsets() {
    return student_.raise(student_max_) && teacher_.raise(teacher_max_) && (!has_label || hard_.raise(student_max_));
  }

  const KlScores<L, Student, Teacher>& row_;
  const Range part_;
  ExpSweep<L> student_, teacher_, hard_;
  bool is_plain_ = true;  // so far no chunk had infinities or exceeded its offsets
  double shift_ = 0;      // log-ratios are relative to it: at first, teacher's offset - student's offset
  L student_max_, teacher_max_;
};

/// soft * KL + hard * CE.
template <Precision precision, bool has_label, class L, class Student, class Teacher>
class KlRow {
  using T = typename L::Scalar;
  static constexpr bool sums_nonnegative_terms = precision == Precision::high;

 public:
  using Sums = SumsOfKl<has_label>;

  /// Of the row's first teacher.
  KlRow(const ScoresRow<Student, Teacher>& row, double temperature, const RowFactors& factors)
      : row_{row.student, row.teachers.scores[0], row.n, temperature, row.label}, factors_(factors) {}

  std::size_t size() const { return row_.n; }
  bool is_ordinary() const { return row_.n > 1 && is_ordinary_temperature(row_.temperature); }

  void keep_in(detail::ScratchFrame& frame, const Student* grad) {
    row_.fetched_grad = grad;
    if (!grad && !sums_nonnegative_terms) return;
    KeptRow<L> kept[streams];
    take_kept_rows(frame, kept, row_.n);
    for (std::size_t k = 0; k < streams; ++k) row_.kept[k] = kept[k];
  }

  Sums sum(Range part) const {
    KlSweep<sums_nonnegative_terms, has_label, L, Student, Teacher> sweep(row_, part);
    return row_.kept[0].values ? sweep.template sums<true>() : sweep.template sums<false>();
  }

  bool accept(Sums sums) {
    sums_ = soft_sums(sums);
    if constexpr (has_label) {
      if (!sums.hard.is_ordinary()) return false;
      hard_ = HardLabel(sums.hard);
    }
    return sums_.is_ordinary();
  }

  /// The gradient needs nothing but the sums.
  static constexpr bool has_terms() { return false; }
  static TermSums terms(Range) { return {}; }
  static bool accept(const TermSums&) { return true; }

  /// Returns the part's share of the KL divergence as a sum of non-negative terms, if it is wanted.
  TermSums write(Range part, double scale, const GradientRow<Student>& gradient) const {
    // copies, because stores might otherwise change what is stored to in the compiler's eyes
    const GradientRow<Student> grad = gradient;
    if (!grad && !sums_nonnegative_terms) return {};
    raise_kept(row_.kept[0], row_.student, part, row_.temperature, none, sums_.student.offset);
    raise_kept(row_.kept[1], row_.teacher, part, row_.temperature, none, sums_.teacher.offset);
    if (has_label) raise_kept(row_.kept[2], row_.student, part, 1, row_.label, hard_.all.offset);
    const double at_label = has_label ? factors_.hard * scale * hard_.probability_m1 : 0;
    // d KL / d student logit = (q - p) / temperature
    const double soft = factors_.soft * scale / row_.temperature, hard = factors_.hard * scale;
    const double unit = sums_nonnegative_terms ? 1 : soft;
    const LogRatio<L> log_ratio(sums_, row_.temperature);
    const L soft_factor(static_cast<T>(soft));
    const KeptRow<L> student_kept = row_.kept[0], teacher_kept = row_.kept[1], hard_kept = row_.kept[2];
    const Student* const x_student = row_.student;
    const Teacher* const x_teacher = row_.teacher;
    const std::size_t n = part.end, label = row_.label;
    double kl = 0;
    for (std::size_t begin = part.begin; begin < part.end; begin += chunk_size<L>) {
      const std::size_t end = (std::min)(part.end, begin + chunk_size<L>), chunk = begin / chunk_size<L>;
      const Normaliser<L> student_unit = sums_.student.template normaliser<L>(unit, student_kept.offsets[chunk]);
      const Normaliser<L> teacher_unit = sums_.teacher.template normaliser<L>(unit, teacher_kept.offsets[chunk]);
      const Normaliser<L> hard_unit =
          has_label ? hard_.all.template normaliser<L>(hard, hard_kept.offsets[chunk]) : Normaliser<L>(0);
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
          difference = difference + with_label(hard_unit(h_power), i, label, at_label);
        }
        if (grad) put(difference, grad, i, n);
      }
      if constexpr (sums_nonnegative_terms) kl += kl_sum.total();
    }
    return {kl, 0};
  }

  /// Once the sums are accepted.
  double cross_entropy() const { return hard_.loss; }

  double value(const TermSums& written) const {
    return weighted(factors_, sums_nonnegative_terms ? written.value : sums_.kl(), has_label ? hard_.loss : 0);
  }

  /// Of any row, by the plain formulas. Not inlined, so that it does not cost the fast sweeps their registers.
  [[gnu::noinline]] double exact(double scale, const GradientRow<Student>& grad) const {
    const ExactDivergenceRow<false, L, ForwardKlTerm, Student, Teacher> kl(
        {}, {row_.student, only_teacher(row_.teacher), row_.n, none}, row_.temperature);
    const ExactSoftmax<Student> hard(row_.student, row_.n, 1);
    const double ce =
        has_label ? static_cast<double>(-hard.log_probability(row_.label)) : 0;  // grad may be the student
    if (grad) {
      const double soft = factors_.soft * scale / row_.temperature;
      const auto hard_factor = static_cast<long double>(factors_.hard * scale);
      kl.write({soft, soft * kl.slope_sum()}, grad, [&](std::size_t i) {
        if (!has_label) return 0.0L;
        const long double log_q = hard.log_probability(i);
        return hard_factor * (i == row_.label ? std::expm1(log_q) : std::exp(log_q));
      });
    }
    return weighted(factors_, kl.value(), ce);
  }

 private:
  static constexpr std::size_t streams = has_label ? 3 : 2;

  KlScores<L, Student, Teacher> row_;
  RowFactors factors_;
  KlSums sums_;
  HardLabel hard_;
};

/// Of a row with one teacher.
template <Precision precision, bool has_label, class L, class Student, class Teacher>
auto make_kl_row(const ScoresRow<Student, Teacher>& row, double temperature, const RowFactors& factors) {
  return KlRow<precision, has_label, L, Student, Teacher>(row, temperature, factors);
}

/// Its loss, and its gradient times `scale`.
template <Precision precision, bool has_label, class L, class Student, class Teacher>
double kl_row(const ScoresRow<Student, Teacher>& row, double temperature, const RowFactors& factors, double scale,
              const GradientRow<Student>& grad) {
  return whole_row(make_kl_row<precision, has_label, L>(row, temperature, factors), scale, grad);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
