#include "core/matrix/half.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

using namespace pyramidion;

namespace {

// The value of a half from its definition, in double.
double half_value(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

}  // namespace

TEST_CASE("every finite half widens to its exact value and narrows back to itself") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00) continue;
    REQUIRE(static_cast<double>(half_to_float(half)) == half_value(half));
    REQUIRE(float_to_half(half_to_float(half)) == half);
  }
}

TEST_CASE("narrowing rounds to the nearest half, ties to even") {
  for (uint16_t half = 0; half < 0x7bff; ++half) {
    const double low = half_value(half), high = half_value(half + 1), middle = (low + high) / 2;
    const uint16_t even = half % 2 == 0 ? half : half + 1;
    REQUIRE(float_to_half(static_cast<float>(middle)) == even);
    REQUIRE(float_to_half(std::nextafter(static_cast<float>(middle), 0.0f)) == half);
    REQUIRE(float_to_half(-std::nextafter(static_cast<float>(middle), 1e9f)) == (0x8000 | (half + 1)));
  }
}

TEST_CASE("values beyond the largest half become infinity, and NaN stays NaN") {
  CHECK(float_to_half(65519.996f) == 0x7bff);
  CHECK(float_to_half(65520.0f) == 0x7c00);
  CHECK(float_to_half(-1e30f) == 0xfc00);
  CHECK(float_to_half(std::numeric_limits<float>::infinity()) == 0x7c00);
  CHECK(std::isnan(half_to_float(float_to_half(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(half_to_float(0xfc00) == -std::numeric_limits<float>::infinity());
}

TEST_CASE("a bfloat16 is the upper half of a float") {
  CHECK(bfloat_to_float(0x3f80) == 1.0f);
  CHECK(bfloat_to_float(0xc049) == -3.140625f);
}
