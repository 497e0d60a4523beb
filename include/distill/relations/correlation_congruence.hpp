// Similarities between the samples of a batch, by a kernel.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/error.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/gram.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The similarity of two samples x and y.
enum class CongruenceKernel {
  bilinear,  ///< x . y
  gaussian,  ///< exp(-gamma |x - y|^2) for unit rows, by its series exp(-2 gamma) sum_k (2 gamma)^k / k! (x . y)^k
};

/// The distance of the student's matrix of similarities from the teacher's.
enum class CongruenceDistance {
  squared,    ///< the sum of squared differences
  frobenius,  ///< its square root
};

/// Distance between student's and teacher's matrices of similarities within a batch (correlation congruence):
///
///     loss = weight / divisor * D,  D = sum_ij w_i w_j (K(student_i, student_j) - K(teacher_i, teacher_j))^2
///     K by `kernel`, with `normalize` of rows at unit length; D is that sum or its square root, by `distance`
///
/// Shapes      student, grad: rows x cols, teacher: rows x any; one sample per row. float, double, half or bfloat16;
///             the teacher's type may differ, grad has the student's. Computed in double if either is double, else in
///             float
/// Ranges      gamma > 0 and finite, order from 1 to 64, weight finite; the loss is >= 0 times weight. Products of rows
///             must be finite in the computed type
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. A sample's loss is its row's share of D
/// Gradient    M_ij = 2 w_i w_j e_ij K'(g_ij) for e the difference of similarities and g = student * student^T
///             (frobenius: divided by 2 D), 2 M student; with normalize, then through the norms
/// Divisor     Reduction::per_element, the default: (sum of w)^2; mean: the sum of w; a sample of weight w counts as w
/// Exceptions  with normalize, a sample of zeros stays 0, and its gradient is 0. Where all similarities agree, the
///             gradient is 0. NaN or an infinity in a sample that counts makes the loss and all gradients NaN
/// Throws      std::invalid_argument on a parameter out of range, batches that differ, 0 columns, null, a stride below
///             cols, memory that overlaps, sample weights of another length, negative or not finite, a workspace that
///             is null or too small; before anything is written
/// Cost        three products by Eigen in the calling thread (which may allocate for its blocking); workspace:
///             workspace_size(student, teacher), two matrices rows x rows and two panels
/// Conventions the paper divides the sum of squares by rows^2, with order 2; torchdistill divides its root, without
///             normalising the rows
/// Paper       Peng et al.: Correlation Congruence for Knowledge Distillation, 2019 (arXiv:1904.01802)
struct CorrelationCongruence {
  CongruenceKernel kernel = CongruenceKernel::gaussian;
  double gamma = 0.4;
  int order = 2;  ///< of the last term of the gaussian's series
  CongruenceDistance distance = CongruenceDistance::squared;
  bool normalize = true;
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "CorrelationCongruence";
    if (kernel != CongruenceKernel::bilinear && kernel != CongruenceKernel::gaussian) {
      detail::fail(who, "kernel is ", static_cast<int>(kernel), ", expected a CongruenceKernel");
    }
    if (distance != CongruenceDistance::squared && distance != CongruenceDistance::frobenius) {
      detail::fail(who, "distance is ", static_cast<int>(distance), ", expected a CongruenceDistance");
    }
    detail::require_positive_finite(who, "gamma", gamma);
    if (order < 1 || order > 64) detail::fail(who, "order is ", order, ", expected 1 to 64");
    using C = kernels::batch_compute_t<Student, Teacher>;
    const auto call = kernels::checked_batch<C>(who, *this, memory, student, teacher, grad, options);
    return kernels::compute_batch(*this, call, [&](const auto& checked) { return compute<C>(checked, options); });
  }

  /// The size in bytes that RowOptions::workspace needs, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<kernels::batch_compute_t<Student, Teacher>>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{2, 3};

  struct Similarity {
    double value, slope;
  };
  /// K and its derivative at a product of rows, but for scale()
  Similarity similarity(double product) const {
    if (kernel == CongruenceKernel::bilinear) return {product, 1};
    Similarity result{1, 0};
    for (int k = order; k > 0; --k) {  // Horner's scheme: 1 + x / 1 (1 + x / 2 (1 + ...)) for x = 2 gamma product
      const double step = 2 * gamma / k;
      result.slope = step * (result.value + product * result.slope);
      result.value = 1 + step * product * result.value;
    }
    return result;
  }
  double scale() const { return kernel == CongruenceKernel::bilinear ? 1 : std::exp(-2 * gamma); }

  template <class C, class Call>
  double compute(const Call& call, const RowOptions& options) const {
    const kernels::Batch<C> batch(call, memory, weight, options);
    if (batch.size == 0) return 0;
    const auto student = kernels::batch_rows(batch, call.student, normalize, batch.vector(0));
    const auto teacher = kernels::batch_rows(batch, call.teacher, normalize, batch.vector(1));
    C *const s = batch.square(0), *const t = batch.square(1);
    kernels::gram(batch, student, s);
    kernels::gram(batch, teacher, t);
    const std::size_t n = batch.size;
    const double scale_of_all = scale();
    batch.for_each([&](std::size_t i) {  // t becomes e K'
      for (std::size_t j = 0; j < n; ++j) {
        const Similarity own = similarity(static_cast<double>(s[i * n + j]));
        const double e = scale_of_all * (own.value - similarity(static_cast<double>(t[i * n + j])).value);
        batch.losses[i] += batch.weights[j] * e * e;
        t[i * n + j] = static_cast<C>(e * scale_of_all * own.slope);
      }
    });
    const double factor = batch.factor(weight, reduction, 2);
    double sum = batch.sum_losses(options), slope = 2;
    if (distance == CongruenceDistance::frobenius) {
      const double root = std::sqrt(sum), inverse = sum == 0 ? 0 : 1 / root;
      for (std::size_t i = 0; i < n; ++i) batch.losses[i] *= inverse;
      slope = inverse;
      batch.sum_losses(options);
      sum = root;
    }
    if (!std::isfinite(sum)) sum = slope = std::numeric_limits<double>::quiet_NaN();
    if (call.wants_gradient()) {
      batch.for_each([&](std::size_t i) {
        for (std::size_t j = 0; j < n; ++j) {
          const double m = 2 * factor * slope * batch.weights[i] * batch.weights[j];
          t[i * n + j] = static_cast<C>(m * static_cast<double>(t[i * n + j]));
        }
      });
      const double* const dots = kernels::row_products(batch, t, s, batch.vector(2));
      kernels::put_products<kernels::Lanes<C, kernels::DefaultArch>>(batch, t, student, student, dots, call.grad);
    }
    return kernels::weighted_loss(factor, sum);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
