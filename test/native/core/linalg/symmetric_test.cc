#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "../random_inputs.h"
#include "core/linalg/residual.h"
#include "core/linalg/symmetric.h"
#include "core/linear/rotation.h"

using namespace pyramidion;

TEST_CASE("a symmetric matrix comes back from its lower triangle") {
  for (const size_t width : {1, 2, 31, 32, 33, 150}) {
    const std::vector<float> packed = RandomInputs(3).normal(width * (width + 1) / 2);
    for (const size_t threads : {1, 3}) {
      ThreadPool pool(threads);
      std::vector<double> matrix(width * width, NAN);
      unpack_lower(packed.data(), width, matrix.data(), pool);
      size_t wrong = 0;
      for (size_t i = 0; i < width; ++i) {
        for (size_t j = 0; j <= i; ++j) {
          const double value = static_cast<double>(packed[i * (i + 1) / 2 + j]);
          wrong += matrix[i * width + j] != value || matrix[j * width + i] != value ? 1 : 0;
        }
      }
      CHECK_MESSAGE(wrong == 0, "width ", width, ", threads ", threads);
    }
  }
}

TEST_CASE("moments of rotated vectors are V M V^T, the same for any number of threads") {
  for (const size_t width : {2, 32, 64, 96}) {
    // Order 3 where the width is no power of two.
    const size_t order = width == 96 ? 3 : 1;
    std::vector<float> mixing;
    if (order == 3) mixing = {0.6f, 0.8f, 0, -0.8f, 0.6f, 0, 0, 0, 1};
    std::vector<int8_t> signs(width);
    for (size_t i = 0; i < width; ++i) signs[i] = i % 3 == 1 ? -1 : 1;
    unsigned block_log2 = 0;
    while ((order << block_log2) < width) ++block_log2;
    const Rotation rotation(signs, block_log2, mixing);
    ThreadPool one(1), three(3);
    // Column k of V is what it makes of the k-th unit vector.
    std::vector<float> columns(width * width);
    for (size_t k = 0; k < width; ++k) columns[k * width + k] = 1;
    rotation.apply(columns.data(), width, false, one);
    const std::vector<float> values = RandomInputs(5).normal(width * width);
    std::vector<double> moments(width * width), expected(width * width), half(width * width);
    for (size_t i = 0; i < width; ++i) {
      for (size_t j = 0; j < width; ++j)
        moments[i * width + j] =
            static_cast<double>(values[i * width + j]) + static_cast<double>(values[j * width + i]);
    }
    const auto entry = [&](size_t i, size_t k) { return static_cast<double>(columns[k * width + i]); };
    for (size_t i = 0; i < width; ++i) {
      for (size_t j = 0; j < width; ++j) {
        for (size_t k = 0; k < width; ++k) half[i * width + j] += entry(i, k) * moments[k * width + j];
      }
    }
    double largest = 0;
    for (size_t i = 0; i < width; ++i) {
      for (size_t j = 0; j < width; ++j) {
        for (size_t k = 0; k < width; ++k) expected[i * width + j] += half[i * width + k] * entry(j, k);
      }
    }
    std::vector<double> turned = moments, again = moments;
    rotation.turn_moments(turned.data(), one);
    rotation.turn_moments(again.data(), three);
    for (size_t i = 0; i < turned.size(); ++i) largest = std::max(largest, std::fabs(turned[i] - expected[i]));
    CHECK_MESSAGE(largest < 1e-5 * static_cast<double>(width), "width ", width);
    CHECK(turned == again);
  }
}

TEST_CASE("what an approximation leaves is measured before and after, the same for any number of threads") {
  for (const size_t count : {0, 1, 2047, 2048, 2049, 50000}) {
    const std::vector<float> values = RandomInputs(7).normal(count), approximation = RandomInputs(8).normal(count);
    double before = 0, after = 0;
    std::vector<float> rest(count);
    for (size_t i = 0; i < count; ++i) {
      rest[i] = values[i] - approximation[i];
      before += static_cast<double>(values[i]) * static_cast<double>(values[i]);
      after += static_cast<double>(rest[i]) * static_cast<double>(rest[i]);
    }
    ResidualSquares first;
    for (const size_t threads : {1, 3}) {
      ThreadPool pool(threads);
      std::vector<float> left = values;
      const ResidualSquares squares = subtract(left.data(), approximation.data(), count, pool);
      CHECK(left == rest);
      CHECK(squares.before == doctest::Approx(before).epsilon(1e-6));
      CHECK(squares.after == doctest::Approx(after).epsilon(1e-6));
      if (threads == 1) first = squares;
      CHECK((squares.before == first.before && squares.after == first.after));
    }
  }
}
