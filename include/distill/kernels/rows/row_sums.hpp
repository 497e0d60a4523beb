// What a sweep leaves of a row, or of a part of it: plain values. The sums of parts are joined to those of the row, in
// any order, so a row may be cut: into parts for threads, tiles, or machines.
//
// Sums of exponentials are sum * 2^offset. The offset is an integer, so moving a sum to another one rounds nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <distill/core/version.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The sum of 2^(x c) over classes: sum * 2^offset. NaN: they are not for the fast sweeps. 0: all are masked.
struct ExpSum {
  double sum = 0;
  double offset = 0;  // an integer

  void join(const ExpSum& other) {
    if (other.sum == 0) return;
    if (sum == 0) {
      *this = other;
      return;
    }
    const double top = (std::max)(offset, other.offset);
    sum = lowered(sum, top - offset) + lowered(other.sum, top - other.offset);
    offset = top;
  }

  bool is_ordinary() const { return 0 < sum && sum <= (std::numeric_limits<double>::max)(); }

  double log() const { return scalar_log(sum) + ln_2 * offset; }

  /// What turns exponentials at `their_offset`, which is not above that of the sum, into `factor` times probabilities.
  template <class L>
  Normaliser<L> normaliser(double factor, typename L::Scalar their_offset) const {
    return Normaliser<L>(lowered(factor / sum, offset - static_cast<double>(their_offset)));
  }
};

/// Of a student and a teacher: what every divergence of two softmaxes needs first.
struct PairSums {
  ExpSum student, teacher;

  void join(const PairSums& other) {
    student.join(other.student);
    teacher.join(other.teacher);
  }

  bool is_ordinary() const { return student.is_ordinary() && teacher.is_ordinary(); }

  /// log(the teacher's sum / the student's)
  double log_ratio() const { return scalar_log(teacher.sum / student.sum) + ln_2 * (teacher.offset - student.offset); }
};

/// The same without a labelled class, whose scores one part knows.
struct LabelledPairSums : PairSums {
  double student_logit = -infinity<double>, teacher_logit = -infinity<double>;

  void join(const LabelledPairSums& other) {
    PairSums::join(other);
    student_logit = (std::max)(student_logit, other.student_logit);
    teacher_logit = (std::max)(teacher_logit, other.teacher_logit);
  }
};

/// Of forward KL, which needs no second sweep: besides, the sum of 2^(t - teacher.offset) (t - s - shift), with t and s
/// in powers of two. A shift near the log-ratios of classes with much mass keeps that sum's digits.
struct KlSums : PairSums {
  double weighted = 0;
  double shift = 0;  // an integer

  void join(const KlSums& other) {
    const double own_offset = teacher.offset, shift_difference = other.shift - shift;
    const bool is_first = teacher.sum == 0;
    PairSums::join(other);
    if (other.teacher.sum == 0) return;
    if (is_first) {
      weighted = other.weighted;
      shift = other.shift;
      return;
    }
    weighted = lowered(weighted, teacher.offset - own_offset) +
               lowered(other.weighted + other.teacher.sum * shift_difference, teacher.offset - other.teacher.offset);
  }

  bool is_ordinary() const { return PairSums::is_ordinary() && std::isfinite(weighted); }

  /// The mean of the log-ratios relative to the shift, in powers of two.
  double mean() const { return weighted / teacher.sum; }

  double kl() const {
    const double offsets = shift - (teacher.offset - student.offset);
    const double kl = ln_2 * (mean() + offsets) - scalar_log(teacher.sum / student.sum);
    return kl < 0 ? 0 : kl;
  }
};

/// Of cross entropy: all classes but the labelled one, whose logit one part knows. Leaving it out keeps a loss near 0
/// exact: -log q = log(1 + others / own), where log(sum) - x would be the difference of two nearly equal numbers.
struct LabelSums {
  ExpSum others;
  double logit = -infinity<double>;

  void join(const LabelSums& other) {
    others.join(other.others);
    logit = (std::max)(logit, other.logit);
  }

  bool is_ordinary() const { return others.is_ordinary() && std::isfinite(logit); }
};

/// What cross entropy makes of its sums.
struct HardLabel {
  double loss = 0;            // -log q_label
  double probability_m1 = 0;  // q_label - 1
  ExpSum all;                 // the label, too

  HardLabel() = default;
  explicit HardLabel(const LabelSums& sums) : all(sums.others) {
    const double exponent = exact_exponent(sums.logit, log2_e, all.offset);
    const double own = scalar_exp2(exponent);
    all.sum += own;
    probability_m1 = -sums.others.sum / all.sum;
    loss = own > sums.others.sum * 1e-250 ? scalar_log1p(sums.others.sum / own) : scalar_log(all.sum) - exponent * ln_2;
  }
};

/// Of KL and cross entropy together.
struct KdSums {
  KlSums soft;
  LabelSums hard;  // at temperature 1

  void join(const KdSums& other) {
    soft.join(other.soft);
    hard.join(other.hard);
  }
};

/// Of the terms of a divergence, in a second sweep.
struct TermSums {
  double value = 0, slope = 0;

  void join(const TermSums& other) {
    value += other.value;
    slope += other.slope;
  }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
