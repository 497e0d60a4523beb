// Rows of few classes, as many at a time as there are lanes, each lane a row: what distillation_row.hpp does for one.
//
// The rows are transposed into columns, so that no lane is idle, and what a row ends with, a logarithm and divisions in
// double, is done for several at once. Offsets are the rows' largest numbers, which cost little to find there; log-ratios
// relative to them are small where a row's KL is.
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
#include <distill/kernels/distillation_row.hpp>
#include <distill/kernels/exp_stream.hpp>
#include <distill/kernels/lanes.hpp>
#include <distill/kernels/log.hpp>
#include <distill/kernels/memory.hpp>
#include <distill/kernels/rows.hpp>
#include <distill/kernels/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Rows of up to so many classes are computed together: beyond, a row's end costs little.
inline constexpr std::size_t longest_short_row = 128;

/// Some rows, one in each lane; behind `count` they repeat the last.
template <class L, class Student, class Teacher>
struct RowGroup {
  std::size_t count;
  const Student* student[L::width];
  const Teacher* teacher[L::width];
  Student* grad[L::width];  // null: none
  std::size_t label[L::width];
  double factor[L::width];
};

/// A number in double for each lane's row.
template <class L>
struct alignas(64) LaneDoubles {
  using T = typename L::Scalar;
  double of[L::width];

  LaneDoubles() = default;
  explicit LaneDoubles(L x) : LaneDoubles(CompensatedSum<L>{x, L(T(0))}) {}
  [[gnu::always_inline]] explicit LaneDoubles(const CompensatedSum<L>& sum) {
    alignas(64) T sums[L::width], excesses[L::width];
    store(sum.sum, sums);
    store(sum.excess, excesses);
    for (std::size_t r = 0; r < L::width; ++r) of[r] = static_cast<double>(sums[r]) - static_cast<double>(excesses[r]);
  }
  /// The numbers, rounded ...
  [[gnu::always_inline]] L high() const {
    alignas(64) T numbers[L::width];
    for (std::size_t r = 0; r < L::width; ++r) numbers[r] = static_cast<T>(of[r]);
    return load<L>(numbers);
  }
  /// ... and what rounding left.
  [[gnu::always_inline]] L low() const {
    alignas(64) T numbers[L::width];
    for (std::size_t r = 0; r < L::width; ++r) {
      numbers[r] = static_cast<T>(of[r] - static_cast<double>(static_cast<T>(of[r])));
    }
    return load<L>(numbers);
  }
};

/// The exponentials of the rows in L's lanes, each row with its own offset, and their sums.
template <class L>
struct LaneStream {
  using T = typename L::Scalar;
  ExpScale<L> scale;
  L anchor;  // instead of the scale's
  L offset;
  LaneDoubles<L> sum;

  /// From the rows' largest numbers. Where one is beyond the range of these sweeps, all becomes NaN.
  LaneStream(double temperature, L largest) : scale(log2_e / temperature) {
    scale.set_offset(0);
    constexpr T no_fraction =
        static_cast<T>(1.5 * static_cast<double>(std::int64_t{1} << FloatLayout<T>::mantissa_bits));
    const L exact = largest * L(scale.c), whole = (exact + L(no_fraction)) - L(no_fraction);
    const L limit(static_cast<T>(max_offset<L>)), nan(std::numeric_limits<T>::quiet_NaN());
    offset = select(absolute(exact) <= limit, whole - L(static_cast<T>(ExpStream<L>::lift)), nan);
    anchor = L(scale.anchor) - offset;
  }

  Exponent<L> exponent(L x) const { return kernels::exponent(x, scale, anchor); }
};

/// What turns exponentials of this sum into `factor` times probabilities.
template <class L>
[[gnu::always_inline]] inline Normaliser<L> normaliser(const LaneDoubles<L>& factor, const LaneDoubles<L>& sum) {
  LaneDoubles<L> share;
  for (std::size_t r = 0; r < L::width; ++r) share.of[r] = factor.of[r] / sum.of[r];
  return {share.high(), share.low()};
}

