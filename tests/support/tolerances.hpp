// All tolerances of the tests, by scalar type, with their reasons.
#pragma once

#include <distill/kernels/simd/lanes.hpp>
#include <limits>

namespace tolerances {

/// Without FMA products are rounded before they are added, and without lanes one sum replaces eight. Measured: 1.1
/// times the published bounds with SSE2, 2.1 times in scalar code.
inline constexpr double without_fma = distill::kernels::has_fma<distill::kernels::DefaultArch> ? 1 : 2.5;

/// Bounds for comparing a result with a long double reference.
template <class T>
struct Tolerance;

/// float: the published figures (docs/accuracy.md) with room for the scale of test data (|logits / T| up to about 50).
template <>
struct Tolerance<float> {
  static constexpr double value = 1e-6;     // relative to max(1, loss): sums of float terms, in chunks
  static constexpr double gradient = 1e-6;  // relative to the row's largest gradient factor
  static constexpr double softmax_ulp = 8;  // standard: polynomial 1.5, sum 3, normaliser 1, product 0.5
  static constexpr double row_sum = 4e-7;   // of probabilities, of gradients
};

/// double: one path, everything within a few units in the last place of the row's largest term.
template <>
struct Tolerance<double> {
  static constexpr double value = 1e-13;
  static constexpr double gradient = 1e-13;
  static constexpr double softmax_ulp = 16;
  static constexpr double row_sum = 1e-14;
};

/// exp2 of the kernels, as their header publishes it, and half a unit for the last rounding.
inline constexpr double exp2_float_ulp = 1.5;
/// The tests take the double scale as exact.
inline constexpr double exp2_double_ulp = 1.5;

/// log of the kernels, as its header publishes it.
inline constexpr double log_ulp = 2;
/// Arithmetic and logarithms in double, relative: a few units in the last place.
inline constexpr double lane_doubles = 1e-15;

/// log_softmax in float, relative: the published 4 ULP.
inline constexpr double log_softmax_relative = 4 * 0x1p-23;

/// The sum of log_softmax's gradient, for 41 numbers that sum to up to 31: stored log-probabilities are rounded, and
/// such probabilities sum to 1 within 2e-7. Measured: 2.4e-6.
inline constexpr double log_softmax_gradient_sum = 4e-6;

/// softmax in double, relative to the row's maximum: log2(e) / T is rounded to double, which shows in far-away classes.
inline constexpr double double_softmax = 1e-14;

/// Golden vectors were computed in double by other code and have about 16 digits; the project promises 9.
inline constexpr double golden = 1e-9;
/// ... of code that adds 1e-9 inside logarithms, relative
inline constexpr double golden_with_epsilon = 1e-6;
/// ... of PKT's code, which adds 1e-7 to norms and inside logarithms of a loss of about 1e-2
inline constexpr double golden_pkt = 1e-5;
/// ... of code that takes log-probabilities rounded to float for normalised: their sum is off by half a unit of float
inline constexpr double golden_renormalised = 1e-7;

/// Central differences in long double with a step of 1e-5: truncation 1e-10, rounding 1e-14, relative to the largest
/// entry.
inline constexpr double finite_difference = 1e-8;

/// The step of central differences for the family of losses on class scores, over T: truncation 1e-12.
inline constexpr double family_step = 1e-6;
/// Gradients in float of the family, relative to the row's largest entry or factor: q log(q / p) has the rounding of
/// the logarithm, which for wide rows is tens of times that of q.
inline constexpr double family_gradient = 8e-6 * without_fma;
/// A row with a masked class against the row without it: the same numbers, summed in other lanes (float).
inline constexpr double masked = 1e-5;

/// The same where student and teacher nearly agree: the entries are a thousand times smaller, the rounding (1e-14) and
/// the truncation (1e-10, of third derivatives that do not shrink) stay.
inline constexpr double finite_difference_near = 1e-6;

/// Rounding to a two-byte type: half a unit in the last place of the float result.
inline constexpr double half_rounding = 1.0 / 2048;
inline constexpr double bfloat16_rounding = 1.0 / 256;
inline constexpr double float_rounding = 1.0 / 16777216;

/// Half of the smallest positive half: below 2^-14 its steps no longer shrink.
inline constexpr double half_smallest = 0x1p-25;

/// KL in float with Precision::high, relative: the published 5e-7, however close student and teacher are.
inline constexpr double relative_high = 5e-7;
/// ... down to KL = 1e-6; the error of the sums' logarithms, 1e-7, enters squared and puts a floor below that.
inline constexpr double floor_high = 5e-14;

/// 1 - cos of rows at a small angle, relative to the angle: each unit row is rounded, and the rounding meets the
/// distance, of the size of the angle, once.
inline constexpr double cosine_near = 2e-7;

/// Products of a few terms in float, relative to the largest gradient entry; a gradient of bfloat16 is rounded to half
/// a unit of its 8 digits, and once more where it is added.
inline constexpr double projected_float = 2e-6;
inline constexpr double projected_bfloat16 = 1.0 / 128;

/// Losses on hidden layers, relative to the loss (where student and teacher nearly agree: to that of a pair that does
/// not): sums in float within a chunk; in double, sums of a few hundred terms.
inline constexpr double hidden_value = 4e-6;
inline constexpr double hidden_double = 1e-11;

/// The gradient of an attention map, times its largest entry: u - v of unit maps cancels, and each of the two is
/// rounded; the entries are differences of terms some times larger than they are.
inline constexpr double attention_gradient = 16;

/// T^2 KL at T against its limit at infinity: relative, |x| / T of the test data, which is below 100 / T.
inline constexpr double limit_at_1e6 = 1e-4;
inline constexpr double limit_at_1e30 = 1e-6;

}  // namespace tolerances
