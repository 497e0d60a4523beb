// LibTorch: every loss as a differentiable function of tensors. Include it only where LibTorch is available.
#pragma once

#include <ATen/Parallel.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <distill/core/error.hpp>
#include <distill/core/executor.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Not called torch, so that `using namespace distill` leaves ::torch alone.
namespace libtorch {

/// distill::RowOptions, with tensors.
struct RowOptions {
  ::torch::Tensor weights = {};  ///< float32, one for each row (sample), or undefined for all 1; 0 = not read
  double total_weight = 0;       ///< as distill::RowOptions
  ::torch::Tensor losses = {};   ///< float64, one for each row, or undefined: receives the loss of each
  Executor executor = {};
  Workspace workspace = {};
};

/// at::parallel_for as an executor: `{.executor = libtorch::executor}`. LibTorch's threads are OpenMP's, so it has only
/// one thread in files that are compiled without -fopenmp.
struct ParallelFor {
  void operator()(std::size_t n, LoopBody body) const {
    ::at::parallel_for(0, static_cast<std::int64_t>(n), 1, [&](std::int64_t begin, std::int64_t end) {
      for (; begin < end; ++begin) body(static_cast<std::size_t>(begin));
    });
  }
};
inline constexpr ParallelFor executor{};

/// Another argument whose gradient is wanted too; made by learned().
struct Learned {
  ::torch::Tensor tensor;
};

/// `apply(VariationalInformation{}, student, teacher, learned(log_scale))`: backward() reaches log_scale as well.
inline Learned learned(::torch::Tensor tensor) {
  return {std::move(tensor)};
}

}  // namespace libtorch

namespace detail {

template <class... Parts>
[[noreturn]] void fail_tensor(const char* name, const Parts&... parts) {
  fail("libtorch", name, parts...);
}

/// The numbers of a tensor that can be read by strides.
template <class T>
T* tensor_data(const char* name, const ::at::Tensor& x) {
  if (!x.defined()) fail_tensor(name, " is undefined, expected a tensor");
  if (x.layout() != ::at::kStrided) fail_tensor(name, " is ", x.layout(), ", expected a dense tensor");
  if (!x.device().is_cpu()) fail_tensor(name, " is on ", x.device(), ", expected the CPU");
  constexpr auto expected = ::c10::CppTypeToScalarType<std::remove_const_t<T>>::value;
  if (x.scalar_type() != expected) fail_tensor(name, " holds ", x.scalar_type(), ", expected ", expected);
  return static_cast<T*>(x.data_ptr());
}

/// One number per row, or one per channel, contiguous.
template <class T>
T* tensor_list(const char* name, const ::at::Tensor& x, std::int64_t size) {
  T* const data = tensor_data<T>(name, x);
  if (x.numel() != size || !x.is_contiguous()) {
    fail_tensor(name, " is ", x.sizes(), " with strides ", x.strides(), ", expected ", size, " contiguous elements");
  }
  return data;
}

}  // namespace detail

