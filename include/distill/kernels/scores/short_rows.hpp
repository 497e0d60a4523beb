// Rows of few classes, one row per lane: what kl_row.hpp does for a single row.
//
// The rows are transposed into columns, so that no lane is idle, and the logarithm and divisions in double that finish
// a row are done for several at once. Offsets are the rows' largest numbers, which cost little to find there;
// log-ratios relative to them are small where a row's KL is.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exp_sweep.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <distill/kernels/scores/scores_row.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>
#include <distill/kernels/simd/compensated_sum.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/lane_doubles.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Rows of up to this many classes are computed together: in longer rows, finishing a row costs little.
inline constexpr std::size_t longest_short_row = 128;

/// Some rows, one per lane; after `count` they repeat the last, without a gradient.
template <class L, class Student, class Teacher>
struct RowGroup {
  std::size_t count;
  const Student* student[L::width];
  const Teacher* teacher[L::width];
  Student* grad[L::width];      // null: none
  std::size_t label[L::width];  // if the loss has labels
  double factor[L::width];
};

/// The exponentials of the rows in L's lanes, each row with its own offset, and their sums.
template <class L>
struct LaneStream {
  using T = typename L::Scalar;
  ExpScale<L> scale;
  L anchor;  // instead of the scale's
  L offset;
  LaneDoubles<L> sum;

  /// From the rows' largest numbers. If one is out of range for these sweeps, everything becomes NaN.
  LaneStream(double temperature, L largest) : scale(log2_e / temperature) {
    scale.set_offset(0);
    const L rounder(static_cast<T>(no_fraction<T>));
    const L exact = largest * L(scale.c), whole = fma(largest, L(scale.c), rounder) - rounder;
    const L limit(static_cast<T>(max_offset<L>)), nan(std::numeric_limits<T>::quiet_NaN());
    offset = select(absolute(exact) <= limit, whole - L(static_cast<T>(ExpSweep<L>::lift)), nan);
    anchor = L(scale.anchor) - offset;
  }

  [[gnu::always_inline]] Exponent<L> exponent(L x) const { return kernels::exponent(x, scale, anchor); }
};

/// The factor that turns exponentials of this sum into `factor` times probabilities.
template <class L>
[[gnu::always_inline]] inline Normaliser<L> normaliser(const LaneDoubles<L>& factor, const LaneDoubles<L>& sum) {
  const LaneDoubles<L> share = factor / sum;
  return {share.high(), share.low()};
}

template <Precision precision, bool has_label, class L, class Student, class Teacher>
class ShortRows {
  using T = typename L::Scalar;
  using Doubles = LaneDoubles<L>;
  using Group = RowGroup<L, Student, Teacher>;
  static constexpr std::size_t width = L::width;
  static constexpr bool sums_nonnegative_terms = precision == Precision::high && std::is_same_v<T, float>;

 public:
  [[gnu::noinline]] ShortRows(std::size_t n, double temperature) : n_(n), temperature_(temperature) {
    const std::size_t size = (n + width - 1) / width * width * width;  // of whole tiles
    for (T** columns : {&student_, &teacher_, &student_power_, &teacher_power_}) *columns = frame_.take<T>(size);
    hard_power_ = has_label ? frame_.take<T>(size) : nullptr;
  }