template <Precision precision, bool has_label, class L, class Student, class Teacher>
class ShortRows {
  using T = typename L::Scalar;
  using D = Lanes<double, typename L::Arch>;
  using Doubles = LaneDoubles<L>;
  using Group = RowGroup<L, Student, Teacher>;
  static constexpr std::size_t width = L::width;
  static constexpr std::size_t few_columns = width / 4;  // that are no worth of a transposition
  static constexpr bool sums_nonnegative_terms = precision == Precision::high && std::is_same_v<T, float>;

 public:
  ShortRows(std::size_t n, double temperature) : n_(n), temperature_(temperature) {
    const std::size_t size = (n + width - 1) / width * width * width;  // of whole tiles
    detail::ScratchArrays arrays(detail::scratch().rows, (has_label ? 5 : 4) * detail::bytes_of<T>(size));
    for (T** columns : {&student_, &teacher_, &student_power_, &teacher_power_}) *columns = arrays.take<T>(size);
    hard_power_ = has_label ? arrays.take<T>(size) : nullptr;
  }

  /// Writes the rows' losses, and each one's gradient times its factor.
  void operator()(const Group& rows, const RowFactors& factors, bool accumulate, double* losses) const {
    load_columns(rows.student, student_);
    load_columns(rows.teacher, teacher_);
    L largest_student(-infinity<T>), largest_teacher(-infinity<T>);
    for (std::size_t j = 0; j < n_; ++j) {
      largest_student = larger(largest_student, column(student_, j));
      largest_teacher = larger(largest_teacher, column(teacher_, j));
    }
    LaneStream<L> student(temperature_, largest_student), teacher(temperature_, largest_teacher);
    const Doubles weighted_sum = sum_exponentials(student, teacher);
    Doubles kl, log_sums_ratio;
    for (std::size_t r = 0; r < width; r += D::width) {
      const D sum = load<D>(teacher.sum.of + r), logarithm = log(sum / load<D>(student.sum.of + r));
      store(logarithm, log_sums_ratio.of + r);
      store(D(ln_2) * (load<D>(weighted_sum.of + r) / sum) - logarithm, kl.of + r);
    }
    bool is_ordinary[width];
    for (std::size_t r = 0; r < width; ++r) {
      is_ordinary[r] = std::isfinite(kl.of[r]);  // not where any of the sums is not finite
      kl.of[r] = kl.of[r] < 0 ? 0 : kl.of[r];
    }
    Label label;
    if constexpr (has_label) {
      label = find_label(rows.label, largest_student);
      for (std::size_t r = 0; r < width; ++r) is_ordinary[r] = is_ordinary[r] && std::isfinite(label.loss.of[r]);
    }
    if (rows.grad[0] || sums_nonnegative_terms) {
      const Doubles sum = find_gradient(rows, factors, student, teacher, label, log_sums_ratio);
      if (sums_nonnegative_terms) kl = sum;
    }

    if (rows.grad[0]) put_columns(rows, is_ordinary, accumulate);
    const RowFactors own = factors;  // a copy, as losses might change them in the compiler's eyes
    for (std::size_t r = 0; r < rows.count; ++r) losses[r] = weighted(own, kl.of[r], has_label ? label.loss.of[r] : 0);
    for (std::size_t r = 0; r < rows.count; ++r) {  // last, as this needs the columns' memory
      if (is_ordinary[r]) continue;
      DistillationRow<precision, has_label, L, Student, Teacher> row(rows.student[r], rows.teacher[r], n_, temperature_,
                                                                     rows.label[r]);
      losses[r] = row(factors, rows.factor[r], rows.grad[r], accumulate);
    }
  }

 private:
  static L column(const T* columns, std::size_t j) { return load<L>(columns + j * width); }

  /// What the rows' classes at T = 1 give, but for the labelled one.
  struct Label {
    Doubles loss, probability_m1, total;
  };

