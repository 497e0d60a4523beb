#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <limits>
#include <vector>

#include "support/architectures.hpp"
#include "support/data.hpp"
#include "support/guarded.hpp"

namespace {

using distill::kernels::Lanes;

template <class L>
std::vector<typename L::Scalar> values(L x) {
  std::vector<typename L::Scalar> result(L::width);
  distill::kernels::store(x, result.data());
  return result;
}

template <class L>
L counting(double first = 1) {
  std::vector<typename L::Scalar> numbers(L::width);
  for (std::size_t i = 0; i < L::width; ++i) {
    numbers[i] = static_cast<typename L::Scalar>(first + static_cast<double>(i));
  }
  return distill::kernels::load<L>(numbers.data());
}

template <class L, class Stored>
void check_memory() {
  using T = typename L::Scalar;
  for (std::size_t shift = 0; shift < 3; ++shift) {  // any alignment
    for (std::size_t count = 0; count <= L::width + 2; ++count) {
      std::vector<Stored> memory(shift + count + L::width, support::stored<Stored>(77));
      support::Guarded<Stored> guarded(count == 0 ? 1 : count);
      for (std::size_t i = 0; i < count; ++i) {
        memory[shift + i] = support::stored<Stored>(static_cast<double>(i) - 2.5);
        guarded[i] = memory[shift + i];
      }
      const auto loaded = values(distill::kernels::load_up_to<L>(guarded.data(), count, T(-9)));
      for (std::size_t i = 0; i < L::width; ++i) {
        CHECK(loaded[i] == (i < count ? static_cast<T>(static_cast<double>(i) - 2.5) : T(-9)));
      }
      support::Guarded<Stored> out(count == 0 ? 1 : count);
      for (std::size_t i = 0; i < count; ++i) out[i] = support::stored<Stored>(55);
      distill::kernels::store_up_to(counting<L>(), out.data(), count);
      std::vector<Stored> written = memory;
      distill::kernels::store_up_to(counting<L>(), written.data() + shift, count);
      for (std::size_t i = 0; i < written.size(); ++i) {
        const bool inside = i >= shift && i < shift + count && i < shift + L::width;
        const long double expected = inside ? static_cast<long double>(i - shift + 1) : support::number(memory[i]);
        CHECK(support::number(written[i]) == expected);
      }
      for (std::size_t i = 0; i < count; ++i) {
        CHECK(support::number(out[i]) == (i < L::width ? static_cast<long double>(i + 1) : 55.0L));
      }
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("arithmetic is lane by lane", Arch, DISTILL_TEST_ARCHITECTURES) {
  const auto check = [](auto type) {
    using T = decltype(type);
    using L = Lanes<T, Arch>;
    namespace k = distill::kernels;
    const L a = counting<L>(1), b = counting<L>(10);
    const auto va = values(a), vb = values(b);
    const auto same = [&](L actual, auto expected) {
      const auto v = values(actual);
      for (std::size_t i = 0; i < L::width; ++i) CHECK(v[i] == expected(va[i], vb[i]));
    };
    same(a + b, [](T x, T y) { return x + y; });
    same(a - b, [](T x, T y) { return x - y; });
    same(a * b, [](T x, T y) { return x * y; });
    same(a / b, [](T x, T y) { return x / y; });  // rounded, not approximated
    same(k::square_root(b), [](T, T y) { return std::sqrt(y); });
    same(k::fma(a, b, L(T(3))), [](T x, T y) { return x * y + 3; });
    same(k::fms(a, b, L(T(3))), [](T x, T y) { return x * y - 3; });
    same(k::larger(a, L(T(2))), [](T x, T) { return x < 2 ? 2 : x; });
    same(k::select(a < L(T(3)), a, b), [](T x, T y) { return x < 3 ? x : y; });
    same(k::select(a <= L(T(3)), a, b), [](T x, T y) { return x <= 3 ? x : y; });
    same(k::zero_where(a < L(T(3)), b), [](T x, T y) { return x < 3 ? T(0) : y; });
    CHECK(k::any_lane(a <= L(T(1))));
    CHECK(!k::any_lane(a < L(T(1))));
    CHECK(k::all_lanes(a <= L(va[L::width - 1])));
    CHECK((k::all_lanes(a <= L(va[0])) == (L::width == 1)));
    CHECK(k::any_lane(L(va[L::width - 1]) <= a));
    CHECK(k::reduce_add(a) == static_cast<T>(L::width * (L::width + 1) / 2));
    CHECK(k::reduce_max_number(a) == static_cast<T>(L::width));
    const T nan = std::numeric_limits<T>::quiet_NaN();
    CHECK(k::reduce_max_number(k::with_lane(b, 0, nan)) ==
          (L::width == 1 ? -std::numeric_limits<T>::infinity() : vb[L::width - 1]));
    CHECK(!k::any_lane(L(nan) < a));
    CHECK(!k::any_lane(L(nan) <= a));
    CHECK(!k::all_lanes(L(nan) <= a));
    for (std::size_t lane = 0; lane < L::width; ++lane) {
      const auto v = values(k::with_lane(a, lane, T(99)));
      for (std::size_t i = 0; i < L::width; ++i) CHECK(v[i] == (i == lane ? T(99) : va[i]));
    }
  };
  check(float{});
  check(double{});
}

TEST_CASE_TEMPLATE("transpose turns rows into columns", Arch, DISTILL_TEST_ARCHITECTURES) {
  const auto check = [](auto type) {
    using T = decltype(type);
    using L = Lanes<T, Arch>;
    L vectors[L::width];
    for (std::size_t i = 0; i < L::width; ++i) vectors[i] = counting<L>(static_cast<T>(100 * i));
    distill::kernels::transpose(vectors);
    for (std::size_t j = 0; j < L::width; ++j) {
      const auto v = values(vectors[j]);
      for (std::size_t i = 0; i < L::width; ++i) CHECK(v[i] == static_cast<T>(100 * i + j));
    }
  };
  check(float{});
  check(double{});
}

TEST_CASE_TEMPLATE("bits", Arch, DISTILL_TEST_ARCHITECTURES) {
  using F = Lanes<float, Arch>;
  using D = Lanes<double, Arch>;
  namespace k = distill::kernels;
  const auto float_of = [](std::uint32_t bits) { return distill::detail::bit_cast<float>(bits); };
  CHECK(values(k::shift_bits_left<23>(F(float_of(127))))[0] == 1);
  CHECK(values(k::shift_bits_left<23>(F(float_of(0x4B400000u + 130))))[0] == 8);
  CHECK(values(k::shift_bits_left<52>(D(distill::detail::bit_cast<double>(std::uint64_t{1024}))))[0] == 2);
  CHECK(values(k::bits_shifted_right<23>(F(8.0f)))[0] == 130);
  CHECK(values(k::bits_shifted_right<52>(D(8.0)))[0] == 1026);
  CHECK(values(k::bits_shifted_right<52>(D(std::numeric_limits<double>::infinity())))[0] == 2047);
  CHECK(values(k::bits_and(F(float_of(0x3F8FFFFFu)), ~std::int32_t{0xFFF}))[0] == float_of(0x3F8FF000u));
  CHECK(values(k::bits_or(F(1.0f), F(float_of(1u))))[0] == float_of(0x3F800001u));
}

TEST_CASE_TEMPLATE("loads and stores touch what they are told to, in any format", Arch, DISTILL_TEST_ARCHITECTURES) {
  check_memory<Lanes<float, Arch>, float>();
  check_memory<Lanes<float, Arch>, distill::half>();
  check_memory<Lanes<float, Arch>, distill::bfloat16>();
  check_memory<Lanes<double, Arch>, double>();
  check_memory<Lanes<double, Arch>, float>();
  check_memory<Lanes<double, Arch>, distill::half>();
  check_memory<Lanes<double, Arch>, distill::bfloat16>();
}

TEST_CASE_TEMPLATE("two-byte formats: lanes convert as single numbers do", Arch, DISTILL_TEST_ARCHITECTURES) {
  using L = Lanes<float, Arch>;
  const auto check = [](auto type) {
    using Stored = decltype(type);
    std::size_t wrong = 0;
    std::vector<Stored> stored(L::width), back(L::width);
    for (std::uint32_t first = 0; first < 0x10000; first += L::width) {
      for (std::size_t i = 0; i < L::width; ++i) stored[i].bits = static_cast<std::uint16_t>(first + i);
      const auto loaded = values(distill::kernels::load<L>(stored.data()));
      for (std::size_t i = 0; i < L::width; ++i) {
        const auto expected = distill::detail::load_scalar<float>(&stored[i]);
        wrong += loaded[i] == expected || (std::isnan(loaded[i]) && std::isnan(expected)) ? 0 : 1;
      }
      // and rounding, of numbers between the stored ones
      std::vector<float> between(L::width);
      for (std::size_t i = 0; i < L::width; ++i) {
        between[i] = distill::detail::bit_cast<float>(
            static_cast<std::uint32_t>((first + i) << 16 | (first * 40503u + 0x8000u * (i % 2)) % 0x10000u));
      }
      distill::kernels::store(distill::kernels::load<L>(between.data()), back.data());
      for (std::size_t i = 0; i < L::width; ++i) {
        const auto expected = support::stored<Stored>(static_cast<double>(between[i]));
        const bool both_nan = std::isnan(between[i]) && std::isnan(static_cast<double>(support::number(back[i])));
        wrong += back[i].bits == expected.bits || both_nan ? 0 : 1;
      }
    }
    CHECK(wrong == 0);
  };
  check(distill::half{});
  check(distill::bfloat16{});
}