  /// Writes the rows' losses, and each one's gradient times its factor.
  void operator()(const Group& rows, const RowFactors& factors, bool accumulate, double* losses) const {
    const L largest_student = load_columns(rows.student, student_);
    const L largest_teacher = load_columns(rows.teacher, teacher_);
    LaneStream<L> student(temperature_, largest_student), teacher(temperature_, largest_teacher);
    const Doubles weighted_sum = sum_exponentials(student, teacher);
    const Doubles log_sums_ratio = log(teacher.sum / student.sum);
    Doubles kl = ln_2 * (weighted_sum / teacher.sum) - log_sums_ratio;
    Doubles sums_of_all = kl;  // not finite where any of the sums is not
    const Label label = find_label(rows.label, largest_student);
    if constexpr (has_label) sums_of_all = sums_of_all + label.loss;
    kl = larger(kl, 0.0);
    if (rows.grad[0] || sums_nonnegative_terms) {
      const Doubles sum = find_gradient(rows, factors, student, teacher, label, log_sums_ratio);
      if constexpr (sums_nonnegative_terms) {
        kl = sum;
        sums_of_all = sums_of_all + sum;
      }
    }
    const bool are_ordinary = sums_of_all.are_finite();

    Doubles loss = factors.soft * kl;
    if constexpr (has_label) loss = loss + factors.hard * label.loss;
    loss.store_to(losses);

    if (are_ordinary) {
      if (rows.grad[0]) put_columns(rows.grad, accumulate);
      return;
    }
    double sums[width];
    sums_of_all.store_to(sums);
    Student* ordinary[width];
    for (std::size_t r = 0; r < width; ++r) ordinary[r] = std::isfinite(sums[r]) ? rows.grad[r] : nullptr;
    if (rows.grad[0]) put_columns(ordinary, accumulate);
    for (std::size_t r = 0; r < rows.count; ++r) {
      if (std::isfinite(sums[r])) continue;
      const ScoresRow<Student, Teacher> row{rows.student[r], only_teacher(rows.teacher[r]), n_,
                                            has_label ? rows.label[r] : none};
      losses[r] = kl_row<precision, has_label, L>(row, temperature_, factors, rows.factor[r],
                                                  GradientRow<Student>{rows.grad[r], accumulate});
    }
  }

 private:
  static L column(const T* columns, std::size_t j) { return load<L>(columns + j * width); }

  /// The sums of the rows' classes at T = 1, without the labelled one; 0 without labels.
  struct Label {
    Doubles loss, probability_m1, total;
  };

  /// Where the tile with column j begins: the last one begins earlier, so that the end of the rows does not cut it off.
  std::size_t tile_begin(std::size_t j) const { return n_ < width ? 0 : (std::min)(j, n_ - width); }

  /// Returns the rows' largest numbers.
  template <class Stored>
  L load_columns(const Stored* const (&rows)[width], T* columns) const {
    L largest(-infinity<T>);
    for (std::size_t j = 0; j < n_; j += width) {
      const std::size_t begin = tile_begin(j);
      L tile[width];
      if (n_ >= width) {  // tested once for all: 2 % of ten classes' instructions
        for (std::size_t r = 0; r < width; ++r) tile[r] = load<L>(rows[r] + begin);
      } else {
        for (std::size_t r = 0; r < width; ++r) tile[r] = load_up_to<L>(rows[r], n_, -infinity<T>);
      }
      transpose(tile);
      for (std::size_t k = 0; k < width; ++k) {
        store(tile[k], columns + (begin + k) * width);
        largest = larger(largest, tile[k]);
      }
    }
    return largest;
  }
  void put_columns(Student* const (&rows)[width], bool accumulate) const {
    for (std::size_t j = 0; j < n_; j += width) {
      const std::size_t begin = accumulate ? j : tile_begin(j);  // nothing may be added twice
      L tile[width];
      for (std::size_t k = 0; k < width; ++k) tile[k] = column(student_power_, begin + k);
      transpose(tile);
      if (!accumulate && n_ >= width) {
        for (std::size_t r = 0; r < width; ++r) {
          if (rows[r]) store(tile[r], rows[r] + begin);
        }
      } else {
        for (std::size_t r = 0; r < width; ++r) {
          if (rows[r]) put(tile[r], rows[r] + begin, n_ - begin, accumulate);
        }
      }
    }
  }