namespace libtorch {

/// A tensor of rows x columns or batch x tokens x columns as the rows of a matrix, in place: rows may be padded, but
/// all equally (those of several sequences cut to `[:, 1:]` are not).
template <class T>
MatrixView<T> matrix(const ::torch::Tensor& x, const char* name = "tensor") {
  T* const data = detail::tensor_data<T>(name, x);
  const std::int64_t dim = x.dim();
  if (dim != 2 && dim != 3) {
    detail::fail_tensor(
        name, " is ", x.sizes(), ", expected 2-D (rows x columns) or 3-D (batch x tokens x columns)",
        dim == 4 ? "; flatten(1) makes maps one row per sample, permute({0, 2, 3, 1}).flatten(0, 2) one per position"
                 : "");
  }
  if (x.size(-1) > 1 && x.stride(-1) != 1) {
    detail::fail_tensor(name, " has strides ", x.strides(), ", expected 1 as the last: pass contiguous()");
  }
  const std::int64_t batch = dim == 3 ? x.size(0) : 1, rows = x.size(-2);
  if (batch > 1 && rows > 1 && x.stride(0) != rows * x.stride(1)) {
    detail::fail_tensor(name, " is ", x.sizes(), " with strides ", x.strides(),
                        ", expected all rows equally far apart: pass contiguous()");
  }
  const std::int64_t stride = rows > 1 ? x.stride(-2) : batch > 1 ? x.stride(0) : x.size(-1);
  return {data, batch * rows, x.size(-1), stride};
}

/// A tensor of N x C x H x W as feature maps, in place: contiguous, channels_last, or some samples or channels of a
/// larger one.
template <class T>
FeatureMapView<T> feature_map(const ::torch::Tensor& x, const char* name = "tensor") {
  T* const data = detail::tensor_data<T>(name, x);
  if (x.dim() != 4) detail::fail_tensor(name, " is ", x.sizes(), ", expected 4-D (N x C x H x W)");
  const std::int64_t height = x.size(2), width = x.size(3);
  if (height > 1 && width > 1 && x.stride(2) != width * x.stride(3)) {
    detail::fail_tensor(name, " is ", x.sizes(), " with strides ", x.strides(),
                        ", expected all positions equally far apart: pass contiguous()");
  }
  return {data, x.size(0), x.size(1), height, width, x.stride(width > 1 ? 3 : 2), x.stride(1), x.stride(0)};
}

}  // namespace libtorch

namespace detail {

/// A tensor as the view that a loss reads: rows or maps of T, a row of Number, or labels.
template <class T, class Number>
struct TensorArgument {
  const char* name;
  ::at::Tensor tensor;
};

}  // namespace detail

template <class T, class Number>
struct TensorViews<detail::TensorArgument<T, Number>> {
  using Argument = detail::TensorArgument<T, Number>;

  static MatrixView<T> matrix(const Argument& x) { return libtorch::matrix<T>(x.tensor, x.name); }
  static FeatureMapView<T> feature_map(const Argument& x) { return libtorch::feature_map<T>(x.tensor, x.name); }
  static MatrixView<Number> row(const Argument& x) {
    const std::int64_t size = x.tensor.numel();
    return {detail::tensor_list<Number>("per-channel tensor", x.tensor, size), 1, size};
  }
  static LabelsView<std::int64_t> labels(const Argument& x) {
    if (x.tensor.defined() && !::at::isIntegralType(x.tensor.scalar_type(), false)) {
      detail::fail_tensor("labels", " holds ", x.tensor.scalar_type(), ", expected integers");
    }
    const std::int64_t size = x.tensor.numel();
    return {detail::tensor_list<const std::int64_t>("labels", x.tensor, size), size};
  }
};