  template <class Stored>
  void load_columns(const Stored* const (&rows)[width], T* columns) const {
    std::size_t j = 0;
    for (; j + few_columns < n_; j += width) {
      L tile[width];
      for (std::size_t r = 0; r < width; ++r) tile[r] = load_up_to<L>(rows[r] + j, n_ - j, -infinity<T>);
      transpose(tile);
      for (std::size_t k = 0; k < width; ++k) store(tile[k], columns + (j + k) * width);
    }
    for (; j < n_; ++j) {
      for (std::size_t r = 0; r < width; ++r) columns[j * width + r] = detail::load_scalar<T>(rows[r] + j);
    }
  }
  void put_columns(const Group& rows, const bool (&is_wanted)[width], bool accumulate) const {
    std::size_t j = 0;
    for (; j + few_columns < n_; j += width) {
      L tile[width];
      for (std::size_t k = 0; k < width; ++k) tile[k] = column(student_power_, j + k);
      transpose(tile);
      for (std::size_t r = 0; r < rows.count; ++r) {
        if (is_wanted[r]) put(tile[r], rows.grad[r] + j, n_ - j, accumulate);
      }
    }
    for (; j < n_; ++j) {
      for (std::size_t r = 0; r < rows.count; ++r) {
        if (!is_wanted[r]) continue;
        Student* const grad = rows.grad[r] + j;
        const T old = accumulate ? detail::load_scalar<T>(grad) : T(0);
        detail::store_scalar(grad, old + student_power_[j * width + r]);
      }
    }
  }

  /// Keeps the exponentials; returns the sums of the teacher's times log-ratios, in powers of two and relative to the
  /// offsets.
  Doubles sum_exponentials(LaneStream<L>& student, LaneStream<L>& teacher) const {
    CompensatedSum<L> student_sum, teacher_sum, weighted_sum;
    const L shift = teacher.offset - student.offset;
    for (std::size_t j = 0; j < n_; ++j) {
      const Exponent<L> s = student.exponent(column(student_, j)), t = teacher.exponent(column(teacher_, j));
      const L s_power = exp2(s), t_power = exp2(t);
      // a row's mass may lie in one class, and a sum's rounding would show in all of it: no groups here
      student_sum.add(s_power);
      teacher_sum.add(t_power);
      if constexpr (!sums_nonnegative_terms) {
        const L ratio = ((t.whole - s.whole) - shift) + (t.fraction - s.fraction);
        weighted_sum.add(t_power * zero_where(is_zero(t), ratio));
      }
      store(s_power, student_power_ + j * width);
      store(t_power, teacher_power_ + j * width);
    }
    student.sum = Doubles(student_sum);
    teacher.sum = Doubles(teacher_sum);
    return Doubles(weighted_sum);
  }

  /// As HardLabel.
  Label find_label(const std::size_t (&label)[width], L largest) const {
    const LaneStream<L> stream(1, largest);
    for (std::size_t j = 0; j < n_; ++j) {
      const L power = temperature_ == 1 ? column(student_power_, j) : exp2(stream.exponent(column(student_, j)));
      store(power, hard_power_ + j * width);
    }
    Doubles own;
    for (std::size_t r = 0; r < width; ++r) {
      T& at_label = hard_power_[label[r] * width + r];
      own.of[r] = static_cast<double>(at_label);
      at_label = 0;
    }
    CompensatedSum<L> sum;
    for (std::size_t j = 0; j < n_; ++j) sum.add(column(hard_power_, j));
    const Doubles others(sum), offset(stream.offset);
    Label result;
    for (std::size_t r = 0; r < width; r += D::width) {
      const D other = load<D>(others.of + r), mine = load<D>(own.of + r), total = other + mine;
      const D odds = other / mine, u = D(1) + odds, rest = u - D(1);
      store(total, result.total.of + r);
      store(D(0) - other / total, result.probability_m1.of + r);
      store(select(rest <= D(0), odds, log(u) * (odds / rest)), result.loss.of + r);  // log(1 + odds)
    }
    for (std::size_t r = 0; r < width; ++r) {
      if (own.of[r] > 0) continue;
      const double logit = static_cast<double>(student_[label[r] * width + r]);
      result.loss.of[r] = scalar_log(result.total.of[r]) - exact_exponent(logit, log2_e, offset.of[r]) * ln_2;
    }
    return result;
  }

