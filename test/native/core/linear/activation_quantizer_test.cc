#include "core/linear/activation_quantizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "../random_inputs.h"
#include "core/pvq/pvq_matrix.h"
#include "core/pvq/row_encoder.h"
#include "cpu/pvq_search/dispatch.h"

using namespace pyramidion;

namespace {

// Tokens of very unlike size, one of zeros, with loud channels.
std::vector<float> tokens_of(size_t tokens, size_t width) {
  std::vector<float> x = RandomInputs(width * 100 + tokens).normal(tokens * width);
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t token = i / width;
    x[i] *= static_cast<float>(std::pow(10.0, static_cast<double>(token % 7) * 5 - 15) * (i % 19 == 0 ? 40 : 1));
    if (token == 3) x[i] = 0;
  }
  return x;
}

std::vector<float> applied(const ActivationQuantizer& quantizer, std::vector<float> x, ThreadPool& pool) {
  quantizer.apply(x.data(), x.size() / quantizer.width(), pool);
  return x;
}

std::vector<float> decoded(const EncodedMatrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.columns());
  matrix.decode_rows(0, matrix.rows(), values.data(), matrix.columns());
  return values;
}

const size_t kWidths[] = {1, 5, 16, 17, 33, 96, 577};

}  // namespace

TEST_CASE("int8 activations are whole multiples, 127 at most, of a scale for each token") {
  ThreadPool pool(2);
  for (size_t width : kWidths) {
    const size_t tokens = 9;
    const std::vector<float> x = tokens_of(tokens, width), y = applied(*int8_activations(width), x, pool);
    for (size_t token = 0; token < tokens; ++token) {
      INFO(width, ", ", token);
      float largest = 0;
      for (size_t i = 0; i < width; ++i) largest = std::max(largest, std::fabs(x[token * width + i]));
      const float scale = largest / 127;
      for (size_t i = token * width; i < (token + 1) * width; ++i) {
        const float multiple = largest == 0 ? 0 : std::nearbyint(x[i] * (127 / largest));
        REQUIRE(std::fabs(multiple) <= 127);
        REQUIRE(y[i] == multiple * scale);
        REQUIRE(std::fabs(y[i] - x[i]) <= 0.501f * scale);
      }
    }
  }
  // No normal number is small enough to be their scale.
  CHECK(applied(*int8_activations(2), {1e-40f, -2e-40f}, pool) == std::vector<float>{0, 0});
}

TEST_CASE("MXINT activations are what coding a token as an MXINT row gives") {
  ThreadPool pool(2);
  for (size_t width : kWidths) {
    for (unsigned bits = 2; bits <= 8; ++bits) {
      for (size_t block : {1, 16, 40}) {
        INFO(width, ", ", bits, ", ", block);
        const MxintSettings settings{bits, block};
        std::vector<float> x = tokens_of(8, width);
        // The smallest and the largest numbers there are.
        x[0] = 1e-45f;
        x[width - 1] = -3.4e38f;
        MxintRows rows = encode_mxint_rows(x.data(), 8, width, settings, pool);
        CHECK(applied(*mxint_activations(width, settings), x, pool) ==
              decoded(MxintMatrix(8, width, settings, std::move(rows))));
      }
    }
  }
}

TEST_CASE("PVQ activations are what coding a token as a PVQ row gives") {
  ThreadPool pool(2);
  PyramidCache cache;
  const FindPoints find = pvq_search_kernel().find;
  for (size_t width : {5, 16, 40, 577}) {
    INFO(width);
    const size_t first = width / 2 / 8 * 8;
    std::vector<PvqSegment> segments = {{width - first, 16, 49, {3.0f, 4.0f, 5.0f}}};
    if (first > 0) segments.insert(segments.begin(), {first, 8, 12, {2.0f, 3.5f}});
    const PvqLayout layout(width, segments, cache);
    std::vector<float> x = RandomInputs(width).normal(6 * width);
    std::fill_n(x.begin() + width, width, 0.0f);
    const PvqRows rows = encode_rows(x.data(), 6, layout, find, pool, JobControl());
    const std::vector<float> y = applied(*pvq_activations(layout, find), x, pool);
    CHECK(y == decoded(PvqMatrix(6, layout, rows.codes.data(), rows.row_scale.data())));
    CHECK(y != x);
  }
}

TEST_CASE("activations are the same for any number of threads, and each token is by itself") {
  PyramidCache cache;
  const size_t width = 64, tokens = 700;
  const std::vector<float> x = RandomInputs(12).normal(tokens * width);
  std::vector<std::unique_ptr<const ActivationQuantizer>> quantizers;
  quantizers.push_back(int8_activations(width));
  quantizers.push_back(mxint_activations(width, {6, 16}));
  const PvqLayout layout(width, {{width, 16, 24, {3.5f, 4.5f}}}, cache);
  quantizers.push_back(pvq_activations(layout, pvq_search_kernel().find));
  for (const auto& quantizer : quantizers) {
    ThreadPool one(1), five(5);
    const std::vector<float> together = applied(*quantizer, x, five);
    CHECK(together == applied(*quantizer, x, one));
    const std::vector<float> last(x.end() - width, x.end());
    CHECK(applied(*quantizer, last, one) == std::vector<float>(together.end() - width, together.end()));
  }
}

TEST_CASE("activations that are not finite do not turn into numbers") {
  ThreadPool pool(1);
  PyramidCache cache;
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> x = RandomInputs(13).normal(32);
    x[7] = bad;
    CHECK_FALSE(std::isfinite(applied(*int8_activations(32), x, pool)[7]));
    CHECK_FALSE(std::isfinite(applied(*mxint_activations(32, {8, 16}), x, pool)[7]));
    const auto pvq = pvq_activations(PvqLayout(32, {{32, 16, 24, {3.5f, 4.5f}}}, cache), pvq_search_kernel().find);
    CHECK_THROWS_AS(pvq->apply(x.data(), 1, pool), Error);
  }
}