namespace detail {

/// Labels become 64-bit integers, and numbers per channel the computed type: small copies.
template <class Number>
::at::Tensor prepared(const ::at::Tensor& x) {
  if (!x.defined() || x.layout() != ::at::kStrided) return x;
  if (::at::isIntegralType(x.scalar_type(), false)) return x.detach().to(::at::kLong).contiguous();
  if (x.dim() < 2) return x.detach().to(::c10::CppTypeToScalarType<Number>::value).contiguous();
  return x;
}

template <class T, class Number>
TensorArgument<const T, const Number> as_argument(const ::at::Tensor& x) {
  return {"teacher", prepared<Number>(x)};
}
template <class T, class Number>
TensorArgument<const T, const Number> as_argument(const libtorch::Learned& x) {
  return {"learned tensor", prepared<Number>(x.tensor)};
}
template <class T, class Number, class X>
const X& as_argument(const X& x) {
  return x;  // a view of the caller's
}

/// Where the gradient of another argument goes, if it has one.
template <class Number>
auto gradient_argument(const libtorch::Learned& x) {
  return std::make_tuple(TensorArgument<Number, Number>{"gradient", ::at::empty_like(prepared<Number>(x.tensor))});
}
template <class Number, class X>
std::tuple<> gradient_argument(const X&) {
  return {};
}

/// What is passed where none is wanted.
inline std::tuple<NoGradient> no_gradient_argument(const libtorch::Learned&) {
  return {};
}
template <class X>
std::tuple<> no_gradient_argument(const X&) {
  return {};
}

/// Whether a loss can be called with a student, the other arguments, gradients and options.
template <class Loss, class Student, class Others, class Gradients>
struct takes_arguments;
template <class Loss, class Student, class... Others, class... Gradients>
struct takes_arguments<Loss, Student, std::tuple<Others...>, std::tuple<Gradients...>>
    : std::is_invocable<const Loss&, const Student&, const Others&..., const Gradients&..., RowOptions> {};

/// The tensors whose gradient may be wanted, the student first.
inline void add_learned(std::vector<::at::Tensor>& inputs, const libtorch::Learned& x) {
  inputs.push_back(x.tensor);
}
template <class X>
void add_learned(std::vector<::at::Tensor>&, const X&) {}

/// f(a number of the type)
template <class F>
void with_scalar(::at::ScalarType type, const F& f) {
  switch (type) {
    case ::at::kFloat:
      return f(float{});
    case ::at::kDouble:
      return f(double{});
    case ::at::kHalf:
      return f(::at::Half{});
    case ::at::kBFloat16:
      return f(::at::BFloat16{});
    default:
      fail_tensor("student", " holds ", type, ", expected Float, Double, Half or BFloat16");
  }
}

/// A value whose gradients with respect to `inputs` are already known.
struct KnownGradient : ::torch::autograd::Function<KnownGradient> {
  static ::at::Tensor forward(::torch::autograd::AutogradContext* context, ::at::TensorList inputs,
                              const std::vector<::at::Tensor>& gradients, double value) {
    context->save_for_backward(gradients);
    return value_tensor(inputs[0], value);
  }

  static ::torch::autograd::variable_list backward(::torch::autograd::AutogradContext* context,
                                                   const ::torch::autograd::variable_list& grad_output) {
    if (::at::GradMode::is_enabled()) {
      fail("libtorch", "create_graph is true, expected false: a loss has a first derivative, but no second");
    }
    const double scale = grad_output[0].item<double>();
    auto gradients = context->get_saved_variables();
    if (scale != 1) {
      for (auto& gradient : gradients) gradient = gradient * scale;
    }
    gradients.resize(gradients.size() + 2);  // none for forward's other arguments
    return gradients;
  }