  /// Keeps the exponentials; returns the sums of the teacher's times log-ratios, in powers of two and relative to the
  /// offsets.
  [[gnu::always_inline]] Doubles sum_exponentials(LaneStream<L>& student, LaneStream<L>& teacher) const {
    // copies, because stores might change them in the compiler's eyes
    const T *const students = student_, *const teachers = teacher_;
    T *const student_powers = student_power_, *const teacher_powers = teacher_power_;
    const std::size_t n = n_;
    CompensatedSum<L> student_sum, teacher_sum, weighted_sum;
    const L shift = teacher.offset - student.offset;
    for (std::size_t j = 0; j < n; ++j) {
      const Exponent<L> s = student.exponent(column(students, j)), t = teacher.exponent(column(teachers, j));
      const L s_power = exp2(s), t_power = exp2(t);
      // a row's mass may lie in one class, whose sum would show all the rounding: no groups here
      student_sum.add(s_power);
      teacher_sum.add(t_power);
      if constexpr (!sums_nonnegative_terms) {
        const L ratio = ((t.whole - s.whole) - shift) + (t.fraction - s.fraction);
        weighted_sum.add(t_power * zero_where(is_zero(t), ratio));
      }
      store(s_power, student_powers + j * width);
      store(t_power, teacher_powers + j * width);
    }
    student.sum = Doubles(student_sum);
    teacher.sum = Doubles(teacher_sum);
    return Doubles(weighted_sum);
  }

  /// As HardLabel (row_sums.hpp).
  Label find_label(const std::size_t (&label)[width], L largest) const {
    if constexpr (!has_label) return {0.0, 0.0, 0.0};
    const LaneStream<L> stream(1, largest);
    for (std::size_t j = 0; j < n_; ++j) {
      const L power = temperature_ == 1 ? column(student_power_, j) : exp2(stream.exponent(column(student_, j)));
      store(power, hard_power_ + j * width);
    }
    double power_of_label[width];
    for (std::size_t r = 0; r < width; ++r) {
      T& at_label = hard_power_[label[r] * width + r];
      power_of_label[r] = static_cast<double>(at_label);
      at_label = 0;
    }
    CompensatedSum<L> sum;
    for (std::size_t j = 0; j < n_; ++j) sum.add(column(hard_power_, j));
    const Doubles own(power_of_label), others(sum), odds = others / own;
    Label result;
    result.total = others + own;
    result.probability_m1 = 0.0 - others / result.total;
    result.loss = log1p(odds);
    if (!own.are_positive()) {
      double total[width], offset[width], loss[width];
      result.total.store_to(total);
      Doubles(stream.offset).store_to(offset);
      result.loss.store_to(loss);
      for (std::size_t r = 0; r < width; ++r) {
        if (power_of_label[r] > 0) continue;
        const double logit = static_cast<double>(student_[label[r] * width + r]);
        loss[r] = scalar_log(total[r]) - exact_exponent(logit, log2_e, offset[r]) * ln_2;
      }
      result.loss = Doubles(loss);
    }
    return result;
  }

  /// Overwrites the student's exponentials with the gradient. Returns the KL divergences as sums of non-negative terms,
  /// if wanted.
  Doubles find_gradient(const Group& rows, const RowFactors& factors, const LaneStream<L>& student,
                        const LaneStream<L>& teacher, const Label& label, const Doubles& log_sums_ratio) const {
    const Doubles factor(rows.factor), offsets(teacher.offset - student.offset);
    const Doubles soft = factor * (factors.soft / temperature_), hard = factor * factors.hard;
    const Doubles unit = sums_nonnegative_terms ? Doubles(1.0) : soft;
    const Doubles shift = (log_sums_ratio + ln_2 * offsets) * temperature_;
    const Normaliser<L> student_unit = normaliser(unit, student.sum), teacher_unit = normaliser(unit, teacher.sum);
    const Normaliser<L> hard_unit = normaliser(hard, has_label ? label.total : unit);
    const LogRatio<L> log_ratio(TwoParts<L>(shift.high(), shift.low()), temperature_);
    const L soft_factor = soft.high();
    // copies, because stores might change them in the compiler's eyes
    T* const student_powers = student_power_;
    const T *const teacher_powers = teacher_power_, *const hard_powers = hard_power_;
    const std::size_t n = n_;
    Doubles kl(0.0);
    L kl_sum(T(0));
    for (std::size_t j = 0; j < n; ++j) {
      const L q = student_unit(column(student_powers, j)), p = teacher_unit(column(teacher_powers, j));
      L difference = q - p;
      if constexpr (sums_nonnegative_terms) {
        const NonnegativeTerm<L> term(p, q, log_ratio(column(student_, j), column(teacher_, j)));
        kl_sum = kl_sum + term.value;
        if (j % 16 == 15 || j + 1 == n) {
          kl = kl + Doubles(kl_sum);
          kl_sum = L(T(0));
        }
        difference = soft_factor * term.q_minus_p;
      }
      if constexpr (has_label) difference = difference + hard_unit(column(hard_powers, j));
      store(difference, student_powers + j * width);
    }
    if constexpr (has_label) {
      double at_label[width];
      (hard * label.probability_m1).store_to(at_label);
      for (std::size_t r = 0; r < width; ++r) {
        student_power_[rows.label[r] * width + r] += static_cast<T>(at_label[r]);
      }
    }
    return kl;
  }

