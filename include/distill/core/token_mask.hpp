// Which tokens of a batch of sequences count, and which are padding.
#pragma once

#include <cstddef>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/error.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Which tokens count, in the caller's memory: 1, or 0 for padding, of any integer or floating-point type. Token t of
/// sample n is data[n * batch_stride + t]. Without a mask, all tokens count.
template <class T>
struct TokenMask {
  // here, as otherwise a failed cast where it is read would be the compiler's first error
  static_assert(std::is_arithmetic_v<T>, "distill: a mask holds integers or floating-point numbers, each 0 or 1");
  const T* data = nullptr;
  Extent batch;
  Extent tokens;
  Extent batch_stride = tokens;
};
template <class T, class... Sizes>
TokenMask(T*, Sizes...) -> TokenMask<std::remove_const_t<T>>;

namespace detail {

template <class T>
struct is_token_mask : std::false_type {};
template <class T>
struct is_token_mask<TokenMask<T>> : std::true_type {};

/// What may be `grad` where a mask may be passed too.
template <class G>
using enable_if_gradient_not_mask =
    std::enable_if_t<is_gradient_argument<G>::value && !is_token_mask<std::decay_t<G>>::value>;

/// A mask of any type, or none, so that its reader is compiled once.
class LiveTokens {
 public:
  LiveTokens() = default;
  template <class T>
  explicit LiveTokens(const TokenMask<T>& mask)
      : memory_{reinterpret_cast<const unsigned char*>(mask.data), mask.batch, mask.tokens * sizeof(T),
                mask.batch_stride * sizeof(T)},
        element_size_(sizeof(T)),
        value_([](const unsigned char* p) { return static_cast<double>(*reinterpret_cast<const T*>(p)); }) {}

  bool is_given() const { return value_ != nullptr; }
  const MatrixView<const unsigned char>& memory() const { return memory_; }
  std::size_t batch() const { return memory_.rows; }
  std::size_t tokens() const { return memory_.cols / element_size_; }
  double value(std::size_t sample, std::size_t token) const {
    return value_(memory_.row(sample) + token * element_size_);
  }
  bool operator()(std::size_t sample, std::size_t token) const { return !is_given() || value(sample, token) != 0; }

 private:
  MatrixView<const unsigned char> memory_;
  std::size_t element_size_ = 1;
  double (*value_)(const unsigned char*) = nullptr;
};

/// Checks that a mask has the batch's shape and contains only 0 and 1; samples of weight 0 are not read.
inline void require_mask(const char* who, const LiveTokens& mask, std::size_t batch, std::size_t tokens,
                         const RowOptions& options, Reduction reduction) {
  if (!mask.is_given()) return;
  if (options.total_weight != 0 && reduction == Reduction::per_element) {
    fail(
        who, "total_weight is ", options.total_weight,
        ", expected 0 with a mask and Reduction::per_element, as samples then differ in their terms: divide by `weight`"
        " with Reduction::sum");
  }
  if (mask.batch() != batch || mask.tokens() != tokens) {
    fail(who, "mask is ", mask.batch(), " x ", mask.tokens(), ", expected ", batch, " x ", tokens);
  }
  require_memory(who, "mask", mask.memory());
  for (std::size_t i = 0; i < batch; ++i) {
    if (options.weights && options.weights[i] == 0) continue;
    for (std::size_t t = 0; t < tokens; ++t) {
      const double value = mask.value(i, t);
      if (value != 0 && value != 1) fail(who, "mask[", i, "][", t, "] is ", value, ", expected 0 or 1");
    }
  }
}

template <class G>
void require_clear_of_mask(const char* who, const FeatureMapView<G>& grad, const LiveTokens& mask) {
  if (grad.data && mask.is_given()) require_no_overlap(who, "grad", memory_rows(grad), "mask", mask.memory(), false);
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