  /// Of the student's type, but not rounded to 16 bits.
  static ::at::Tensor value_tensor(const ::at::Tensor& student, double value) {
    return ::at::scalar_tensor(value, student.scalar_type() == ::at::kDouble ? ::at::kDouble : ::at::kFloat);
  }
};

inline RowOptions row_options(const libtorch::RowOptions& options, const ::at::Tensor& student) {
  const std::int64_t rows = student.dim() == 3 ? student.size(0) * student.size(1)
                            : student.dim()    ? student.size(0)
                                               : 0;
  RowOptions result;
  if (options.weights.defined()) result.weights = {tensor_list<const float>("weights", options.weights, rows), rows};
  if (options.losses.defined()) result.losses = {tensor_list<double>("losses", options.losses, rows), rows};
  result.total_weight = options.total_weight;
  result.executor = options.executor;
  result.workspace = options.workspace;
  return result;
}

template <class Loss, class... Further>
::at::Tensor apply_loss(const Loss& loss, const libtorch::RowOptions& options, const ::at::Tensor& student,
                        const Further&... further) {
  if (!student.defined()) fail_tensor("student", " is undefined, expected a tensor");
  std::vector<::at::Tensor> inputs{student}, gradients;
  (add_learned(inputs, further), ...);
  bool wants_gradient = false;
  for (const auto& input : inputs) wants_gradient = wants_gradient || input.requires_grad();
  wants_gradient = wants_gradient && ::at::GradMode::is_enabled();

  double value = 0;
  with_scalar(student.scalar_type(), [&](auto scalar) {
    using S = decltype(scalar);
    using Number = compute_t<S>;
    const TensorArgument<const S, const Number> first{"student", student};
    const std::tuple<decltype(as_argument<S, Number>(further))...> others{as_argument<S, Number>(further)...};
    using Targets =
        decltype(std::tuple_cat(std::tuple<TensorArgument<S, Number>>(), gradient_argument<Number>(further)...));
    static_assert(takes_arguments<Loss, decltype(first), std::decay_t<decltype(others)>, Targets>::value,
                  "distill: this loss does not take these arguments. After the student, pass what its header names, in "
                  "that order: the teacher, then labels, margins or learned(log_scale) for those that take them. A "
                  "callable takes the same, then a gradient and options");
    const auto call = [&](const auto&... grads) {
      const auto with = [&](const auto&... other) {
        return loss(first, other..., grads..., row_options(options, student));
      };
      return std::apply(with, others);
    };
    if (!wants_gradient) {
      value = std::apply(call, std::tuple_cat(std::tuple<NoGradient>(), no_gradient_argument(further)...));
      return;
    }
    const Targets targets =
        std::tuple_cat(std::make_tuple(TensorArgument<S, Number>{"gradient", ::at::empty_like(student)}),
                       gradient_argument<Number>(further)...);
    value = std::apply(call, targets);
    gradients = std::apply([](const auto&... target) { return std::vector{target.tensor...}; }, targets);
  });
  if (!wants_gradient) return KnownGradient::value_tensor(student, value);
  return KnownGradient::apply(::at::TensorList(inputs), gradients, value);
}

}  // namespace detail

namespace libtorch {

/// The value of a loss, as a tensor of no dimensions from which backward() reaches the student:
///
///     torch::Tensor loss = distill::libtorch::apply(distill::KnowledgeDistillation{}, student, teacher, labels);
///     loss.backward();
///
/// Value and gradient are computed here together; backward() multiplies the gradient by the incoming one. If the
/// student does not require a gradient, or under torch::NoGradGuard, only the value is computed.
///
/// Loss        any of the library's, or a callable (student, teacher, grad, options), all `const auto&`, that passes
///             them on to one: it is compiled for every type of student, with and without a gradient. The loss's other
///             arguments follow the student in its order: teacher, labels, MarginRelu's margins. What is not a tensor
///             is passed on as it is: SparseTeacherView, log_probabilities(matrix<float>(x)), a mask. FeatureMatching
///             takes rows: maps.flatten(1). Projected's layer is a torch::nn::Linear here
/// Student     Float, Double, Half or BFloat16, on the CPU, read in place: for a loss on matrices as by matrix(), so
///             2-D, or 3-D with one row per token; for a loss on feature maps as by feature_map(), 4-D
/// Teacher     a constant, detached or not, of the student's type; pass one of another type as a view: matrix<const
///             at::Half>(x)
/// Labels      of any integer type and shape, one per row; copied, unless int64 and contiguous
/// Numbers     per channel: 1-D; copied, unless contiguous and of the computed type. learned(x) gets a gradient
/// Returns     Double for a Double student, else Float
/// Gradient    of the student's type. That of a Half student may vanish where the divisor is large, as it is rounded
///             before backward() scales it: put a loss scale into the loss's `weight`
/// Throws      std::invalid_argument on what cannot be read, and as the loss does; in backward(), with create_graph
template <class Loss, class Teacher>
::torch::Tensor apply(const Loss& loss, const ::torch::Tensor& student, const Teacher& teacher,
                      const RowOptions& options = {}) {
  return detail::apply_loss(loss, options, student, teacher);
}
template <class Loss, class Teacher, class Further>
::torch::Tensor apply(const Loss& loss, const ::torch::Tensor& student, const Teacher& teacher, const Further& further,
                      const RowOptions& options = {}) {
  return detail::apply_loss(loss, options, student, teacher, further);
}

}  // namespace libtorch
}  // namespace DISTILL_ABI
}  // namespace distill