  std::size_t n_;
  double temperature_;
  detail::ScratchFrame frame_;
  T *student_, *teacher_, *student_power_, *teacher_power_, *hard_power_;  // columns of the rows' numbers
};

/// Whether ShortRows can take a call's rows: short, with one teacher, and untransformed.
template <class L, class Loss, class Call>
bool has_short_rows(const Loss& loss, const Call& call) {
  return L::width > 1 && call.student.cols > 1 && call.student.cols <= longest_short_row && loss.logits.is_identity() &&
         !call.teachers.is_list() && is_ordinary_temperature(loss.temperature);
}

/// The loss factors.soft * KL + factors.hard * CE of such a call.
template <Precision precision, bool has_label, class L, class Loss, class S, class T, class G, class Labels>
double reduce_short_rows(const Loss& loss, const detail::TeacherCall<S, T, G>& call, const Labels& labels,
                         const RowFactors& factors, const RowOptions& options) {
  const std::size_t n = call.student.cols;
  const MatrixView<const T>& teacher = call.teachers[0].scores.matrix;
  const MatrixView<G>& grad = call.grad.view;
  const bool are_dense =
      call.student.row_stride == n && teacher.row_stride == n && (!grad.data || grad.row_stride == n);
  const std::size_t rows_at_once = are_dense ? L::width : 1;
  return reduce_groups<L::width>(
      {call.student.rows, n, n}, call.grad, options, loss.reduction, loss.weight,
      [&](std::size_t i) { return labels.is_ignored(i); },
      [&](const std::size_t* rows, const double* row_factors, std::size_t count, double* losses) {
        RowGroup<L, S, T> group;
        group.count = count;
        const auto fill = [&](std::size_t r, std::size_t k) {
          group.student[r] = call.student.row(rows[k]);
          group.teacher[r] = teacher.row(rows[k]);
          group.grad[r] = gradient_row(call.grad, rows[k]).data;
          if (has_label) group.label[r] = labels.at(rows[k]);
          group.factor[r] = row_factors[k];
        };
        for (std::size_t r = 0; r < count; ++r) fill(r, r);
        for (std::size_t r = count; r < L::width; ++r) {
          fill(r, count - 1);
          group.grad[r] = nullptr;
        }
        // the next group's scores, and this one's gradient, which is written last
        for (std::size_t i = rows[0]; i < rows[0] + L::width; i += rows_at_once) {
          const S* const student_row = call.student.row(i + L::width);
          const T* const teacher_row = teacher.row(i + L::width);
          if (grad.data) {
            prefetch(rows_at_once * n, student_row, teacher_row, grad.row(i));
          } else {
            prefetch(rows_at_once * n, student_row, teacher_row);
          }
        }
        ShortRows<precision, has_label, L, S, T>(n, loss.temperature)(group, factors, call.grad.accumulate, losses);
      });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