  /// Puts the gradient in the place of the student's exponentials. Returns the sums of non-negative terms that are the
  /// KL divergence, if they are asked for.
  Doubles find_gradient(const Group& rows, const RowFactors& factors, const LaneStream<L>& student,
                        const LaneStream<L>& teacher, const Label& label, const Doubles& log_sums_ratio) const {
    const Doubles offsets(teacher.offset - student.offset);
    Doubles soft, unit, hard, shift;
    for (std::size_t r = 0; r < width; ++r) {
      soft.of[r] = factors.soft * rows.factor[r] / temperature_;
      unit.of[r] = sums_nonnegative_terms ? 1 : soft.of[r];
      hard.of[r] = factors.hard * rows.factor[r];
      shift.of[r] = (log_sums_ratio.of[r] + ln_2 * offsets.of[r]) * temperature_;
    }
    const Normaliser<L> student_unit = normaliser(unit, student.sum), teacher_unit = normaliser(unit, teacher.sum);
    const Normaliser<L> hard_unit = normaliser(hard, has_label ? label.total : unit);
    const LogRatio<L> log_ratio{shift.high(), shift.low(), L(static_cast<T>(1 / temperature_))};
    const L soft_factor = soft.high();
    Doubles kl{};
    L kl_sum(T(0));
    for (std::size_t j = 0; j < n_; ++j) {
      const L q = student_unit(column(student_power_, j)), p = teacher_unit(column(teacher_power_, j));
      L difference = q - p;
      if constexpr (sums_nonnegative_terms) {
        const NonnegativeTerm<L> term(p, q, log_ratio(column(student_, j), column(teacher_, j)));
        kl_sum = kl_sum + term.value;
        if (j % 16 == 15 || j + 1 == n_) {
          const Doubles terms(kl_sum);
          for (std::size_t r = 0; r < width; ++r) kl.of[r] += terms.of[r];
          kl_sum = L(T(0));
        }
        difference = soft_factor * term.q_minus_p;
      }
      if constexpr (has_label) difference = difference + hard_unit(column(hard_power_, j));
      store(difference, student_power_ + j * width);
    }
    for (std::size_t r = 0; has_label && r < width; ++r) {
      student_power_[rows.label[r] * width + r] += static_cast<T>(hard.of[r] * label.probability_m1.of[r]);
    }
    return kl;
  }

  std::size_t n_;
  double temperature_;
  T *student_, *teacher_, *student_power_, *teacher_power_, *hard_power_;  // columns of the rows' numbers
};

/// Whether a call's rows are for ShortRows: short, with one teacher, and as they are stored.
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
  return reduce_groups<L::width>(
      {call.student.rows, n, n}, call.grad, options, loss.reduction, loss.weight,
      [&](std::size_t i) { return labels.is_ignored(i); },
      [&](const std::size_t* rows, const double* row_factors, std::size_t count, double* losses) {
        RowGroup<L, S, T> group;
        group.count = count;
        for (std::size_t r = 0; r < L::width; ++r) {
          const std::size_t k = (std::min)(r, count - 1), i = rows[k];
          group.student[r] = call.student.row(i);
          group.teacher[r] = teacher.row(i);
          group.grad[r] = gradient_row(call.grad, i);
          group.label[r] = has_label ? labels.at(i) : 0;
          group.factor[r] = row_factors[k];
        }
        ShortRows<precision, has_label, L, S, T>(n, loss.temperature)(group, factors, call.grad.accumulate, losses);
      });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
